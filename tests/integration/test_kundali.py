"""Birth charts, matching and the calendar of rites over REST."""

from __future__ import annotations

import re
import threading
from datetime import date, timedelta

import pytest

from server.app import RunningServer
from server.handlers.pages import kundali as pages
from server.i18n import Formatter
from server.schemas import kundali as schemas
from server.services.almanac import HOME
from tests.integration.test_pages import signed_in
from tests.support import People

SITA = {
    "name": "Sita",
    "date_of_birth": "1990-05-15",
    "time_of_birth": "06:20",
    "place_of_birth": "Kathmandu",
}
RAM = {
    "name": "Ram",
    "date_of_birth_bs": "2044-03-10",
    "time_of_birth": "14:05:30",
    "latitude": 28.21,
    "longitude": 83.99,
}


_ZODIACS = ("lahiri", "raman")


async def _keep(person, birth=SITA):
    answer = await person.api.post("/api/kundali/", json=birth)
    assert answer.status_code == 201, answer.text
    return answer.json()


def _faults(answer):
    assert answer.status_code == 422, answer.text
    return {fault["field"]: fault["code"] for fault in answer.json()["errors"]}


async def test_a_chart_is_cast_kept_shown_and_deleted(people: People):
    sita = await people.customer()
    made = await _keep(sita)
    assert made["timezone"] == "Asia/Kathmandu"
    assert (made["siddhanta"], made["ayanamsa"], made["node"]) == ("drik", "lahiri", "mean")
    assert made["engine"] == made["saved_engine"]
    assert len(made["planets"]) == 9
    assert made["date_of_birth_bs"] == "2047-02-01"
    assert made["lagna"] == made["lagna_point"]["sign"]
    assert len(made["dasha"]["periods"]) == 9
    assert all(each["causes"] for each in made["predictions"])
    (row,) = (await sita.api.get("/api/kundali/")).json()["results"]
    assert row["id"] == made["id"]
    path = f"/api/kundali/{made['id']}/"
    deep = (await sita.api.get(path, params={"dasha_levels": 3})).json()
    inner = deep["dasha"]["periods"][3]["periods"][4]["periods"]
    assert len(inner) == 9
    assert inner[-1]["end"] == deep["dasha"]["periods"][3]["periods"][4]["end"]
    assert (await sita.api.delete(path)).status_code == 204
    assert (await sita.api.get(path)).status_code == 404
    assert (await sita.api.delete(path)).status_code == 404


async def test_a_chart_does_not_exist_for_others(people: People):
    made = await _keep(await people.customer())
    other, nobody = await people.customer("Gita Rai"), await people.nobody()
    path = f"/api/kundali/{made['id']}/"
    for ask in (
        other.api.get(path),
        other.api.get(f"{path}chart.svg"),
        other.api.delete(path),
        other.api.post(f"{path}share/", json={}),
        other.api.delete(f"{path}share/"),
        other.api.post("/api/kundali/match/", json={"groom": RAM, "bride_id": made["id"]}),
        other.api.get(
            "/api/muhurta/", params={"puja_id": "wedding-ceremony", "kundali_id": made["id"]}
        ),
    ):
        assert (await ask).status_code == 404
    assert (await nobody.get(path)).status_code == 401
    assert (await nobody.get(f"{path}chart.svg")).status_code == 401
    assert (await nobody.post("/api/kundali/", json=SITA)).status_code == 401
    assert (await other.api.get("/api/kundali/")).json()["results"] == []


async def test_without_a_birth_time_what_hangs_on_it_is_absent(people: People):
    sita = await people.customer()
    made = await _keep(sita, {**SITA, "time_of_birth": None})
    assert made["time_known"] is False
    assert made["lagna"] is made["lagna_point"] is made["dasha"] is None
    assert all(each["house"] is None for each in made["planets"])
    assert len(made["moon_stays"]) > 1
    assert "kaal_sarp" in made["undecided_doshas"]
    drawing = f"/api/kundali/{made['id']}/chart.svg"
    assert (await sita.api.get(drawing)).status_code == 200
    assert _faults(await sita.api.get(drawing, params={"varga": "D9"})) == {
        "varga": "needs-birth-time"
    }


