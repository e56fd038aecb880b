"""Certificates and portfolios: who may upload, see, order and delete them, and what is kept."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from server.app import RunningServer
from server.settings import Settings
from tests.support import FakeClock, People, Person
from tests.talk import make_talk

PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
PLACE = b"27.7215N 85.3206E"
ORIENTATION, MAKER = 0x0112, 0x010F
MAX_UPLOAD = 64 * 1024
CERTIFICATES, PORTFOLIO = "/api/pandits/me/certification/", "/api/pandits/me/portfolio/"
OWN_PHOTO = "/api/pandits/me/photo/"


def photo(width: int = 40, height: int = 30) -> bytes:
    exif = Image.Exif()
    exif[MAKER] = PLACE.decode()
    exif[ORIENTATION] = 6
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 90, 20)).save(file, "JPEG", exif=exif)
    return file.getvalue()


PHOTO = photo()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(
        settings,
        http=dataclasses.replace(settings.http, max_upload_bytes=MAX_UPLOAD),
        files=dataclasses.replace(
            settings.files,
            max_certificates=2,
            max_pictures=3,
            max_picture_pixels=10_000,
            max_unsent=2,
        ),
    )


KEY = {"Idempotency-Key": "one-upload-only"}


async def upload(
    person: Person, path: str, content: bytes, name: str = "paper", **fields: str
) -> httpx.Response:
    # The type that the sender claims counts for nothing.
    return await person.api.post(path, data=fields, files={"file": (name, content, "text/html")})


async def kept(person: Person, path: str, content: bytes, **more: str) -> dict[str, Any]:
    answer = await upload(person, path, content, **more)
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def faults(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(each["field"], each["code"]) for each in answer.json()["errors"]]


def files_on_disk(settings: Settings) -> list[Path]:
    return [path for path in Path(settings.files.path).rglob("*") if path.is_file()]


async def test_a_certificate_is_for_its_owner_and_admins_who_leave_a_trace(
    people: People,
) -> None:
    hari, rival, customer = (
        await people.unverified_pandit(),
        await people.pandit("Rival Joshi"),
        await people.customer(),
    )
    admin = await people.admin()
    shown = await kept(hari, CERTIFICATES, PDF, name="../../शास्त्री.pdf")
    assert shown["name"] == "शास्त्री.pdf"
    assert shown["mime"] == "application/pdf"
    assert re.fullmatch(rf"/files/certificates/{hari.pandit_id}/[0-9a-f]{{32}}", shown["url"])
    for person in (rival, customer):
        assert (await person.api.get(shown["url"])).status_code in (403, 404)
    assert (await (await people.nobody()).get(shown["url"])).status_code == 401

    seen = (await hari.api.get(shown["url"])).raise_for_status()
    assert seen.content == PDF
    assert seen.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''%E0")
    assert seen.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in seen.headers["Content-Security-Policy"]
    assert seen.headers["Cache-Control"] == "no-store"
    looks = "/api/admin/audit/?act=document-viewed"
    assert (await admin.api.get(looks)).json()["results"] == []
    assert (await admin.api.get(shown["url"])).content == PDF
    (entry,) = (await admin.api.get(looks)).json()["results"]
    assert entry["target_id"] == hari.pandit_id
    assert entry["details"] == {"name": hari.full_name, "document": "शास्त्री.pdf"}
    waiting = (await admin.api.get("/api/admin/pandits/?verification_status=PENDING")).json()
    (row,) = [row for row in waiting["results"] if row["id"] == hari.pandit_id]
    assert row["certification_file"] == shown["url"]
    assert [each["id"] for each in row["certificates"]] == [shown["id"]]


async def test_public_profiles_say_nothing_of_certificates(people: People) -> None:
    pandit = await people.pandit()
    await kept(pandit, CERTIFICATES, PDF)
    public = (await (await people.nobody()).get(f"/api/pandits/{pandit.pandit_id}/")).json()
    assert "certif" not in str(public)


async def test_what_an_approval_rests_on_stays(people: People, settings: Settings) -> None:
    hari, admin = await people.unverified_pandit(), await people.admin()
    first = await kept(hari, CERTIFICATES, PDF)
    second = await kept(hari, CERTIFICATES, PHOTO, name="paper.jpg")
    full = await upload(hari, CERTIFICATES, PDF)
    assert (full.status_code, faults(full)) == (422, [("file", "too-many")])
    assert (await hari.api.delete(f"{CERTIFICATES}{first['id']}/")).status_code == 204
    assert (await hari.api.get(first["url"])).status_code == 404
    assert len(files_on_disk(settings)) == 1
    verify = f"/api/admin/pandits/{hari.pandit_id}/verify/"
    (await admin.api.post(verify, json={"decision": "approve"})).raise_for_status()
    refused = await hari.api.delete(f"{CERTIFICATES}{second['id']}/")
    assert (refused.status_code, refused.json()["type"]) == (409, "papers-relied")
    assert (await hari.api.get(second["url"])).status_code == 200


async def test_new_papers_of_a_rejected_pandit_are_a_new_request(people: People) -> None:
    hari, admin = await people.unverified_pandit(), await people.admin()
    verify = f"/api/admin/pandits/{hari.pandit_id}/verify/"
    (await admin.api.post(verify, json={"decision": "reject", "notes": "x"})).raise_for_status()
    await kept(hari, CERTIFICATES, PDF)
    await kept(hari, CERTIFICATES, PDF)
    own = (await hari.api.get("/api/pandits/me/")).json()
    assert own["verification_status"] == "PENDING"
    told = (await admin.api.get("/api/notifications/")).json()["results"]
    assert [row["notification_type"] for row in told].count("PANDIT_RESUBMITTED") == 1


async def test_a_portfolio_is_public_once_the_pandit_is_approved(people: People) -> None:
    hari, admin, nobody = (
        await people.unverified_pandit(),
        await people.admin(),
        await people.nobody(),
    )
    shown = await kept(hari, PORTFOLIO, PHOTO, caption="An altar", caption_ne="वेदी")
    assert (shown["width"], shown["height"]) == (40, 30)
    assert (shown["caption"], shown["caption_ne"]) == ("An altar", "वेदी")
    assert (await nobody.get(shown["url"])).status_code == 404
    private = (await hari.api.get(shown["url"])).raise_for_status()
    assert private.headers["Cache-Control"] == "no-store"
    verify = f"/api/admin/pandits/{hari.pandit_id}/verify/"
    (await admin.api.post(verify, json={"decision": "approve"})).raise_for_status()
    seen = (await nobody.get(shown["url"])).raise_for_status()
    assert seen.headers["Content-Type"] == "image/jpeg"
    assert seen.headers["Content-Disposition"].startswith("inline;")
    assert seen.headers["Cache-Control"] == "public, max-age=3600"
    again = await nobody.get(shown["url"], headers={"If-None-Match": seen.headers["Etag"]})
    assert (again.status_code, again.content) == (304, b"")
    public = (await nobody.get(f"/api/pandits/{hari.pandit_id}/")).json()
    assert [each["url"] for each in public["portfolio"]] == [shown["url"]]
    page = (await nobody.get(f"/pandits/{hari.pandit_id}/")).text
    assert shown["url"] in page
    (await admin.api.post(verify, json={"decision": "reject", "notes": "x"})).raise_for_status()
    assert (await nobody.get(shown["url"])).status_code == 404


async def test_where_a_picture_was_taken_is_not_kept(people: People, settings: Settings) -> None:
    assert PLACE in PHOTO
    pandit = await people.pandit()
    shown = await kept(pandit, PORTFOLIO, PHOTO)
    await kept(pandit, CERTIFICATES, PHOTO)
    for path in files_on_disk(settings):
        assert PLACE not in path.read_bytes()
    content = (await pandit.api.get(shown["url"])).content
    assert dict(Image.open(io.BytesIO(content)).getexif()) == {ORIENTATION: 6}


async def test_pictures_are_put_in_order_and_deleted(people: People, settings: Settings) -> None:
    pandit, rival = await people.pandit(), await people.pandit("Rival Joshi")
    ids = [(await kept(pandit, PORTFOLIO, PHOTO))["id"] for _ in range(3)]
    full = await upload(pandit, PORTFOLIO, PHOTO)
    assert faults(full) == [("file", "too-many")]
    order = [ids[2], ids[0], ids[1]]
    moved = await pandit.api.put(f"{PORTFOLIO}order/", json={"picture_ids": order})
    assert [each["id"] for each in moved.raise_for_status().json()["portfolio"]] == order
    bad = await pandit.api.put(f"{PORTFOLIO}order/", json={"picture_ids": order[:2]})
    assert faults(bad) == [("picture_ids", "choice")]
    named = await pandit.api.patch(f"{PORTFOLIO}{ids[0]}/", json={"caption_ne": "हवन"})
    assert (named.json()["caption"], named.json()["caption_ne"]) == ("", "हवन")
    for method, body in (("PATCH", {"caption": "mine"}), ("DELETE", None)):
        answer = await rival.api.request(method, f"{PORTFOLIO}{ids[0]}/", json=body)
        assert answer.status_code == 404
    assert (await pandit.api.delete(f"{PORTFOLIO}{ids[2]}/")).status_code == 204
    left = (await pandit.api.get(PORTFOLIO)).json()["portfolio"]
    assert [each["id"] for each in left] == order[1:]
    assert len(files_on_disk(settings)) == 2


def opened(answer: httpx.Response) -> Image.Image:
    return Image.open(io.BytesIO(answer.raise_for_status().content))


@pytest.fixture
def with_room(settings: Settings) -> Settings:
    """Settings under which a picture may be a large one."""
    return dataclasses.replace(
        settings, files=dataclasses.replace(settings.files, max_picture_pixels=10_000_000)
    )


async def test_a_photo_stands_beside_the_name_as_a_small_upright_square(
    people: People, settings: Settings
) -> None:
    hari, admin, nobody = (
        await people.unverified_pandit(),
        await people.admin(),
        await people.nobody(),
    )
    address = (await kept(hari, OWN_PHOTO, PHOTO))["url"]
    assert (await hari.api.get("/api/auth/me/")).json()["profile_pic_url"] == address
    assert (await nobody.get(address)).status_code == 404
    assert (await hari.api.get(address)).headers["Cache-Control"] == "no-store"
    verify = f"/api/admin/pandits/{hari.pandit_id}/verify/"
    (await admin.api.post(verify, json={"decision": "approve"})).raise_for_status()
    seen = await nobody.get(address)
    assert seen.headers["Content-Type"] == "image/webp"
    square = opened(seen)
    assert (square.size, dict(square.getexif())) == ((256, 256), {})
    assert PLACE not in seen.content
    assert f'src="{address}"' in (await nobody.get(f"/pandits/{hari.pandit_id}/")).text
    assert f'src="{address}"' in (await nobody.get("/pandits/")).text

    other = (await kept(hari, OWN_PHOTO, photo(30, 40)))["url"]
    assert other != address
    assert (await nobody.get(address)).status_code == 404
    assert (await nobody.get(other)).status_code == 200
    assert len(files_on_disk(settings)) == 1
    public = (await nobody.get(f"/api/pandits/{hari.pandit_id}/")).json()
    assert public["user"]["profile_pic_url"] == other
    certificate = (await kept(hari, CERTIFICATES, PHOTO))["id"]
    stolen = f"/files/portfolio/{hari.pandit_id}/{certificate}"
    assert (await hari.api.get(stolen)).status_code == 404, "no other file goes out at this door"

    for _ in range(2):
        assert (await hari.api.delete(OWN_PHOTO)).status_code == 204
    assert (await nobody.get(other)).status_code == 404
    assert (await hari.api.get("/api/auth/me/")).json()["profile_pic_url"] == ""


async def test_a_photo_that_cannot_be_read_leaves_the_one_before(
    people: People, settings: Settings
) -> None:
    pandit = await people.pandit()
    address = (await kept(pandit, OWN_PHOTO, PHOTO))["url"]
    for content, code in ((PHOTO[:-40], "damaged"), (PDF, "type"), (photo(200, 100), "size")):
        refused = await upload(pandit, OWN_PHOTO, content)
        assert faults(refused) == [("file", f"picture-{code}")]
    assert (await pandit.api.get(address)).status_code == 200
    assert len(files_on_disk(settings)) == 1


async def test_a_photo_is_set_and_taken_away_without_script(people: People) -> None:
    pandit = await people.pandit()
    client = await browser(people, pandit)
    xsrf = await token(client, "/pandit/photo/")
    assert "You have no photo yet." in (await client.get("/pandit/photo/")).text
    wrong = await client.post("/pandit/photo/", data={"_xsrf": xsrf}, files={"file": ("a", PDF)})
    assert wrong.status_code == 422
    assert "Only pictures (JPEG, PNG, WebP) are accepted." in wrong.text
    sent = await client.post(
        "/pandit/photo/", data={"_xsrf": xsrf}, files={"file": ("me.jpg", PHOTO)}
    )
    assert (sent.status_code, sent.headers["Location"]) == (303, "/pandit/photo/")
    page = (await client.get("/pandit/photo/")).text
    address = (await pandit.api.get("/api/auth/me/")).json()["profile_pic_url"]
    assert "This is your photo now." in page
    assert f'src="{address}"' in page
    await client.post("/pandit/photo/remove/", data={"_xsrf": xsrf})
    assert f'src="{address}"' not in (await client.get("/pandit/photo/")).text


class TestLargePictures:
    @pytest.fixture
    def settings(self, with_room: Settings) -> Settings:
        return dataclasses.replace(
            with_room, http=dataclasses.replace(with_room.http, max_upload_bytes=4_000_000)
        )

    async def test_pages_show_a_smaller_copy_of_a_large_picture(
        self, people: People, settings: Settings
    ) -> None:
        pandit, nobody = await people.pandit(), await people.nobody()
        large = await kept(pandit, PORTFOLIO, noise(2000, 1500))
        small = await kept(pandit, PORTFOLIO, PHOTO)
        assert (large["width"], large["height"]) == (2000, 1500)
        assert large["small_url"] != large["url"]
        assert small["small_url"] == small["url"]
        whole, copy = await nobody.get(large["url"]), await nobody.get(large["small_url"])
        assert opened(whole).size == (2000, 1500)
        # Held upright: the direction that the camera noted is applied.
        assert opened(copy).size == (600, 800)
        assert copy.headers["Content-Type"] == "image/webp"
        assert 4 * len(copy.content) < len(whole.content)
        page = (await nobody.get(f"/pandits/{pandit.pandit_id}/")).text
        assert f'src="{large["small_url"]}"' in page
        assert f'href="{large["url"]}"' in page
        assert len(files_on_disk(settings)) == 3
        assert (await pandit.api.delete(f"{PORTFOLIO}{large['id']}/")).status_code == 204
        assert (await nobody.get(large["small_url"])).status_code == 404
        assert len(files_on_disk(settings)) == 1


def noise(width: int, height: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    file = io.BytesIO()
    picture = Image.effect_noise((width, height), 60).convert("RGB")
    picture.save(file, "JPEG", exif=exif, quality=85)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "type"),
        (b"<html><body>", "type"),
        (b"GIF89a" + bytes(40), "type"),
        (PDF, "type"),
        (PHOTO[:200], "damaged"),
        (PHOTO[:-40], "damaged"),
        (photo(200, 100), "size"),
    ],
    ids=["svg", "html", "gif", "pdf", "head-only", "cut", "too-many-pixels"],
)
async def test_what_is_no_whole_picture_is_refused_and_not_kept(
    people: People, settings: Settings, content: bytes, code: str
) -> None:
    pandit = await people.pandit()
    refused = await upload(pandit, PORTFOLIO, content, name="x.jpg")
    assert (refused.status_code, faults(refused)) == (422, [("file", f"picture-{code}")])
    assert files_on_disk(settings) == []


async def test_a_large_file_and_a_long_caption_are_refused(people: People) -> None:
    pandit = await people.pandit()
    large = await upload(pandit, CERTIFICATES, b"%PDF-" + bytes(MAX_UPLOAD + 100_000))
    assert large.status_code == 413
    long = await upload(pandit, PORTFOLIO, PHOTO, caption="x" * 201)
    assert faults(long) == [("caption", "too-long")]
    assert (await pandit.api.get(CERTIFICATES)).json() == {"certificates": []}


async def test_uploads_that_race_keep_to_the_limit(people: People, settings: Settings) -> None:
    pandit = await people.pandit()
    answers = await asyncio.gather(*(upload(pandit, PORTFOLIO, PHOTO) for _ in range(6)))
    assert sorted({each.status_code for each in answers}) in ([201, 422], [201, 409, 422])
    shown = (await pandit.api.get(PORTFOLIO)).json()["portfolio"]
    added = sum(each.status_code == 201 for each in answers)
    assert len(shown) == added == len(files_on_disk(settings)) <= 3


# -- pages, without script -----------------------------------------------------------------------


async def browser(people: People, person: Person) -> httpx.AsyncClient:
    """The person's browser: cookies, and the form's token."""
    client = await people.nobody()
    client.cookies.set("access", person.access)
    return client


async def token(client: httpx.AsyncClient, path: str) -> str:
    page = (await client.get(path)).raise_for_status().text
    found = re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


async def test_both_are_kept_up_on_pages_without_script(people: People) -> None:
    hari = await people.unverified_pandit()
    client = await browser(people, hari)
    xsrf = await token(client, "/pandit/certificates/")
    sent = await client.post(
        "/pandit/certificates/", data={"_xsrf": xsrf}, files={"file": ("a.pdf", PDF)}
    )
    assert (sent.status_code, sent.headers["Location"]) == (303, "/pandit/certificates/")
    page = (await client.get("/pandit/certificates/")).text
    assert "a.pdf" in page
    (certificate,) = (await hari.api.get(CERTIFICATES)).json()["certificates"]
    paper = f"/pandit/certificates/{certificate['id']}/"
    assert "Delete a.pdf?" in (await client.post(paper, data={"_xsrf": xsrf})).text
    assert len((await hari.api.get(CERTIFICATES)).json()["certificates"]) == 1
    gone = await client.post(paper, data={"_xsrf": xsrf, "confirmed": "true"})
    assert gone.status_code == 303
    assert (await client.post(paper, data={"_xsrf": xsrf})).status_code == 404
    assert (await hari.api.get(CERTIFICATES)).json()["certificates"] == []

    for caption in ("First", "Second"):
        sent = await client.post(
            "/pandit/portfolio/",
            data={"_xsrf": xsrf, "caption": caption, "caption_ne": "हवन"},
            files={"file": ("a.jpg", PHOTO)},
        )
        assert sent.status_code == 303
    first, second = (await hari.api.get(PORTFOLIO)).json()["portfolio"]
    await client.post(f"/pandit/portfolio/{second['id']}/", data={"_xsrf": xsrf, "do": "earlier"})
    await client.post(
        f"/pandit/portfolio/{first['id']}/", data={"_xsrf": xsrf, "do": "save", "caption": "New"}
    )
    shown = (await hari.api.get(PORTFOLIO)).json()["portfolio"]
    assert [(each["caption"], each["caption_ne"]) for each in shown] == [
        ("Second", "हवन"),
        ("New", ""),
    ]
    assert "Second" in (await client.get("/pandit/portfolio/")).text
    picture, remove = f"/pandit/portfolio/{first['id']}/", {"_xsrf": xsrf, "do": "remove"}
    assert "Delete picture 2?" in (await client.post(picture, data=remove)).text
    assert len((await hari.api.get(PORTFOLIO)).json()["portfolio"]) == 2
    await client.post(picture, data={**remove, "confirmed": "true"})
    assert len((await hari.api.get(PORTFOLIO)).json()["portfolio"]) == 1
    assert (await client.post(picture, data=remove)).status_code == 404


async def test_a_form_from_elsewhere_uploads_nothing(people: People) -> None:
    hari = await people.unverified_pandit()
    client = await browser(people, hari)
    for fields in ({}, {"_xsrf": "2|aaaaaaaa|bbbb|1"}):
        answer = await client.post(
            "/pandit/certificates/", data=fields, files={"file": ("a.pdf", PDF)}
        )
        assert answer.status_code == 403
    assert (await hari.api.get(CERTIFICATES)).json()["certificates"] == []


@pytest.mark.parametrize("path", ["/pandit/certificates/", "/pandit/portfolio/"])
async def test_a_refused_upload_is_explained_on_its_form(people: People, path: str) -> None:
    hari = await people.unverified_pandit()
    client = await browser(people, hari)
    xsrf = await token(client, path)
    for files, status in (
        ({"file": ("a.html", b"<html>")}, 422),
        ({"file": ("a.pdf", b"%PDF-" + bytes(MAX_UPLOAD + 100_000))}, 413),
        ({"other": ("a.pdf", PDF)}, 422),
    ):
        answer = await client.post(path, data={"_xsrf": xsrf}, files=files)
        assert answer.status_code == status
        assert 'role="alert"' in answer.text


async def test_captions_stay_typed_when_the_file_was_forgotten(people: People) -> None:
    hari = await people.unverified_pandit()
    client = await browser(people, hari)
    xsrf = await token(client, "/pandit/portfolio/")
    answer = await client.post(
        "/pandit/portfolio/",
        data={"_xsrf": xsrf, "caption": "An altar in Patan", "caption_ne": "पाटनको वेदी"},
        files={"other": ("a.jpg", PHOTO)},
    )
    assert answer.status_code == 422
    assert 'value="An altar in Patan"' in answer.text
    assert 'value="पाटनको वेदी"' in answer.text


# -- files of chats that are not sent --------------------------------------------------------------


async def test_files_that_are_never_sent_are_removed_and_those_sent_stay(
    server: RunningServer, people: People, clock: FakeClock, settings: Settings
) -> None:
    talk = await make_talk(people, server.port)
    room, path = {"room_id": talk.room_id}, "/api/chat/attachments/"
    sent = await kept(talk.customer, path, PHOTO, **room)
    left = await kept(talk.customer, path, PDF, **room)
    assert PLACE not in (await talk.customer.api.get(sent["file_url"])).content
    too_many = await upload(talk.customer, path, PDF, **room)
    assert faults(too_many) == [("file", "too-many")]
    body = {**room, "message_type": "IMAGE", "attachment_id": sent["id"]}
    (await talk.customer.api.post("/api/messages/send/", json=body)).raise_for_status()
    await kept(talk.customer, path, PDF, **room)
    clock.advance(hours=25)
    assert await server.services.chats.drop_abandoned() == 2
    assert await server.services.chats.drop_abandoned() == 0
    await people.sign_in_again(talk.customer)
    assert (await talk.customer.api.get(sent["file_url"])).status_code == 200
    assert (await talk.customer.api.get(left["file_url"])).status_code == 404
    assert len(files_on_disk(settings)) == 1
    late = {**room, "message_type": "IMAGE", "attachment_id": left["id"]}
    refused = await talk.customer.api.post("/api/messages/send/", json=late)
    assert faults(refused) == [("attachment_id", "attachment")]


async def test_a_message_that_is_refused_keeps_no_file(
    server: RunningServer, people: People, clock: FakeClock, settings: Settings
) -> None:
    talk = await make_talk(people, server.port)
    room, path = {"room_id": talk.room_id}, "/api/chat/attachments/"
    by_rest = await kept(talk.customer, path, PHOTO, **room)
    by_socket = await kept(talk.customer, path, PDF, **room)
    too_long = "long " * 1000
    body = {**room, "message_type": "IMAGE", "attachment_id": by_rest["id"], "content": too_long}
    refused = await talk.customer.api.post("/api/messages/send/", json=body)
    assert faults(refused) == [("content", "too-long")]
    async with talk.socket(talk.customer) as client:
        wish = {"attachment": {"id": by_socket["id"]}, "content": too_long, "cid": "c-1"}
        await client.send(type="FILE", **wish)
        assert (await client.next("error"))["code"] == "too_large"
    clock.advance(hours=25)
    assert await server.services.chats.drop_abandoned() == 2
    assert files_on_disk(settings) == []


@pytest.mark.parametrize("path", [CERTIFICATES, PORTFOLIO, OWN_PHOTO])
async def test_an_upload_that_is_sent_twice_is_kept_once(people: People, path: str) -> None:
    hari = await people.unverified_pandit()

    async def sent(content: bytes, name: str = "paper", **fields: str) -> httpx.Response:
        # Each time parted at another boundary.
        files = {"file": (name, content, "image/jpeg")}
        return await hari.api.post(path, data=fields, files=files, headers=KEY)

    first, again = await sent(PHOTO), await sent(PHOTO)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    others = [await sent(photo(20, 20)), await sent(PHOTO, "other"), await sent(PHOTO, caption="x")]
    assert [each.status_code for each in others] == [422, 422, 422]
    assert {each.json()["type"] for each in others} == {"idempotency-key-reused"}
    second = {"Idempotency-Key": "another-upload"}
    unlike = await hari.api.post(path, files={"file": ("paper", PHOTO)}, headers=second)
    assert unlike.json() != first.json()


async def test_a_file_whose_name_is_no_text_is_kept_under_its_key(people: People) -> None:
    hari = await people.unverified_pandit()
    # Half of a pair, as only UTF-7 can say it.
    head = b"Content-Disposition: form-data; name=\"file\"; filename*=utf-7''%2B2AA-"
    body = b"--b\r\n" + head + b"\r\n\r\n" + PDF + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b", **KEY}
    answer = await hari.api.post(CERTIFICATES, content=body, headers=headers)
    assert (answer.status_code, answer.json()["name"]) == (201, "file")
