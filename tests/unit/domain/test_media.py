"""Files that try to be more work than they are."""

from __future__ import annotations

import pytest

from server.domain.media import Media, recognise

FRAME = b"\xff\xc0\x00\x11\x08\x00\x10\x00\x20\x03" + bytes(9)


class CountingBytes(bytes):
    """Counts how often a single byte is asked for."""

    looks = 0

    def __getitem__(self, place):
        type(self).looks += isinstance(place, int)
        return super().__getitem__(place)


@pytest.mark.parametrize("rest", [b"\xff" * 200_000, b"\xd0\xff" * 100_000], ids=["fill", "bare"])
def test_a_picture_of_nothing_but_markers_is_soon_given_up(rest):
    CountingBytes.looks = 0
    assert recognise(CountingBytes(b"\xff\xd8\xff" + rest)) == Media("image/jpeg", None, None)
    assert CountingBytes.looks < 5000


def test_a_picture_tells_its_size_behind_segments_and_fill_bytes():
    segments = b"\xff\xe0\x00\x04ab" * 40 + b"\xff\xff\xff"
    assert recognise(b"\xff\xd8" + segments + FRAME) == Media("image/jpeg", 32, 16)