@pytest.mark.parametrize(
    ("birth", "faults"),
    [
        ({"name": "X"}, {"place_of_birth": "required", "date_of_birth": "required",
                         "time_of_birth": "required"}),
        ({**SITA, "place_of_birth": "Atlantis by the Sea"}, {"place_of_birth": "unknown-place"}),
        ({**RAM, "longitude": None}, {"longitude": "required", "timezone": "required"}),
        ({**RAM, "latitude": 91, "longitude": -200},
         {"latitude": "between", "longitude": "between"}),
        ({**SITA, "timezone": "Asia/Atlantis"}, {"timezone": "timezone"}),
        ({**SITA, "date_of_birth": "1986-01-01", "time_of_birth": "00:07"},
         {"time_of_birth": "skipped-time"}),
        ({**SITA, "date_of_birth": "3500-01-01"}, {"date_of_birth": "outside-ephemeris"}),
        ({**SITA, "about_minutes": 500}, {"about_minutes": "between"}),
        ({**SITA, "time_of_birth": "25:00"}, {"time_of_birth": "pattern"}),
        ({**RAM, "date_of_birth_bs": "2083-13-40"}, {"date_of_birth_bs": "outside-calendar"}),
        ({**RAM, "date_of_birth_bs": "long ago"}, {"date_of_birth_bs": "bs-date"}),
        ({**SITA, "date_of_birth_bs": "2047-02-01"}, {"date_of_birth_bs": "one-date"}),
        ({**SITA, "name": ""}, {"name": "too-short"}),
    ],
)  # fmt: skip
async def test_each_faulty_field_of_a_birth_is_named(people: People, birth, faults):
    sita = await people.customer()
    assert _faults(await sita.api.post("/api/kundali/", json=birth)) == faults
    assert (await sita.api.get("/api/kundali/")).json()["results"] == []


async def test_nobody_is_born_tomorrow_where_they_are_born(people: People, clock):
    sita, path = await people.customer(), "/api/kundali/"
    # Tomorrow in Nepal, and the day that only Kiritimati has.
    today = (clock.now() + timedelta(hours=5, minutes=45)).date()
    tomorrow = {**SITA, "date_of_birth": str(today + timedelta(days=1))}
    for birth in (tomorrow, {**tomorrow, "time_of_birth": None}):
        assert _faults(await sita.api.post(path, json=birth)) == {"date_of_birth": "future-birth"}
    assert _faults(
        await sita.api.post("/api/kundali/match/", json={"groom": RAM, "bride": tomorrow})
    ) == {"bride.date_of_birth": "future-birth"}
    assert (await sita.api.get(path)).json()["results"] == []
    assert (await _keep(sita, {**SITA, "date_of_birth": str(today)}))["id"]
    clock.advance(hours=23 - clock.now().hour)
    gita = await people.customer("Gita Rai")
    ahead = {**RAM, "latitude": 1.87, "longitude": -157.4, "timezone": "Pacific/Kiritimati"}
    ahead = {key: value for key, value in ahead.items() if key != "date_of_birth_bs"}
    there = clock.now().date() + timedelta(days=1)
    assert (await _keep(gita, {**ahead, "date_of_birth": str(there)}))["id"]


async def test_the_form_of_a_birth_refuses_a_day_to_come(people: People, clock):
    browser = await signed_in(people, await people.customer())
    latest = (clock.now() + timedelta(hours=14)).date()
    assert f'max="{latest}"' in (await browser.get("/kundali/")).text
    refused = await browser.post("/kundali/", **{**SITA, "date_of_birth": "2030-01-01"})
    assert refused.status_code == 422
    assert "This day is still to come." in refused.text
    assert 'value="2030-01-01"' in refused.text


