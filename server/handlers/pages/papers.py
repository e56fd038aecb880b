"""A pandit's certificates and portfolio: forms that upload, without script too."""

from __future__ import annotations

from typing import Final

from tornado import web

from server.domain.errors import NotFound
from server.handlers.base import PANDIT
from server.handlers.page_base import Form
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.handlers.uploads import UploadBody
from server.schemas.base import changes_of
from server.schemas.pandits import present_own
from server.schemas.papers import CaptionsRequest, present_certificates, present_portfolio

_CERTIFICATES: Final = "/pandit/certificates/"
_PORTFOLIO: Final = "/pandit/portfolio/"
_PHOTO: Final = "/pandit/photo/"


class UploadPage(UploadBody, Page):
    """Base of pages with a form that sends one file."""

    roles = PANDIT
    section = "profile"

    async def prepare(self) -> None:
        """Ask who uploads before anything is read."""
        await super().prepare()
        if self.request.method == "POST":
            await self.limit("upload")
            self.take_large_body()

    def check_xsrf_cookie(self) -> None:
        """Left to :meth:`take_fields`: the token stands in the body, which is not here yet."""

    def take_fields(self, given: dict[str, str]) -> None:
        """Keep what was typed for the form shown again, once the form is known to be ours."""
        for name, value in given.items():
            self.request.arguments[name] = [value.encode()]
            self.request.body_arguments[name] = [value.encode()]
        web.RequestHandler.check_xsrf_cookie(self)


class CertificatesPage(UploadPage):
    """The certificates, and a form for one more."""

    async def get(self) -> None:
        """Show them."""
        await self._show(Form())

    async def post(self) -> None:
        """Keep one more."""
        await self.submit(self._add, self._show)

    async def _add(self) -> str:
        sent = self.upload()
        await self.services.papers.add_certificate(self.person, sent.name, sent.content)
        self.flash("good", self.translate("The certificate is uploaded. Our team looks at it."))
        return _CERTIFICATES

    async def _show(self, form: Form) -> None:
        profile = await self.services.pandits.own_profile(self.person)
        papers = profile.papers
        await self.show(
            "pandit/certificates.html",
            title=self.translate("Your certificates"),
            own=present_own(profile, self.reader),
            certificates=present_certificates(papers, self.reader).certificates,
            most=self.services.papers.policy.max_certificates,
            max_bytes=self.services.papers.policy.max_bytes,
            upload_form=form,
        )


class CertificatePage(Page):
    """Deleting a certificate."""

    roles = PANDIT

    async def post(self, certificate_id: str) -> None:
        """Delete it, once that is confirmed."""
        if not self.is_confirmed:
            await self._ask(certificate_id)
            return

        async def remove() -> str:
            await self.services.papers.remove_certificate(self.person, certificate_id)
            self.flash("good", self.translate("The certificate is deleted."))
            return _CERTIFICATES

        await self.do(remove, _CERTIFICATES)

    async def _ask(self, certificate_id: str) -> None:
        papers = (await self.services.pandits.own_profile(self.person)).papers
        name = next((each.name for each in papers.certificates if each.id == certificate_id), None)
        if name is None:
            raise NotFound
        await self.ask(
            self.translate("Delete {name}?", name=name),
            text=self.translate("The file is gone for good."),
            yes=self.translate("Delete"),
            back=_CERTIFICATES,
        )


class PortfolioPage(UploadPage):
    """The portfolio, and a form for one more picture."""

    async def get(self) -> None:
        """Show it."""
        await self._show(Form())

    async def post(self) -> None:
        """Add a picture."""
        await self.submit(self._add, self._show)

    async def _add(self) -> str:
        sent = self.upload()
        await self.services.papers.add_picture(
            self.person,
            sent.content,
            sent.fields.get("caption", ""),
            sent.fields.get("caption_ne", ""),
        )
        self.flash("good", self.translate("The picture is in your portfolio."))
        return _PORTFOLIO

    async def _show(self, form: Form) -> None:
        profile = await self.services.pandits.own_profile(self.person)
        await self.show(
            "pandit/portfolio.html",
            title=self.translate("Your portfolio"),
            own=present_own(profile, self.reader),
            pictures=present_portfolio(profile.papers).portfolio,
            most=self.services.papers.policy.max_pictures,
            max_bytes=self.services.papers.policy.max_bytes,
            upload_form=form,
        )


