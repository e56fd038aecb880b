"""Dashboards in the browser: charts above tables, and counts that follow what happens."""

from __future__ import annotations

from datetime import date, timedelta

from playwright.sync_api import expect

from tests.browser.conftest import DESK, PHONE, Somebody, Town, Visit, ready


def asks(family: Somebody, pandit: Somebody, hour: int) -> None:
    """Book a puja in the week after next, by the API."""
    today = date.fromisoformat(family.api.get("/api/auth/me/").json()["created_at"][:10])
    day = today + timedelta(days=9 if (today + timedelta(days=9)).isoweekday() != 6 else 10)
    family.api.post(
        "/api/bookings/",
        json={
            "service_id": pandit.service_id,
            "booking_date": day.isoformat(),
            "booking_time": f"{hour:02}:00",
            "service_location": "PANDIT_LOCATION",
        },
    ).raise_for_status()


def test_a_chart_stands_above_its_table_and_redraws_for_the_screen(
    town: Town, visit: Visit
) -> None:
    page = visit(town.sign_in("Admin", town.admin_phone), size=DESK)
    page.goto("/admin/analytics/")
    chart = ready(page).locator("py-chart").first
    expect(chart.locator("canvas")).to_be_visible()
    expect(chart.locator(".plot")).to_have_attribute("aria-hidden", "true")
    expect(chart.locator(".table-wrap tbody tr")).to_have_count(30)
    wide = chart.locator("canvas").bounding_box()
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    expect(chart.locator("canvas")).to_be_visible()
    page.wait_for_function(
        "most => document.querySelector('py-chart canvas').clientWidth < most",
        arg=wide["width"] if wide else 0,
    )


def test_a_request_that_comes_in_is_counted_on_the_open_dashboard(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Gita Rai"), town.pandit("Hari Prasad Joshi")
    page = visit(pandit, size=PHONE)
    page.goto("/dashboard/")
    waiting = ready(page).locator("#waiting")
    expect(waiting).to_contain_text("No request waits for your answer.")
    asks(family, pandit, 8)
    expect(waiting).to_contain_text("1 request waits for your answer")
    waiting.get_by_role("link").focus()
    asks(family, pandit, 13)
    expect(waiting).to_contain_text("2 requests wait for your answer")
    # Whoever was there goes on from there.
    expect(waiting).to_be_focused()
    expect(page.locator(".week__day")).to_have_count(7)


def test_figures_are_read_without_script(town: Town, visit: Visit) -> None:
    page = visit(town.person("Maya Thapa"), size=PHONE, java_script_enabled=False, language="ne")
    page.goto("/dashboard/")
    expect(page.locator("py-chart canvas")).to_have_count(0)
    expect(page.locator("py-chart tbody tr")).to_have_count(12)
    page.locator("#m").select_option(index=1)
    page.get_by_role("button", name="देखाउनुहोस्").click()
    expect(page.locator("py-chart tbody tr")).to_have_count(1)