async def test_faults_are_told_in_nepali(people: People):
    sita = await people.customer()
    (await sita.api.patch("/api/auth/me/", json={"language": "ne"})).raise_for_status()
    answer = await sita.api.post(
        "/api/kundali/", json={**SITA, "date_of_birth": "1986-01-01", "time_of_birth": "00:07"}
    )
    (fault,) = answer.json()["errors"]
    assert "राति १२:०० बाट सोझै राति १२:१५" in fault["message"]
    assert "घडी" in fault["message"]


async def test_drawings_are_files_in_either_style_and_language(people: People):
    sita = await people.customer()
    path = f"/api/kundali/{(await _keep(sita))['id']}/chart.svg"
    seen = set()
    for style in ("north", "south"):
        for language in ("en", "ne"):
            answer = await sita.api.get(path, params={"style": style, "language": language})
            assert answer.headers["content-type"].startswith("image/svg+xml")
            assert "sandbox" in answer.headers["content-security-policy"]
            assert ("सू" in answer.text) is (language == "ne")
            seen.add(answer.text)
    assert len(seen) == 4
    assert _faults(await sita.api.get(path, params={"style": "east"})) == {"style": "choice"}


async def test_a_link_that_is_asked_for_twice_is_one(people: People, server: RunningServer):
    sita, nobody = await people.customer(), await people.nobody()
    share = f"/api/kundali/{(await _keep(sita))['id']}/share/"
    key = {"Idempotency-Key": "one-link-only"}
    first, again = [await sita.api.post(share, json={"days": 2}, headers=key) for _ in range(2)]
    assert first.status_code == 201
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    path = f"/api/{first.json()['api_url'].partition('/api/')[2]}"
    assert (await nobody.get(path)).status_code == 200
    token = path.rstrip("/").rpartition("/")[2]
    kept = await server.store.collection("idempotency").find({}, limit=100)
    assert kept
    assert all(token.encode() not in each["body"] for each in kept)


async def test_a_link_shows_a_chart_until_its_time_is_over(people: People, clock):
    sita, nobody = await people.customer(), await people.nobody()
    made = await _keep(sita)
    share = f"/api/kundali/{made['id']}/share/"
    first = (await sita.api.post(share, json={"days": 2})).json()
    path = first["api_url"].partition("127.0.0.1")[2].partition("/")[2]
    shown = await nobody.get(f"/{path}")
    assert shown.json()["name"] == "Sita"
    assert shown.headers["referrer-policy"] == "no-referrer"
    second = (await sita.api.post(share, json={})).json()
    assert (await nobody.get(f"/{path}")).status_code == 404
    newer = f"/api/{second['api_url'].partition('/api/')[2]}"
    assert (await nobody.get(newer)).status_code == 200
    clock.advance(days=8)
    assert (await nobody.get(newer)).status_code == 404
    third = (await people.customer("Hari KC")).api
    assert (await third.get("/api/kundali/shared/guessed/")).status_code == 404


async def test_a_link_can_be_ended(people: People):
    sita, nobody = await people.customer(), await people.nobody()
    made = await _keep(sita)
    share = f"/api/kundali/{made['id']}/share/"
    link = (await sita.api.post(share, json={})).json()
    assert (await sita.api.delete(share)).status_code == 204
    path = f"/api/{link['api_url'].partition('/api/')[2]}"
    assert (await nobody.get(path)).status_code == 404


TWICE = {
    "name": "Maya",
    "date_of_birth": "1990-10-28",
    "time_of_birth": "01:30",
    "place_of_birth": "Bow",
    "latitude": 51.53,
    "longitude": -0.02,
}
"""A birth in an hour that its clocks showed twice."""
BORN: tuple[str, ...] = (
    "latitude", "longitude", "timezone", "utc_offset_seconds", "born_at", "time_of_birth",
    "is_time_ambiguous", "second_reading",
)  # fmt: skip


