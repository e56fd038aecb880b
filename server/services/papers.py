"""Certificates and portfolios: what pandits upload about themselves, and who may look at it.

A file is written before its description and deleted after it, so whatever is described is there;
a crash in between leaves a file that nobody can reach.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from server.domain import media
from server.domain import papers as rules
from server.domain.account import Actor
from server.domain.audit import Act
from server.domain.errors import FieldFault, Invalid, NotFound, PapersRelied
from server.domain.events import Event, EventKind
from server.domain.media import Media
from server.domain.metadata import without_metadata
from server.domain.pandit import Pandit, VerificationStatus
from server.domain.papers import MAX_CAPTION, Certificate, Papers, Picture
from server.domain.ports.accounts import UserRepository
from server.domain.ports.pandits import PanditRepository, PapersRepository
from server.domain.ports.world import Clock, FileStore, PictureEditor, Workers
from server.services.accounts import AccountService
from server.services.audit import AuditService
from server.services.optimistic import change
from server.services.relay import EventRelay

_NAME_BYTES: Final = 16
_SMALL_SIDE: Final = 800
"""Pixels of the longer side of what a page shows of a portfolio."""
_PHOTO_SIDE: Final = 256
"""Pixels of a photo: what a page shows of it is at most 88 wide, on a phone with three to each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PapersPolicy:
    """Bounds of uploads; see ``settings.FileSettings``."""

    max_bytes: int
    max_pixels: int
    max_certificates: int
    max_pictures: int


