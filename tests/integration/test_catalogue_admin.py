"""Administration of the catalogue through the running server, and the record of it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from server.app import RunningServer, prepare_database
from server.domain.catalogue_import import ImportState
from server.settings import Settings
from server.store.catalogue import MongoCatalogueRepository
from server.store.catalogue_imports import MongoCatalogueImportRepository
from server.store.client import open_store
from tests.integration.test_audit import lose_the_answer
from tests.integration.test_pages import signed_in
from tests.support import People, Person

IMPORTS = "/api/admin/catalogue/imports/"
HEAD = "code,name,name_ne,aliases,category,base_unit,base_quantity,price,use,use_ne,active"


@pytest.fixture
async def restored(server: RunningServer, settings: Settings) -> AsyncIterator[None]:
    """The next test finds the catalogue of the files."""
    yield
    patient = dataclasses.replace(settings.database, timeout_seconds=60.0)
    async with open_store(patient, patient.uri) as left:
        for name in ("catalogue_state", "samagri_items", "pujas", "puja_templates"):
            await left.collection(name).delete_many({})
        await prepare_database(left)


@pytest.fixture
async def admin(people: People) -> Person:
    return await people.admin()


def row(number: int, **changes: str) -> str:
    cells = {
        "code": f"new-item-{number}",
        "name": f"New Item {number}",
        "name_ne": f"नयाँ सामग्री {number}",
        "aliases": "",
        "category": "tika",
        "base_unit": "packet",
        "base_quantity": "1",
        "price": "40.50",
        "use": "",
        "use_ne": "",
        "active": "yes",
    }
    return ",".join((cells | changes).values())


async def send(person: Person, text: str | bytes, kind: str = "items") -> httpx.Response:
    content = text if isinstance(text, bytes) else text.encode()
    return await person.api.post(
        IMPORTS, data={"kind": kind}, files={"file": ("table.csv", content, "text/csv")}
    )


async def sent(person: Person, text: str, kind: str = "items") -> dict[str, Any]:
    found: dict[str, Any] = (await send(person, text, kind)).raise_for_status().json()
    return found


async def item_count(server: RunningServer) -> int:
    return len(await MongoCatalogueRepository(server.store).all_items())


async def test_ten_thousand_rows_with_three_bad_ones_change_nothing_and_name_the_three(
    server: RunningServer, admin: Person
):
    rows = [row(number) for number in range(10_000)]
    rows[17] = row(17, price="-1")
    rows[4_999] = row(4_999, category="nowhere")
    rows[9_998] = row(9_998, code="NOT A CODE")
    before = await item_count(server)
    found = await sent(admin, "\n".join([HEAD, *rows]) + "\n")
    assert (found["state"], found["rows"], found["fault_count"]) == ("FAULTY", 10_000, 3)
    assert [(fault["row"], fault["column"]) for fault in found["faults"]] == [
        (19, "price"),
        (5_001, "category"),
        (10_000, "code"),
    ]
    assert all(fault["message"] for fault in found["faults"])
    refused = await admin.api.post(f"{IMPORTS}{found['id']}/apply/")
    assert refused.status_code == 409
    assert await item_count(server) == before


@pytest.mark.usefixtures("restored")
async def test_a_good_table_changes_nothing_until_it_is_agreed_to(
    server: RunningServer, admin: Person
):
    before = await item_count(server)
    found = await sent(admin, "\n".join([HEAD, *(row(number) for number in range(240))]))
    assert (found["state"], found["added"], found["changed"]) == ("READY", 240, 0)
    assert await item_count(server) == before
    applied = (await admin.api.post(f"{IMPORTS}{found['id']}/apply/")).raise_for_status().json()
    assert applied["state"] == "APPLIED"
    assert await item_count(server) == before + 240
    again = await admin.api.post(f"{IMPORTS}{found['id']}/apply/")
    assert again.json()["state"] == "APPLIED"
    shown = await admin.api.get("/api/samagri/items/", params={"q": "New Item 239"})
    assert shown.json()["results"][0]["price"] == 4050


async def test_what_was_exported_can_be_sent_back(admin: Person):
    for kind in ("items", "rules", "templates"):
        answer = await admin.api.get(f"/api/admin/catalogue/export/{kind}.csv")
        assert answer.headers["Content-Type"].startswith("text/csv")
        found = await sent(admin, answer.content.decode("utf-8-sig"), kind)
        assert (found["state"], found["added"], found["changed"]) == ("READY", 0, 0)
        assert found["unchanged"] > 0


@pytest.mark.usefixtures("restored")
async def test_a_table_checked_on_another_catalogue_is_not_applied(admin: Person):
    found = await sent(admin, f"{HEAD}\n{row(1)}\n")
    other = await sent(admin, f"{HEAD}\n{row(2)}\n")
    (await admin.api.post(f"{IMPORTS}{other['id']}/apply/")).raise_for_status()
    answer = await admin.api.post(f"{IMPORTS}{found['id']}/apply/")
    assert (answer.status_code, answer.json()["type"]) == (409, "catalogue-moved")


@pytest.mark.usefixtures("restored")
async def test_what_a_crash_left_half_written_is_finished(server: RunningServer, admin: Person):
    found = await sent(admin, "\n".join([HEAD, *(row(number) for number in range(230))]))
    imports = MongoCatalogueImportRepository(server.store)
    stored = await imports.find(found["id"])
    assert stored is not None
    # As a server leaves it that dies between the mark and the last row.
    await imports.replace(dataclasses.replace(stored, state=ImportState.APPLYING))
    before = await item_count(server)
    assert await server.services.catalogue_admin.finish_applying() == 1
    assert await item_count(server) == before + 230
    shown = (await admin.api.get(f"{IMPORTS}{found['id']}/")).json()
    assert shown["state"] == "APPLIED"
    assert await server.services.catalogue_admin.finish_applying() == 0
    (entry,) = await imported(admin, found["id"])
    assert (entry["admin_id"], entry["details"]["added"]) == (admin.user_id, "230")


@pytest.mark.usefixtures("restored")
async def test_what_a_crash_interrupted_is_on_record_once_and_by_whom(
    server: RunningServer, admin: Person, people: People
):
    other = await people.admin("Second Admin")
    found = await sent(admin, "\n".join([HEAD, *(row(number) for number in range(3))]))
    (await other.api.post(f"{IMPORTS}{found['id']}/apply/")).raise_for_status()
    imports = MongoCatalogueImportRepository(server.store)
    # A crash before the mark, then one between the mark and the entry.
    for is_on_record in (True, False):
        stored = await imports.find(found["id"])
        assert stored is not None
        await imports.replace(dataclasses.replace(stored, state=ImportState.APPLYING))
        if not is_on_record:
            await server.store.collection("audit_entries").delete_many({})
        assert await server.services.catalogue_admin.finish_applying() == 1
        (entry,) = await imported(admin, found["id"])
        assert (entry["admin_id"], entry["admin_name"]) == (other.user_id, "Second Admin")


async def imported(admin: Person, import_id: str) -> list[dict[str, Any]]:
    """What the record says about an import that was applied."""
    asked = {"act": "catalogue-imported", "target": import_id}
    answer = await admin.api.get("/api/admin/audit/", params=asked)
    entries: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    return entries


@pytest.mark.usefixtures("restored")
async def test_a_rule_reaches_the_next_booking(admin: Person, people: People):
    answer = await admin.api.get("/api/admin/catalogue/export/rules.csv")
    lines = answer.content.decode("utf-8-sig").splitlines()
    own = [line for line in lines if line.startswith("satyanarayan-puja,")]
    table = "\n".join([lines[0], *own[:-1], "satyanarayan-puja,sindur,REQUIRED,3,packet"])
    found = await sent(admin, table, "rules")
    assert found["state"] == "READY", found
    (await admin.api.post(f"{IMPORTS}{found['id']}/apply/")).raise_for_status()
    sheet = (await admin.api.get("/api/pujas/satyanarayan-puja/")).json()
    needs = {need["item"]["id"]: need for need in sheet["samagri_requirements"]}
    assert (needs["sindur"]["quantity"], needs["sindur"]["type"]) == (3, "REQUIRED")


@pytest.mark.usefixtures("restored")
async def test_edits_survive_the_start_that_reads_the_files_again(
    server: RunningServer, admin: Person
):
    item = (await admin.api.get("/api/admin/catalogue/items/kumkum/")).raise_for_status().json()
    body = {name: item[name] for name in item if name not in ("id", "currency")} | {"price": 12_345}
    answer = await admin.api.put("/api/admin/catalogue/items/kumkum/", json=body)
    assert answer.raise_for_status().json()["price"] == 12_345
    await server.store.collection("catalogue_state").delete_many({})
    await prepare_database(server.store)
    shown = (await admin.api.get("/api/admin/catalogue/items/kumkum/")).json()
    assert shown["price"] == 12_345


async def test_a_bad_edit_names_its_fields_and_changes_nothing(admin: Person):
    item = (await admin.api.get("/api/admin/catalogue/items/kumkum/")).json()
    body = {name: item[name] for name in item if name not in ("id", "currency")}
    answer = await admin.api.put(
        "/api/admin/catalogue/items/kumkum/",
        json=body | {"category_id": "nowhere", "aliases": ["Sindur"]},
    )
    assert answer.status_code == 422
    fields = {fault["field"] for fault in answer.json()["errors"]}
    assert "category_id" in fields
    assert (await admin.api.get("/api/admin/catalogue/items/kumkum/")).json() == item


@pytest.mark.usefixtures("restored")
@pytest.mark.logs_errors("request")
async def test_an_item_whose_answer_was_lost_is_on_record(
    admin: Person, people: People, monkeypatch: pytest.MonkeyPatch
):
    path = "/api/admin/catalogue/items/ghee/"
    stored = (await admin.api.get(path)).raise_for_status().json()
    wish = {name: value for name, value in stored.items() if name not in ("id", "currency")}
    wish["name_ne"] = f"{stored['name_ne']} नयाँ"
    lose_the_answer(monkeypatch, MongoCatalogueRepository, "put_items")
    assert (await admin.api.put(path, json=wish)).status_code == 503
    (await admin.api.put(path, json=wish)).raise_for_status()
    asked = {"act": "item-changed", "target": "ghee"}
    (entry,) = (await admin.api.get("/api/admin/audit/", params=asked)).json()["results"]
    assert entry["is_done"] is False
    assert "नयाँ" in entry["details"]["name_ne"]
    page = await (await signed_in(people, admin)).get("/admin/audit/")
    assert "whether it was done is not known" in page.text


@pytest.mark.usefixtures("restored")
async def test_every_act_is_on_record(admin: Person, people: People):
    found = await sent(admin, f"{HEAD}\n{row(1)}\n")
    (await admin.api.post(f"{IMPORTS}{found['id']}/apply/")).raise_for_status()
    other = await sent(admin, f"{HEAD}\n{row(2, price='0')}\n")
    (await admin.api.delete(f"{IMPORTS}{other['id']}/")).raise_for_status()
    (await admin.api.get("/api/admin/catalogue/export/rules.csv")).raise_for_status()
    entries = (await admin.api.get("/api/admin/audit/")).raise_for_status().json()["results"]
    assert [(each["act"], each["target_id"]) for each in entries[:5]] == [
        ("data-exported", "rules"),
        ("catalogue-dropped", other["id"]),
        ("catalogue-checked", other["id"]),
        ("catalogue-imported", found["id"]),
        ("catalogue-checked", found["id"]),
    ]
    assert {each["admin_id"] for each in entries[:5]} == {admin.user_id}
    assert entries[2]["details"] == {"kind": "items", "file": "table.csv", "faults": "1"}
    assert entries[3]["details"]["added"] == "1"
    page = await (await signed_in(people, admin)).get("/admin/audit/")
    assert "Table dropped" in page.text
    only = (await admin.api.get("/api/admin/audit/", params={"act": "item-changed"})).json()
    assert only["results"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/admin/audit/"),
        ("GET", IMPORTS),
        ("GET", f"{IMPORTS}x/"),
        ("DELETE", f"{IMPORTS}x/"),
        ("POST", f"{IMPORTS}x/apply/"),
        ("GET", "/api/admin/catalogue/export/items.csv"),
        ("GET", "/api/admin/catalogue/items/kumkum/"),
    ],
)
async def test_the_catalogue_is_for_administrators(people: People, method: str, path: str):
    customer, nobody = await people.customer(), await people.nobody()
    assert (await customer.api.request(method, path)).status_code == 403
    assert (await nobody.request(method, path)).status_code == 401


async def test_a_table_that_is_no_text_is_refused(admin: Person, people: People):
    assert (await send(admin, b"\xff\xfe\x00")).status_code == 422
    assert (await send(admin, HEAD, "houses")).status_code == 422
    assert (await send(await people.customer(), HEAD)).status_code == 403
    assert (await send(admin, b"x" * (6 * 1024 * 1024))).status_code == 413


@pytest.mark.usefixtures("restored")
async def test_the_pages_lead_through_an_edit_and_a_table(admin: Person, people: People):
    page = await signed_in(people, admin)
    assert "/admin/catalogue/" in (await page.get("/admin/")).text
    assert "kumkum" in (await page.get("/admin/catalogue/?q=kumkum")).text
    form = {
        "name": "Kumkum",
        "name_ne": "कुमकुम",
        "aliases": "Roli | Kunkum",
        "category_id": "tika",
        "base_unit": "packet",
        "base_quantity": "1",
        "price": "41.50",
        "is_active": "true",
    }
    for price in ("cheap", "NaN", "1e999999", "9" * 30):
        bad = await page.post("/admin/catalogue/items/kumkum/", **form | {"price": price})
        assert bad.status_code == 422
        assert f'value="{price}"' in bad.text
    good = await page.post("/admin/catalogue/items/kumkum/", **form)
    assert good.status_code == 303
    shown = (await admin.api.get("/api/admin/catalogue/items/kumkum/")).json()
    assert (shown["price"], shown["aliases"]) == (4150, ["Roli", "Kunkum"])
    found = await sent(admin, f"{HEAD}\n{row(1)}\n")
    path = f"/admin/catalogue/imports/{found['id']}/"
    assert "New Item 1" in (await page.get(path)).text
    await page.post(path, do="apply")
    assert (await admin.api.get(f"{IMPORTS}{found['id']}/")).json()["state"] == "APPLIED"
    assert "kumkum" in (await page.get("/admin/audit/?act=item-changed")).text


@pytest.mark.usefixtures("restored")
async def test_an_item_that_is_switched_off_is_found_again(admin: Person, people: People):
    page = await signed_in(people, admin)
    path = "/api/admin/catalogue/items/kumkum/"
    item = (await admin.api.get(path)).json()
    body = {name: item[name] for name in item if name not in ("id", "currency")}
    (await admin.api.put(path, json=body | {"is_active": False})).raise_for_status()
    link = 'href="/admin/catalogue/items/kumkum/"'
    assert link not in (await page.get("/admin/catalogue/?q=kumkum")).text
    for address in ("?is_active=false", "?is_active=false&q=kumkum&category=tika"):
        assert link in (await page.get(f"/admin/catalogue/{address}")).text
    off = (await page.get("/admin/catalogue/?is_active=false")).text
    assert '<option value="false" selected>' in off
    assert "/admin/catalogue/items/haldi/" not in off


async def test_a_line_break_in_a_cell_is_a_fault_of_that_cell(admin: Person, people: People):
    broken = row(1, use='"one\ntwo"')
    found = await sent(admin, f"{HEAD}\n{broken}\n{row(2, price='0')}")
    faults = [(each["row"], each["column"], each["code"]) for each in found["faults"]]
    assert faults == [(2, "use", "line-break"), (3, "price", "amount")]
    page = await signed_in(people, admin)
    form = {"name": "Kumkum", "name_ne": "कुमकुम", "category_id": "tika", "base_unit": "packet"}
    form |= {"base_quantity": "1", "price": "41.50", "is_active": "true"}
    answer = await page.post("/admin/catalogue/items/kumkum/", **form, use="one\ntwo")
    assert answer.status_code == 422
    assert 'id="use-fault">A line break' in answer.text


async def test_more_than_a_page_of_what_waits_is_told_as_such(admin: Person, people: People):
    page = await signed_in(people, admin)
    for number in range(20):
        await people.unverified_pandit(f"Hari {'ABCDEFGHIJKLMNOPQRST'[number]}")
    assert "20 pandits wait." in (await page.get("/admin/")).text
    await people.unverified_pandit("Hari Last")
    assert "More than 20 pandits wait." in (await page.get("/admin/")).text
    page.client.cookies.set("lang", "ne")
    assert "२०" in (await page.get("/admin/")).text


async def test_the_pages_are_for_administrators(people: People):
    page = await signed_in(people, await people.customer())
    for path in ("/admin/", "/admin/catalogue/", "/admin/catalogue/items/kumkum/", "/admin/audit/"):
        assert (await page.get(path)).status_code == 403


@pytest.mark.usefixtures("restored")
async def test_the_rules_of_a_puja_are_written_over_the_api(admin: Person):
    path = "/api/admin/catalogue/pujas/satyanarayan-puja/requirements/"
    rule = {"item_id": "sindur", "type": "ESSENTIAL", "quantity": 2, "unit": "packet"}
    answer = await admin.api.put(path, json={"requirements": [rule]})
    assert answer.raise_for_status().json()["requirements"] == [rule]
    for wrong in ({"quantity": 0}, {"quantity": 1.5}, {"unit": "kg"}, {"item_id": "nothing"}):
        good = {"item_id": "kumkum", "type": "ESSENTIAL", "quantity": 1, "unit": "packet"}
        refused = await admin.api.put(path, json={"requirements": [good, rule | wrong]})
        assert refused.status_code == 422, wrong
        fields = [fault["field"] for fault in refused.json()["errors"]]
        assert fields == [f"requirements[1].{name}" for name in wrong]
    assert (await admin.api.put(path, json={"requirements": []})).status_code == 422