@pytest.mark.parametrize("birth", [SITA, TWICE, {**SITA, "time_of_birth": None}])
async def test_a_link_keeps_time_and_place_of_the_birth_back(people: People, birth):
    sita, nobody = await people.customer(), await people.nobody()
    made = await _keep(sita, birth)
    link = (await sita.api.post(f"/api/kundali/{made['id']}/share/", json={})).json()
    answer = await nobody.get(f"/api/{link['api_url'].partition('/api/')[2]}")
    shown = answer.raise_for_status().json()
    assert {name: shown[name] for name in BORN} == dict.fromkeys(BORN)
    assert shown["place_of_birth"] == ""
    assert shown["date_of_birth"] == made["date_of_birth"]
    assert {stay["start"] for stay in shown["moon_stays"]} == {None}
    assert {stay["end"] for stay in shown["moon_stays"]} == {None}
    assert shown["day"]["sunrise"] is None
    if birth["time_of_birth"]:
        assert shown["lagna_point"]["degrees"] == made["lagna_point"]["degrees"]
        assert shown["lagna_point"]["midheaven"] is None
        assert shown["lagna_point"]["sripati_starts"] == []
    page = await nobody.get(f"/kundali/shared/{link['url'].partition('/shared/')[2]}")
    # Around the main part the reader's own zone is told to scripts.
    main = page.raise_for_status().text.partition("<main")[2].partition("</main>")[0]
    assert made["name"] in main
    for text in (answer.text, main):
        for told in (birth["time_of_birth"], birth["place_of_birth"], made["timezone"]):
            assert told is None or told not in text
    browser = await signed_in(people, sita)
    own = (await browser.get(f"/kundali/{made['id']}/")).text
    assert "It tells neither the time nor the place of birth." in own
    assert made["timezone"] in own
    kept = (await sita.api.get(f"/api/kundali/{made['id']}/")).json()
    assert {name: kept[name] for name in BORN} == {name: made[name] for name in BORN}
    assert kept["share_with_birth"] is False


async def test_a_link_tells_time_and_place_when_the_owner_adds_them(people: People):
    sita, nobody = await people.customer(), await people.nobody()
    made = await _keep(sita, TWICE)
    share = f"/api/kundali/{made['id']}/share/"
    link = (await sita.api.post(share, json={"with_birth": True})).json()
    shown = (await nobody.get(f"/api/{link['api_url'].partition('/api/')[2]}")).json()
    assert {name: shown[name] for name in BORN} == {name: made[name] for name in BORN}
    assert (shown["place_of_birth"], shown["share_with_birth"]) == ("Bow", True)
    assert shown["lagna_point"] == made["lagna_point"]
    page = (await nobody.get(f"/kundali/shared/{link['url'].partition('/shared/')[2]}")).text
    assert "01:30" in page
    assert "Bow" in page
    assert "Europe/London" in page
    # The next link is asked anew.
    await sita.api.post(share, json={})
    kept = (await sita.api.get(f"/api/kundali/{made['id']}/")).json()
    assert kept["share_with_birth"] is False


async def test_the_page_asks_whether_a_link_also_tells_the_birth(people: People):
    sita, nobody = await people.customer(), await people.nobody()
    made = await _keep(sita)
    browser, path = await signed_in(people, sita), f"/kundali/{made['id']}/"
    for wanted in ({}, {"with_birth": "true"}):
        await browser.post(path, action="share", days="7", **wanted)
        page = (await browser.get(path)).text
        assert re.search(r'name="with_birth" value="true"(?! checked)', page)
        assert ("It also tells the time and place of birth." in page) is bool(wanted)
        link = re.search(r"(/kundali/shared/[\w-]+/)", page)
        assert link is not None
        assert ("6:20 am" in (await nobody.get(link[1])).text) is bool(wanted)


