"""Documents of before get the fields by which searches and free times are looked up."""

from __future__ import annotations

from server.domain.ports.pandits import PanditSearch
from server.store.bookings import MongoBookingRepository, booking_document
from server.store.migrations import m0002_search_keys
from server.store.pandit_directory import IndexedPanditRepository
from server.store.pandits import pandit_document
from tests.factories import make_booking
from tests.pandit_factory import make_pandit


async def test_old_documents_are_found_by_the_new_fields(store):
    old = pandit_document(make_pandit("old"))
    del old["search_keys"]
    old["search_terms"] = ["r", "ra", "ram"]
    booking = booking_document(make_booking())
    del booking["busy_pandit_id"]
    over = booking_document(make_booking(id="over", claims=()))
    assert "busy_pandit_id" not in over
    await store.collection("pandits").insert_one(old)
    await store.collection("bookings").insert_many([booking, over])
    for _ in range(2):
        await m0002_search_keys.run(store)
    page = await IndexedPanditRepository(store).search(PanditSearch(text="राम"))
    assert [hit.pandit.id for hit in page.rows] == ["old"]
    stored = await store.collection("pandits").find_one({"_id": "old"})
    made = pandit_document(make_pandit("old"))
    assert stored is not None
    assert stored["search_keys"] == list(made["search_keys"])
    assert (stored["ranking"], stored["geo"]) == (made["ranking"], made["geo"])
    assert "search_terms" not in stored
    claims = make_booking().claims
    bookings = MongoBookingRepository(store)
    found = await bookings.claims(("pandit",), claims[0], claims[-1] + 1)
    assert found == {"pandit": frozenset(claims)}
    assert "busy_pandit_id" not in await store.collection("bookings").find_one({"_id": "over"})
