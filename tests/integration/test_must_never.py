"""Mistakes that real systems of this kind make, and that this one must not."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from server import logs
from server.app import RunningServer
from server.settings import LogSettings
from tests.integration.test_bookings import wish
from tests.support import PASSWORD, CapturingCodeSender, People

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def log_output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root, output = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stdout", output)
    logs.configure(LogSettings(format="json"))
    yield output
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.logs_errors("unhandled_error", "request")
async def test_an_exceptions_text_never_reaches_a_client(
    server: RunningServer,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    log_output: io.StringIO,
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the inner text")

    monkeypatch.setattr(type(server.services.catalogue), "list_pujas", broken)
    client = await people.nobody()
    answer = await client.get("/api/pujas/")
    assert answer.status_code == 500
    assert answer.json()["type"] == "internal-error"
    assert "inner text" not in answer.text
    assert "Traceback" not in answer.text
    logged = log_output.getvalue()
    assert "the inner text" in logged
    assert answer.json()["request_id"] in logged, "the id leads from the answer to the trace"


async def test_no_secret_of_a_whole_visit_is_logged(
    people: People, code_sender: CapturingCodeSender, log_output: io.StringIO
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    client = await people.nobody()
    await client.post("/api/auth/otp/", json={"phone_number": customer.phone})
    code = await code_sender.wait_for(f"+977{customer.phone}")
    await customer.api.post("/api/bookings/", json=wish(pandit.service_id))
    await client.post("/api/auth/token/refresh/", json={"refresh": customer.refresh})
    await client.post("/api/auth/otp/verify/", json={"phone_number": customer.phone, "code": code})
    await client.get(f"/api/pandits/?q={customer.phone}")
    logged = log_output.getvalue()
    assert '"route": "bookings"' in logged
    for secret in (
        customer.access,
        customer.refresh,
        customer.phone,
        pandit.phone,
        PASSWORD,
        customer.access.split(".")[2],
    ):
        assert secret not in logged
    assert not re.search(rf"(?<!\d){code}(?!\d)", logged)


async def test_nobody_makes_himself_more_than_he_is(people: People) -> None:
    client = await people.nobody()
    base = {"full_name": "Eve", "phone_number": "9811111111", "password": PASSWORD}
    for extra in (
        {"role": "admin"},
        {"role": "user", "is_verified": True},
        {"role": "pandit", "rating": 5},
        {"role": "user", "balance": 1_000_000},
    ):
        assert (await client.post("/api/auth/register/", json={**base, **extra})).status_code == 422
    customer, pandit = await people.customer(), await people.unverified_pandit()
    wishes: tuple[dict[str, object], ...] = ({"role": "admin"}, {"id": "a"}, {"is_active": True})
    for wish_for in wishes:
        assert (await customer.api.patch("/api/auth/me/", json=wish_for)).status_code == 422
    claims: tuple[dict[str, object], ...] = (
        {"rating": 5},
        {"verification_status": "APPROVED"},
        {"is_verified": True},
        {"review_count": 100},
        {"user_id": "another"},
    )
    for claim in claims:
        assert (await pandit.api.patch("/api/pandits/me/", json=claim)).status_code == 422
    assert (await pandit.api.get("/api/pandits/me/")).json()["verification_status"] == "PENDING"


async def test_a_pandits_contact_details_are_nowhere_for_strangers(people: People) -> None:
    pandit = await people.pandit()
    stranger, nobody = await people.customer(), await people.nobody()
    secrets = (pandit.phone, "House 12", "27.7215")
    for client in (stranger.api, nobody):
        for path in (
            "/api/pandits/",
            "/api/pandits/?lat=27.7&lng=85.3&radius_km=20",
            f"/api/pandits/{pandit.pandit_id}/",
            f"/api/reviews/?pandit_id={pandit.pandit_id}",
            f"/api/booking-slots/available-slots/?service_id={pandit.service_id}&date=2026-11-25",
            "/pandits/",
            f"/pandits/{pandit.pandit_id}/",
        ):
            text = (await client.get(path)).raise_for_status().text
            assert not [secret for secret in secrets if secret in text], path


async def test_a_list_is_never_without_a_limit(people: People) -> None:
    customer = await people.customer()
    described = (await customer.api.get("/api/openapi.json")).json()
    schemas = described["components"]["schemas"]
    for path, item in described["paths"].items():
        answer = item.get("get", {}).get("responses", {}).get("200", {})
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        if not {"results", "next"} <= set(schemas.get(name, {}).get("properties", {})):
            continue
        limit = next((each for each in item["get"]["parameters"] if each["name"] == "limit"), None)
        if limit is None:
            # Bounded by nature: the samagri of one booking or puja, the catalogue's short tables,
            # the arms of the models that serve, the ways to pay, the few drafts one may have, the
            # few pandits among whom one may choose.
            assert path in {
                "/api/bookings/{booking_id}/samagri/",
                "/api/bookings/{booking_id}/choose/",
                "/api/bookings/{booking_id}/samagri/budget/",
                "/api/recommendations/samagri/",
                "/api/admin/recommendations/accuracy/",
                "/api/pujas/",
                "/api/samagri/categories/",
                "/api/samagri/estimate/",
                "/api/payment-methods/",
                "/api/booking-wizard/",
            }, path
        else:
            assert limit["schema"]["maximum"] <= 100


def test_no_pickle_and_no_signature_compared_by_equality() -> None:
    sources = [
        source for folder in ("server", "kundali") for source in (ROOT / folder).rglob("*.py")
    ]
    assert len(sources) > 50
    for source in sources:
        text = source.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(?:import|from) (?:c?pickle|marshal|shelve)", text, re.M), source
        assert not re.search(r"\b(?:signature|digest|mac)\b\s*[!=]=", text), source


def test_templates_print_nothing_raw_but_the_boot_data() -> None:
    templates = sorted((ROOT / "server" / "web" / "templates").rglob("*.html"))
    assert templates
    for template in templates:
        text = template.read_text(encoding="utf-8")
        raw = re.findall(r"\{%\s*raw\s+([^%]+?)\s*%\}", text)
        assert set(raw) <= {"boot", "xsrf_form_html()"}, template
        assert not re.search(
            r"\son\w+=|\sstyle=|<script(?![^>]*(?:src=|application/json))", text
        ), template
        assert "autoescape None" not in text