async def test_the_day_on_which_a_link_ends_is_the_readers(people: People, clock):
    clock.advance(hours=16)  # Two in the morning in Nepal, where it is the 23rd.
    sita = await people.customer()
    made = await _keep(sita)
    browser, path = await signed_in(people, sita), f"/kundali/{made['id']}/"
    await browser.post(path, action="share", days="7")
    page = (await browser.get(path)).text
    assert "sees the chart until 30 Nov 2026 (" in page
    assert "works until 30 Nov 2026 (" in page


async def test_a_chart_is_deleted_only_once_that_is_confirmed(people: People):
    sita = await people.customer()
    made = await _keep(sita)
    browser, path = await signed_in(people, sita), f"/kundali/{made['id']}/"
    asked = await browser.post(path, action="delete")
    assert "Delete the kundali of Sita?" in asked.text
    assert 'name="action" value="delete"' in asked.text
    assert (await browser.get(path)).status_code == 200
    gone = await browser.post(path, action="delete", confirmed="true")
    assert gone.headers["Location"] == "/kundali/"
    assert (await browser.get(path)).status_code == 404


async def test_two_are_matched_by_birth_or_by_chart(people: People):
    sita, nobody = await people.customer(), await people.nobody()
    by_birth = await nobody.post("/api/kundali/match/", json={"groom": RAM, "bride": SITA})
    found = by_birth.raise_for_status().json()
    assert found["most"] == 36
    assert found["total"] == sum(row["points"] for row in found["kootas"])
    assert len(found["kootas"]) == 8
    assert all(row["reason"]["text_ne"] for row in found["kootas"])
    assert found["bride"]["manglik"].keys() >= {"weight", "softened_by"}
    ram_id, sita_id = (await _keep(sita, RAM))["id"], (await _keep(sita))["id"]
    by_chart = await sita.api.post(
        "/api/kundali/match/", json={"groom_id": ram_id, "bride_id": sita_id}
    )
    assert by_chart.json()["total"] == found["total"]
    unknown = {**SITA, "time_of_birth": None}
    ranged = (
        await nobody.post("/api/kundali/match/", json={"groom": RAM, "bride": unknown})
    ).json()
    assert ranged["lowest"] <= ranged["total"] <= ranged["highest"]


async def test_both_of_a_match_are_read_by_one_zodiac_and_it_is_told(people: People):
    person = await people.customer()

    async def match(**sides):
        answer = await person.api.post("/api/kundali/match/", json=sides)
        found = answer.raise_for_status().json()
        points = [(row["code"], row["points"]) for row in found["kootas"]]
        return found["ayanamsa"], points, found["manglik"]

    his = {choice: (await _keep(person, {**RAM, "ayanamsa": choice}))["id"] for choice in _ZODIACS}
    hers = {
        choice: (await _keep(person, {**SITA, "ayanamsa": choice}))["id"] for choice in _ZODIACS
    }
    found = {
        (he, she): await match(groom_id=his[he], bride_id=hers[she])
        for he in _ZODIACS
        for she in _ZODIACS
    }
    for choice in _ZODIACS:
        assert found[choice, choice][0] == choice
        for other in _ZODIACS:
            assert found[choice, other] == found[choice, choice]
    lahiri = await match(groom=RAM, bride=SITA)
    assert lahiri == found["lahiri", "lahiri"]
    assert await match(groom=RAM, bride_id=hers["raman"]) == lahiri