class PicturePage(Page):
    """A picture's captions and place, and its end."""

    roles = PANDIT

    async def post(self, picture_id: str) -> None:
        """Do what the button says; a picture is deleted only once that is confirmed."""
        papers, moves = self.services.papers, {"earlier": -1, "later": 1}
        wanted = self.typed.get("do", "save")
        if wanted == "remove" and not self.is_confirmed:
            await self._ask(picture_id)
            return

        async def change() -> str:
            if wanted == "remove":
                await papers.remove_picture(self.person, picture_id)
                self.flash("good", self.translate("The picture is deleted."))
            elif wanted in moves:
                await papers.move_picture(self.person, picture_id, moves[wanted])
            elif wanted == "save":
                given = {name: self.typed.get(name, "") for name in ("caption", "caption_ne")}
                body = self.read(CaptionsRequest, **given)
                await papers.set_captions(self.person, picture_id, changes_of(body))
                self.flash("good", self.translate("The captions are saved."))
            else:
                raise NotFound
            return f"{_PORTFOLIO}#picture-{picture_id}" if wanted != "remove" else _PORTFOLIO

        await self.do(change, _PORTFOLIO)

    async def _ask(self, picture_id: str) -> None:
        pictures = (await self.services.pandits.own_profile(self.person)).papers.portfolio
        place = next((at for at, each in enumerate(pictures) if each.id == picture_id), None)
        if place is None:
            raise NotFound
        await self.ask(
            self.translate("Delete picture {n}?", n=place + 1),
            text=self.translate("The file is gone for good."),
            yes=self.translate("Delete"),
            back=f"{_PORTFOLIO}#picture-{picture_id}",
            sent={"do": "remove"},
        )


class PhotoPage(UploadPage):
    """The photo beside the pandit's name, and a form for another one."""

    async def get(self) -> None:
        """Show it."""
        await self._show(Form())

    async def post(self) -> None:
        """Show another one."""
        await self.submit(self._set, self._show)

    async def _set(self) -> str:
        await self.services.papers.set_photo(self.person, self.upload().content)
        self.flash("good", self.translate("This is your photo now."))
        return _PHOTO

    async def _show(self, form: Form) -> None:
        profile = await self.services.pandits.own_profile(self.person)
        await self.show(
            "pandit/photo.html",
            title=self.translate("Your photo"),
            own=present_own(profile, self.reader),
            max_bytes=self.services.papers.policy.max_bytes,
            upload_form=form,
        )


class NoPhotoPage(Page):
    """Taking the photo away."""

    roles = PANDIT

    async def get(self) -> None:
        """Go where the button is."""
        self.go(_PHOTO)

    async def post(self) -> None:
        """Take it away; what was uploaded can be uploaded again, so nobody is asked."""

        async def remove() -> str:
            await self.services.papers.remove_photo(self.person)
            self.flash("good", self.translate("Your photo is taken away."))
            return _PHOTO

        await self.do(remove, _PHOTO)


ROUTES: Final = (
    Route(_PHOTO, PhotoPage, "page-photo"),
    Route(f"{_PHOTO}remove/", NoPhotoPage, "page-photo-remove"),
    Route(_CERTIFICATES, CertificatesPage, "page-certificates"),
    Route(f"{_CERTIFICATES}{{id}}/", CertificatePage, "page-certificate"),
    Route(_PORTFOLIO, PortfolioPage, "page-portfolio"),
    Route(f"{_PORTFOLIO}{{id}}/", PicturePage, "page-portfolio-picture"),
)