class PaperService:
    """The use cases of a pandit's uploads.

    ``edits`` is where pictures are unpacked, one at a time: one of the size that is allowed takes
    200 MB and a second, for which nothing else should have to wait.
    """

    def __init__(
        self,
        *,
        papers: PapersRepository,
        pandits: PanditRepository,
        users: UserRepository,
        files: FileStore,
        editor: PictureEditor,
        edits: Workers,
        accounts: AccountService,
        workers: Workers,
        relay: EventRelay,
        audit: AuditService,
        clock: Clock,
        policy: PapersPolicy,
    ) -> None:
        self._papers = papers
        self._pandits = pandits
        self._users = users
        self._files = files
        self._editor = editor
        self._edits = edits
        self._accounts = accounts
        self._workers = workers
        self._relay = relay
        self._audit = audit
        self._clock = clock
        self.policy = policy

    async def own(self, actor: Actor) -> Papers:
        """Return the actor's own uploads. Raises ``NotFound`` when he is no pandit."""
        return await self._papers.find((await self._own(actor)).id)

    # -- certificates ----------------------------------------------------------------------------

    async def add_certificate(
        self, actor: Actor, name: str, content: bytes
    ) -> tuple[str, Certificate]:
        """Keep a certificate, a picture or a PDF by its content.

        From a pandit who was rejected it is a new request: he waits for verification again.
        Returns the pandit's id beside it.

        Raises
        ------
        TooLarge, Invalid
            For what is too large, of another kind, damaged, or one too many.
        """
        pandit = await self._own(actor)
        found, plain = await self._checked(content, pictures_only=False)
        certificate = Certificate(
            id=_name(),
            name=media.plain_name(name),
            mime=found.mime,
            size=len(plain),
            uploaded_at=self._clock.now(),
        )
        await self._keep(
            pandit.id,
            {certificate.id: plain},
            lambda old: rules.with_certificate(old, certificate, self.policy.max_certificates),
        )
        if pandit.verification_status is VerificationStatus.REJECTED:
            await self._ask_again(pandit.id)
        return pandit.id, certificate

    async def remove_certificate(self, actor: Actor, certificate_id: str) -> None:
        """Delete a certificate. Raises ``PapersRelied`` while an approval rests on it."""
        pandit = await self._own(actor)
        (await self._papers.find(pandit.id)).certificate(certificate_id)
        if pandit.is_verified:
            raise PapersRelied
        await self._change(pandit.id, lambda old: rules.without_certificate(old, certificate_id))
        await self._files.remove(certificate_id)

    async def certificate(
        self, actor: Actor, pandit_id: str, certificate_id: str
    ) -> tuple[Certificate, bytes]:
        """Return a certificate and its bytes, for the pandit himself and for admins.

        That an admin has looked is recorded first. Raises ``NotFound`` for everybody else.
        """
        pandit = await self._pandits.find(pandit_id)
        if pandit is None or not (actor.is_admin or actor.user_id == pandit.user_id):
            raise NotFound
        found = (await self._papers.find(pandit_id)).certificate(certificate_id)
        await self._audit.record(
            actor,
            Act.DOCUMENT_VIEWED,
            "pandit",
            pandit_id,
            name=pandit.full_name,
            document=found.name,
        )
        return found, await self._files.read(found.id)

    # -- portfolio -------------------------------------------------------------------------------

    async def add_picture(
        self, actor: Actor, content: bytes, caption: str, caption_ne: str
    ) -> tuple[str, Picture]:
        """Put a picture at the end of the portfolio. Raises ``TooLarge``, ``Invalid``.

        Returns the pandit's id beside it.
        """
        _check_captions({"caption": caption, "caption_ne": caption_ne})
        pandit = await self._own(actor)
        found, plain = await self._checked(content, pictures_only=True)
        small = await self._edits.run(functools.partial(self._editor.smaller, plain, _SMALL_SIDE))
        is_large = max(found.width or 0, found.height or 0) > _SMALL_SIDE
        is_lighter = len(small) < len(plain)
        picture = Picture(
            id=_name(),
            small_id=_name() if is_large and is_lighter else "",
            mime=found.mime,
            size=len(plain),
            width=found.width or 0,
            height=found.height or 0,
            caption=caption.strip(),
            caption_ne=caption_ne.strip(),
            uploaded_at=self._clock.now(),
        )
        await self._keep(
            pandit.id,
            dict(zip(picture.files, (plain, small), strict=False)),
            lambda old: rules.with_picture(old, picture, self.policy.max_pictures),
        )
        return pandit.id, picture

    async def set_captions(
        self, actor: Actor, picture_id: str, captions: dict[str, str]
    ) -> tuple[str, Picture]:
        """Change ``caption`` and ``caption_ne`` of a picture, whichever is given."""
        _check_captions(captions)
        plain = {name: text.strip() for name, text in captions.items()}
        changed = await self._change_own(
            actor,
            lambda old: rules.with_captions(
                old, picture_id, plain.get("caption"), plain.get("caption_ne")
            ),
        )
        return changed.id, changed.picture(picture_id)

    async def reorder(self, actor: Actor, picture_ids: Sequence[str]) -> Papers:
        """Put all pictures in that order. Raises ``Invalid`` unless each is named once."""
        return await self._change_own(actor, lambda old: rules.in_order(old, picture_ids))

    async def move_picture(self, actor: Actor, picture_id: str, steps: int) -> Papers:
        """Move a picture forwards (below zero) or backwards."""
        return await self._change_own(actor, lambda old: rules.moved(old, picture_id, steps))

    async def remove_picture(self, actor: Actor, picture_id: str) -> None:
        """Delete a picture."""
        gone: list[Picture] = []

        def without(old: Papers) -> Papers:
            gone[:] = [old.picture(picture_id)]
            return rules.without_picture(old, picture_id)

        await self._change_own(actor, without)
        for name in gone[0].files:
            await self._files.remove(name)

    async def picture(
        self, actor: Actor | None, pandit_id: str, file_id: str
    ) -> tuple[str, bytes, bool]:
        """Return a picture's media type and bytes, and whether everybody may see it.

        ``file_id`` is the picture's id, that of its smaller copy, or that of a photo. Before the
        pandit is approved it is for himself and admins; to others it does not exist.
        """
        pandit = await self._pandits.find(pandit_id)
        if pandit is None:
            raise NotFound
        is_insider = actor is not None and (actor.is_admin or actor.user_id == pandit.user_id)
        if not (pandit.is_verified or is_insider):
            raise NotFound
        papers = await self._papers.find(pandit_id)
        mime = self._editor.mime if file_id in papers.made else papers.picture(file_id).mime
        return mime, await self._files.read(file_id), pandit.is_verified

    # -- his photo -------------------------------------------------------------------------------

    async def set_photo(self, actor: Actor, content: bytes) -> str:
        """Show that picture, cut to a square, beside the pandit's name. Returns its address.

        The account names the photo. The one before it is deleted once that is written, so a crash
        on the way leaves one that is there.

        Raises
        ------
        TooLarge, Invalid
            For what is too large, no picture, or a damaged one.
        """
        pandit = await self._own(actor)
        self._admit(content, pictures_only=True)
        photo = await self._edits.run(
            functools.partial(self._editor.portrait, content, _PHOTO_SIDE)
        )
        name = _name()
        before: list[str] = []

        def with_photo(old: Papers) -> Papers:
            before[:] = old.photos
            return rules.with_photo(old, name)

        await self._keep(pandit.id, {name: photo}, with_photo)
        address = rules.picture_address(pandit.id, name)
        await self._accounts.update_profile(actor, {"profile_pic_url": address})
        await self._drop_photos(pandit.id, before)
        return address

    async def remove_photo(self, actor: Actor) -> None:
        """Show the first letter of his name again. Without a photo nothing happens."""
        pandit = await self._own(actor)
        before = (await self._papers.find(pandit.id)).photos
        await self._accounts.update_profile(actor, {"profile_pic_url": ""})
        await self._drop_photos(pandit.id, before)

    async def _drop_photos(self, pandit_id: str, photo_ids: Sequence[str]) -> None:
        await self._change(pandit_id, lambda old: rules.without_photos(old, photo_ids))
        for photo_id in photo_ids:
            await self._files.remove(photo_id)

    # -- shared ----------------------------------------------------------------------------------

    def _admit(self, content: bytes, *, pictures_only: bool) -> Media:
        return media.admit(
            content,
            max_bytes=self.policy.max_bytes,
            max_pixels=self.policy.max_pixels,
            pictures_only=pictures_only,
        )

    async def _checked(self, content: bytes, *, pictures_only: bool) -> tuple[Media, bytes]:
        """What the content is, and the content without what it tells about its maker."""
        found = self._admit(content, pictures_only=pictures_only)
        plain = await self._workers.run(functools.partial(without_metadata, content, found.mime))
        if plain is None:
            raise Invalid(FieldFault("file", "picture-damaged"))
        return found, plain

    async def _keep(
        self, pandit_id: str, files: Mapping[str, bytes], apply: Callable[[Papers], Papers]
    ) -> None:
        apply(await self._papers.find(pandit_id))  # Refused before anything is written.
        try:
            for name, content in files.items():
                await self._files.write(name, content)
            await self._change(pandit_id, apply)
        except BaseException:
            for name in files:
                await self._files.remove(name)
            raise

    async def _change_own(self, actor: Actor, apply: Callable[[Papers], Papers]) -> Papers:
        return await self._change((await self._own(actor)).id, apply)

    async def _change(self, pandit_id: str, apply: Callable[[Papers], Papers]) -> Papers:
        return await change(lambda: self._papers.find(pandit_id), apply, self._papers.replace)

    async def _own(self, actor: Actor) -> Pandit:
        pandit = await self._pandits.find_by_user(actor.user_id)
        if pandit is None:
            raise NotFound
        return pandit

    async def _ask_again(self, pandit_id: str) -> None:
        """Put a rejected pandit back among those who wait, and tell the admins."""
        now = self._clock.now()
        admins = await self._users.list_admin_ids()

        async def load() -> Pandit:
            pandit = await self._pandits.find(pandit_id)
            if pandit is None:
                raise NotFound
            return pandit

        def apply(old: Pandit) -> Pandit:
            if old.verification_status is not VerificationStatus.REJECTED:
                return old
            event = Event(
                id=f"{old.id}.{old.version + 1}.{len(old.outbox)}",
                kind=EventKind.PANDIT_RESUBMITTED,
                at=now,
                recipients=admins,
                params={
                    "pandit": old.full_name,
                    "pandit_ne": old.full_name_ne,
                    "pandit_id": old.id,
                },
            )
            return replace(
                old,
                verification_status=VerificationStatus.PENDING,
                updated_at=now,
                outbox=(*old.outbox, event),
            )

        pandit = await change(load, apply, self._pandits.replace)
        if pandit.outbox:
            await self._relay.deliver("pandits", pandit.id, pandit.outbox)


def _name() -> str:
    return secrets.token_hex(_NAME_BYTES)


def _check_captions(captions: dict[str, str]) -> None:
    faults = [
        FieldFault(name, "too-long")
        for name, text in captions.items()
        if len(text.strip()) > MAX_CAPTION
    ]
    if faults:
        raise Invalid(*faults)