async def test_the_whole_dasha_is_built_beside_the_loop_and_told_in_both_calendars(
    people: People, monkeypatch: pytest.MonkeyPatch
):
    person = await people.customer()
    made = await _keep(person)
    threads: list[threading.Thread] = []
    for module, name in ((pages, "subperiods"), (pages, "drawing"), (schemas, "subperiods")):
        real = getattr(module, name)

        def noted(*given, real=real, **named):
            threads.append(threading.current_thread())
            return real(*given, **named)

        monkeypatch.setattr(module, name, noted)
    browser = await signed_in(people, person)
    page = (await browser.get(f"/kundali/{made['id']}/")).text
    assert threads
    deep = await person.api.get(f"/api/kundali/{made['id']}/", params={"dasha_levels": 3})
    periods = deep.json()["dasha"]["periods"]
    assert threading.main_thread() not in threads

    formatter = Formatter("en", "Asia/Kathmandu")

    def both(day: str) -> str:
        ad = date.fromisoformat(day)
        bs = formatter.day_bs(ad)
        return f"{formatter.day_short(ad)} ({bs})" if bs else formatter.day_short(ad)

    running = next(at for at, each in enumerate(periods) if each["end"] > "2026-11-01")
    for maha in periods:
        for antar in maha["periods"]:
            assert f"{both(antar['start'])} – {both(antar['end'])}" in page
    for antar in periods[running]["periods"]:
        for inner in antar["periods"]:
            assert f"{both(inner['start'])} – {both(inner['end'])}" in page
    other = (running + 3) % 9
    inside = periods[other]["periods"][4]["periods"][4]
    line = f"{both(inside['start'])} – {both(inside['end'])}"
    assert line not in page
    assert f"/kundali/{made['id']}/?maha={other}#maha-{other}" in page
    assert line in (await browser.get(f"/kundali/{made['id']}/?maha={other}")).text


async def test_faults_of_both_sides_of_a_match_are_named(people: People):
    nobody = await people.nobody()
    bad = {**SITA, "place_of_birth": "Atlantis by the Sea"}
    answer = await nobody.post(
        "/api/kundali/match/", json={"groom": bad, "bride": {**RAM, "latitude": 100}}
    )
    assert _faults(answer) == {
        "groom.place_of_birth": "unknown-place",
        "bride.latitude": "between",
    }
    assert _faults(await nobody.post("/api/kundali/match/", json={})) == {
        "groom": "required",
        "bride": "required",
    }


async def test_the_panchang_of_a_day_is_nepals_unless_asked_otherwise(people: People, server):
    nobody = await people.nobody()
    day = (await nobody.get("/api/panchang/", params={"date": "2025-10-02"})).json()
    assert (day["siddhanta"], day["risings"]) == ("surya", "drik")
    assert day["date_bs"] == "2082-06-16"
    assert "dashami" in " ".join(each["key"] for each in day["festivals"])
    assert day["tithis"][0]["end"] == day["tithis"][1]["start"]
    drik = await nobody.get("/api/panchang/", params={"siddhanta": "drik"})
    assert drik.json()["date"] == server.services.almanac.today.isoformat()
    away = await nobody.get(
        "/api/panchang/", params={"date": "2025-07-01", "lat": "51.5", "lng": "-0.12"}
    )
    assert away.json()["timezone"] == "Europe/London"
    assert away.json()["sunrise"].endswith("+01:00")


