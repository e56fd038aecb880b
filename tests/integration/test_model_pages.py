"""The admin's page of trained models: what lies in the store, its reports, and what serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.store import ModelStore
from server.app import RunningServer
from server.settings import Settings
from tests.integration.test_pages import Browser, signed_in, text_of
from tests.serving_models import add, publish
from tests.support import People

REPORT = "<!doctype html><title>Recommenders compared</title><script>alert(1)</script>"


@pytest.fixture
def models(settings: Settings) -> ModelStore:
    return ModelStore(Path(settings.recommender.path))


@pytest.fixture
async def page(people: People) -> Browser:
    return await signed_in(people, await people.admin())


async def test_an_empty_store_says_that_the_rules_answer(page: Browser) -> None:
    shown = await page.get("/admin/models/")
    assert shown.status_code == 200
    assert "No models yet" in shown.text
    assert "/admin/models/" in (await page.get("/admin/")).text


async def test_a_version_shows_its_figures_and_its_report_which_is_locked_in(
    page: Browser, models: ModelStore
) -> None:
    version = add(
        models,
        1,
        report=REPORT,
        metrics={
            "samagri": {"ndcg@10": [0.2271, 0.2212, 0.2333]},
            "puja": {"ndcg@10": [0.0931, 0.0412, 0.1433]},
        },
        gates=(
            {"name": "coverage", "passed": False, "reason": "coverage@10 is 0.1"},
            {"name": "quality.baseline.puja", "passed": True, "left_out": True, "reason": "lost"},
        ),
    )
    bare = add(models, 2)
    shown = text_of(await page.get("/admin/models/"))
    assert "0.227 (0.221 to 0.233)" in shown
    assert "0.093 (0.041 to 0.143): not used" in shown
    assert shown.count("not used") == 1
    assert "coverage@10 is 0.1" in shown
    assert f'href="/admin/models/{version}/report/"' in shown
    assert "Made 22 Nov 2026, Sun 9:45" in shown
    assert "2026-11-22T04:00" not in shown
    assert f'href="/admin/models/{bare}/report/"' not in shown
    report = await page.get(f"/admin/models/{version}/report/")
    assert (report.status_code, report.text) == (200, REPORT)
    assert report.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = report.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert policy.endswith("sandbox")
    assert "script" not in policy
    assert report.headers["X-Content-Type-Options"] == "nosniff"
    for name in (bare, "20260101T000000Z-aaaaaaaa", "not-a-version", "..%2Fcurrent"):
        assert (await page.get(f"/admin/models/{name}/report/")).status_code == 404


async def test_a_report_that_was_changed_is_not_shown(page: Browser, models: ModelStore) -> None:
    version = add(models, 1, report=REPORT)
    path = models.folder(version) / "report.html"
    path.write_text(REPORT.replace("alert(1)", "alert(2)"))
    assert (await page.get(f"/admin/models/{version}/report/")).status_code == 422


async def test_the_report_is_for_admins_alone(people: People, models: ModelStore) -> None:
    version = add(models, 1, report=REPORT)
    customer = await signed_in(people, await people.customer())
    for path in ("/admin/models/", f"/admin/models/{version}/report/"):
        assert (await customer.get(path)).status_code == 403
        assert (await (await people.nobody()).get(path)).status_code == 303


async def test_the_button_lets_a_version_serve_and_the_record_has_it(
    page: Browser, people: People, server: RunningServer, models: ModelStore
) -> None:
    publish(models, 0)
    later = add(models, 1)
    answer = await page.post(f"/admin/models/{later}/activate/", reason="better lists")
    assert answer.status_code == 303
    assert server.services.recommendations.model_state.version == later
    shown = text_of(await page.get("/admin/models/"))
    assert f"The model {later} serves now." in shown
    admin = await people.admin()
    entry = (await admin.api.get("/api/admin/audit/")).json()["results"][0]
    assert (entry["act"], entry["target_id"]) == ("model-activated", later)
    assert entry["details"] == {"reason": "better lists"}
