"""How good recommendations are: the admin's figures and page, and a comparison of two arms."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from recsys.store import ModelStore
from server.app import RunningServer
from server.domain.experiment import Experiment, arms_of
from server.domain.learning import Surface
from server.settings import ExperimentSettings, Settings
from tests.integration.test_bookings import wish
from tests.integration.test_feedback import actor_of, hold, say
from tests.integration.test_pages import signed_in, text_of
from tests.serving_models import FIND, publish
from tests.serving_models import PUJA as FOUND_FOR
from tests.support import FakeClock, People, Person

ACCURACY = "/api/admin/recommendations/accuracy/"
PUJA = "satyanarayan-puja"
MODEL = "20260401T031500Z-3f9c2a1b"
TRIAL = ExperimentSettings(
    name="trial", arms=("model:0-4999", "rules:5000-9999"), ends_on="2026-12-20"
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, experiment=TRIAL)


def arm_of(person: Person) -> str:
    found = Experiment(TRIAL.name, arms_of(TRIAL.arms), FakeClock().now().date())
    return found.arm_of(person.user_id)


async def read(server: RunningServer, admin: Person, **query: str) -> dict[str, Any]:
    await server.services.learning.flush()
    answer = await admin.api.get(ACCURACY, params=query)
    return dict(answer.raise_for_status().json())


async def customers_of_both_arms(people: People) -> dict[str, Person]:
    found: dict[str, Person] = {}
    while len(found) < 2:
        person = await people.customer()
        found.setdefault(arm_of(person), person)
    return found


async def test_a_recommendation_carries_what_feedback_needs(
    server: RunningServer, people: People
) -> None:
    admin, sita = await people.admin(), await people.customer()
    advised = await sita.api.get("/api/recommendations/samagri/", params={"puja_id": PUJA})
    advice = advised.raise_for_status().json()
    item_ids = [row["item"]["id"] for row in advice["results"]]
    await say(sita, kind="shown", rec_id=advice["rec_id"], item_ids=item_ids)
    await say(sita, kind="added", rec_id=advice["rec_id"], item_id=item_ids[0])
    await say(sita, kind="removed", rec_id=advice["rec_id"], item_id=item_ids[1])
    found = await read(server, admin, version=advice["model_version"], surface="samagri")
    (row,) = found["results"]
    assert (row["version"], row["surface"], row["arm"]) == ("rules", "samagri", arm_of(sita))
    shown = len(item_ids)
    assert (row["times_recommended"], row["times_clicked"], row["times_removed"]) == (shown, 1, 1)
    assert row["added"]["rate"] == round(1 / shown, 6)
    assert row["added"]["low"] < row["added"]["rate"] < row["added"]["high"]
    assert row["purchase_rate"] == round(1 / (shown + 20), 6)
    assert {each["target"] for each in found["targets"]} == set(item_ids)
    assert found["next"] is None


async def test_every_recommendation_has_an_id_but_none_for_nobody(people: People) -> None:
    sita, nobody, pandit = await people.customer(), await people.nobody(), await people.pandit()
    query = {"puja_id": PUJA}
    ranking = (await sita.api.get("/api/recommendations/pandits/", params=query)).json()
    assert [row["pandit"]["id"] for row in ranking["results"]] == [pandit.pandit_id]
    assert await say(sita, kind="shown", rec_id=ranking["rec_id"], pandit_id=pandit.pandit_id) == 1
    proposed = (await sita.api.get("/api/recommendations/bookings/")).json()
    pujas = [row["puja"]["id"] for row in proposed["results"]]
    assert pujas
    assert await say(sita, kind="shown", rec_id=proposed["rec_id"], puja_ids=pujas) == len(pujas)
    for path in ("samagri", "pandits"):
        answer = await nobody.get(f"/api/recommendations/{path}/", params=query)
        assert answer.raise_for_status().json()["rec_id"] is None


async def test_what_bookings_did_with_their_list_is_counted(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin()
    booked = await sita.api.post("/api/bookings/", json=wish(pandit.service_id))
    booking = booked.raise_for_status().json()
    target = f"/api/bookings/{booking['id']}/samagri/"
    lines = (await sita.api.get(target)).json()["results"]
    optional = [line["item"]["id"] for line in lines if line["can_remove"]]
    assert len(optional) > 1
    (await sita.api.delete(f"{target}{optional[0]}/")).raise_for_status()
    await hold(people, sita, pandit, clock, booking)
    await people.sign_in_again(admin)
    (row,) = (await read(server, admin))["results"]
    assert (row["surface"], row["version"], row["arm"]) == ("auto_add", "rules", arm_of(sita))
    counted = {name: row[f"times_{name}"] for name in ("recommended", "clicked", "purchased")}
    kept = len(optional) - 1
    assert counted == {"recommended": kept + 1, "clicked": kept, "purchased": kept}
    assert row["times_removed"] == 1


async def test_those_of_the_rules_arm_get_no_model(
    server: RunningServer, people: People, settings: Settings
) -> None:
    version = publish(ModelStore(Path(settings.recommender.path)))
    await server.services.recommendations.take_up_model()
    both = await customers_of_both_arms(people)
    query = {"puja_id": FOUND_FOR}
    for arm, serves, finds in (("model", version, True), ("rules", "rules", False)):
        answer = await both[arm].api.get("/api/recommendations/samagri/", params=query)
        advice = answer.raise_for_status().json()
        assert advice["model_version"] == serves
        assert (FIND in {row["item"]["id"] for row in advice["results"]}) == finds
    anybody = await (await people.nobody()).get("/api/recommendations/samagri/", params=query)
    assert anybody.json()["model_version"] == version


async def test_a_comparison_tells_its_result_when_it_is_over(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    admin = await people.admin()
    both = await customers_of_both_arms(people)
    for person in both.values():
        rec = server.services.learning.issue(
            actor_of(person), Surface.SAMAGRI, version=MODEL, targets=["haldi", "camphor"]
        )
        for _ in range(2):
            await say(person, kind="shown", rec_id=rec, item_ids=["haldi", "camphor"])
    rec = server.services.learning.issue(
        actor_of(both["model"]), Surface.SAMAGRI, version=MODEL, targets=["haldi"]
    )
    await say(both["model"], kind="added", rec_id=rec, item_id="haldi")
    trial = (await read(server, admin))["experiment"]
    assert (trial["name"], trial["ends_on"], trial["is_over"]) == ("trial", "2026-12-20", False)
    model, rules = trial["arms"]
    assert (model["name"], model["exposed"], model["added"]["rate"]) == ("model", 1, 1.0)
    assert (rules["name"], rules["exposed"], rules["added"]["rate"]) == ("rules", 1, 0.0)
    assert (model["share"], rules["share"]) == (0.5, 0.5)
    assert rules["added_more"] is None, "who looks before the end decides by chance"
    # At half past midnight in Nepal it is still the day before in UTC.
    clock.set(clock.now().replace(month=12, day=19, hour=18, minute=45))
    await people.sign_in_again(admin)
    over = (await read(server, admin))["experiment"]
    assert over["is_over"]
    assert over["is_balanced"]
    assert over["arms"][0]["added_more"] is None
    assert over["arms"][1]["added_more"]["difference"] == -1.0
    assert not over["arms"][1]["added_more"]["is_clear"], "two people prove nothing"


async def test_arms_of_unlikely_sizes_are_not_read_out(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    admin = await people.admin()
    exposures = server.store.collection("experiment_exposures")
    await exposures.insert_many(
        [
            {
                "_id": f"trial:{number}",
                "experiment": "trial",
                "user_id": str(number),
                "arm": "model" if number < 70 else "rules",
                "at": clock.now(),
                "has_added": False,
                "has_bought": False,
            }
            for number in range(100)
        ]
    )
    clock.advance(days=60)
    await people.sign_in_again(admin)
    trial = (await read(server, admin))["experiment"]
    assert trial["is_over"]
    assert not trial["is_balanced"]
    assert trial["sample_ratio"] < 0.001
    assert [arm["added_more"] for arm in trial["arms"]] == [None, None]
    page = await (await signed_in(people, admin)).get("/admin/accuracy/")
    assert "more than chance allows" in text_of(page)


async def test_only_half_a_question_is_refused(people: People) -> None:
    admin = await people.admin()
    for query, field in (({"version": "v1"}, "surface"), ({"surface": "samagri"}, "version")):
        answer = await admin.api.get(ACCURACY, params=query)
        assert answer.status_code == 422
        assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_the_page_shows_the_figures_in_both_languages(
    server: RunningServer, people: People
) -> None:
    admin, sita = await people.admin(), await people.customer()
    desk = await signed_in(people, admin)
    empty = text_of(await desk.get("/admin/accuracy/"))
    assert "Nothing counted yet" in empty
    assert '<svg class="chart"' not in empty
    rec = server.services.learning.issue(
        actor_of(sita), Surface.SAMAGRI, version=MODEL, targets=["haldi", "camphor"]
    )
    await say(sita, kind="shown", rec_id=rec, item_ids=["haldi", "camphor"])
    await say(sita, kind="added", rec_id=rec, item_id="haldi")
    await server.services.learning.flush()
    page = await desk.get("/admin/accuracy/")
    text = text_of(page)
    assert page.status_code == 200
    for part in ("Recommendation accuracy", MODEL, "50 %", "9.5 to 90.5 %", "Comparison: trial"):
        assert part in text
    assert "The comparison runs until" in text
    chart = re.search(r'<svg class="chart".*?</svg>', text, re.S)
    assert chart is not None
    assert chart[0].count("<rect") == 1
    assert "style=" not in chart[0]
    assert "<script" not in chart[0]
    (await desk.get("/admin/accuracy/?lang=ne"))
    nepali = text_of(await desk.get("/admin/accuracy/"))
    for part in ("सिफारिसको शुद्धता", "५० %", "९.५ देखि ९०.५ %", "तुलना: trial"):
        assert part in nepali
    family = await signed_in(people, sita)
    assert (await family.get("/admin/accuracy/")).status_code == 403