@pytest.mark.parametrize(
    ("path", "params", "faults"),
    [
        ("panchang", {"date": "2025-06-21", "lat": 69.6, "lng": 18.9}, {"lat": "no-sunrise"}),
        ("panchang", {"lat": 27.7}, {"lng": "required"}),
        ("panchang", {"lat": 99, "lng": 0}, {"lat": "between"}),
        ("panchang", {"lat": "nan", "lng": 0}, {"lat": "between"}),
        ("panchang", {"timezone": "../etc/passwd"}, {"timezone": "timezone"}),
        ("panchang", {"date": "0001-01-01"}, {"date": "outside-almanac"}),
        ("panchang", {"date": "9999-12-31"}, {"date": "outside-almanac"}),
        ("panchang", {"siddhanta": "other"}, {"siddhanta": "choice"}),
        ("festivals", {"year": 1900}, {"year": "between"}),
        ("festivals", {"bs_year": 2500}, {"bs_year": "between"}),
        ("muhurta", {}, {"puja_id": "required"}),
        ("muhurta", {"puja_id": "tarpan"}, {"puja_id": "no-muhurta-rules"}),
        (
            "muhurta",
            {"puja_id": "wedding-ceremony", "from": "2026-12-01", "to": "2026-11-01"},
            {"to": "order"},
        ),
        (
            "muhurta",
            {"puja_id": "wedding-ceremony", "from": "2026-01-01", "to": "2027-12-31"},
            {"to": "too-many-days"},
        ),
        (
            "muhurta",
            {"puja_id": "wedding-ceremony", "from": "2500-01-01", "to": "2500-01-05"},
            {"from": "outside-calendar"},
        ),
        ("calendar", {"from": "2026-01-01", "to": "2026-12-31"}, {"to": "too-many-days"}),
    ],
)
async def test_bad_questions_to_the_calendar_are_refused(people: People, path, params, faults):
    answer = await (await people.nobody()).get(f"/api/{path}/", params=params)
    assert _faults(answer) == faults


async def test_festivals_of_a_year_are_in_order_with_both_dates(people: People):
    nobody = await people.nobody()
    found = (await nobody.get("/api/festivals/", params={"year": 2025})).json()["results"]
    days = [each["date"] for each in found]
    assert days == sorted(days)
    assert all(each["name_ne"] and each["date_bs"] for each in found)
    by_bs = (await nobody.get("/api/festivals/", params={"bs_year": 2082})).json()["results"]
    assert {each["date_bs"][:4] for each in by_bs} == {"2082"}


async def test_muhurtas_are_ranked_with_reasons_and_heed_the_persons(people: People):
    sita = await people.customer()
    made = await _keep(sita)
    asked = {"puja_id": "griha-pravesh", "from": "2027-01-15", "to": "2027-03-15", "limit": "5"}
    plain = (await sita.api.get("/api/muhurta/", params=asked)).json()
    assert plain["rite"] == "griha_pravesh"
    first = plain["results"][0]
    assert first["reasons_for"]
    assert first["start"] < first["end"]
    own = (await sita.api.get("/api/muhurta/", params={**asked, "kundali_id": made["id"]})).json()
    codes = {
        reason["code"]
        for each in own["results"]
        for reason in (*each["reasons_for"], *each["reasons_against"])
    }
    assert any("tara" in code for code in codes)
    unknown = await sita.api.get("/api/muhurta/", params={"puja_id": "no-such-puja"})
    assert unknown.status_code == 404


async def test_the_calendar_tells_festivals_and_what_days_are_for_a_puja(people: People):
    nobody = await people.nobody()
    asked = {"from": "2026-11-22", "to": "2026-12-21"}
    bare = (await nobody.get("/api/calendar/", params=asked)).json()["results"]
    assert len(bare) == 30
    assert {each["quality"] for each in bare} == {None}
    assert bare[0]["date_bs"] == "2083-08-06"
    judged = (
        await nobody.get("/api/calendar/", params={**asked, "puja_id": "griha-pravesh"})
    ).json()["results"]
    assert {each["quality"] for each in judged} <= {"good", "fair", "poor", "barred"}
    assert all(each["barred_by"] for each in judged if each["quality"] == "barred")
    unruled = await nobody.get("/api/calendar/", params={**asked, "puja_id": "tarpan"})
    assert {each["quality"] for each in unruled.json()["results"]} == {None}


async def test_every_rite_of_the_table_belongs_to_a_puja_of_the_catalogue(server):
    almanac = server.services.almanac
    first = date(2026, 11, 22)
    for puja_id in almanac.pujas_with_rules:
        ranking = await almanac.muhurtas(puja_id, first, first + timedelta(days=1), where=HOME)
        assert ranking.puja.id == puja_id
