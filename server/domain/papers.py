"""What a pandit uploads about himself: certificates for the admins, pictures for everybody."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from server.domain.errors import FieldFault, Invalid, NotFound

MAX_CAPTION: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A paper that shows what he has learnt; for himself and admins alone.

    ``id`` is the random name of the file, ``name`` the one that he gave it, ``size`` its bytes.
    """

    id: str
    name: str
    mime: str
    size: int
    uploaded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of his work, with a caption in each language. ``id`` is the file's random name.

    ``small_id`` names the copy of it that pages show, empty where the picture is small itself.
    """

    id: str
    mime: str
    size: int
    width: int
    height: int
    caption: str = ""
    caption_ne: str = ""
    small_id: str = ""
    uploaded_at: datetime

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files."""
        return (self.id, self.small_id) if self.small_id else (self.id,)


T = TypeVar("T", Certificate, Picture)


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """All uploads of one pandit, whose id is ``id``. ``version`` 0: nothing is stored yet.

    ``photos`` names the files of his photo: the account shows one of them, any before the last is
    about to be deleted.
    """

    id: str
    certificates: tuple[Certificate, ...] = ()
    portfolio: tuple[Picture, ...] = ()
    photos: tuple[str, ...] = ()
    version: int = 0

    def certificate(self, certificate_id: str) -> Certificate:
        """The certificate of that id. Raises ``NotFound``."""
        return _of(self.certificates, certificate_id)

    def picture(self, picture_id: str) -> Picture:
        """The picture of that id. Raises ``NotFound``."""
        return _of(self.portfolio, picture_id)

    @property
    def made(self) -> frozenset[str]:
        """The names of the files that we made of his pictures: smaller copies, and his photo."""
        return frozenset(each.small_id for each in self.portfolio if each.small_id).union(
            self.photos
        )


def with_certificate(papers: Papers, certificate: Certificate, most: int) -> Papers:
    """Add a certificate. Raises ``Invalid`` when there are ``most`` already."""
    if len(papers.certificates) >= most:
        raise Invalid(FieldFault("file", "too-many"))
    return replace(papers, certificates=(*papers.certificates, certificate))


def without_certificate(papers: Papers, certificate_id: str) -> Papers:
    """Take a certificate out. Raises ``NotFound``."""
    gone = papers.certificate(certificate_id)
    return replace(papers, certificates=tuple(each for each in papers.certificates if each != gone))


def with_picture(papers: Papers, picture: Picture, most: int) -> Papers:
    """Add a picture behind the others. Raises ``Invalid`` when there are ``most`` already."""
    if len(papers.portfolio) >= most:
        raise Invalid(FieldFault("file", "too-many"))
    return replace(papers, portfolio=(*papers.portfolio, picture))


def without_picture(papers: Papers, picture_id: str) -> Papers:
    """Take a picture out. Raises ``NotFound``."""
    gone = papers.picture(picture_id)
    return replace(papers, portfolio=tuple(each for each in papers.portfolio if each != gone))


def with_captions(
    papers: Papers, picture_id: str, caption: str | None, caption_ne: str | None
) -> Papers:
    """Change the captions of a picture, None leaves one as it is. Raises ``NotFound``."""
    old = papers.picture(picture_id)
    new = replace(
        old,
        caption=old.caption if caption is None else caption,
        caption_ne=old.caption_ne if caption_ne is None else caption_ne,
    )
    return replace(
        papers, portfolio=tuple(new if each is old else each for each in papers.portfolio)
    )


def picture_address(pandit_id: str, file_id: str) -> str:
    """Where a picture is fetched, its smaller copy, or a photo."""
    return f"/files/portfolio/{pandit_id}/{file_id}"


def with_photo(papers: Papers, photo_id: str) -> Papers:
    """Add a photo; those before it stay until the account shows it."""
    return replace(papers, photos=(*papers.photos, photo_id))


def without_photos(papers: Papers, photo_ids: Collection[str]) -> Papers:
    """Take photos out; those that are gone already are no error."""
    left = tuple(each for each in papers.photos if each not in photo_ids)
    return papers if left == papers.photos else replace(papers, photos=left)


def in_order(papers: Papers, picture_ids: Sequence[str]) -> Papers:
    """Put the pictures in that order. Raises ``Invalid`` unless each of them is named once."""
    known = {picture.id: picture for picture in papers.portfolio}
    if len(picture_ids) != len(known) or set(picture_ids) != set(known):
        raise Invalid(FieldFault("picture_ids", "choice"))
    return replace(papers, portfolio=tuple(known[each] for each in picture_ids))


def moved(papers: Papers, picture_id: str, steps: int) -> Papers:
    """Move a picture forwards (below zero) or backwards, at most to an end."""
    picture = papers.picture(picture_id)
    others = [each for each in papers.portfolio if each is not picture]
    place = papers.portfolio.index(picture) + steps
    others.insert(min(max(place, 0), len(others)), picture)
    return replace(papers, portfolio=tuple(others))


def _of(items: tuple[T, ...], wanted: str) -> T:
    for each in items:
        if each.id == wanted:
            return each
    raise NotFound
