"""A pandit's certificates and portfolio, and their files."""

from __future__ import annotations

from typing import Final

from server.domain import errors
from server.domain.account import Actor
from server.handlers.base import ADMIN, PANDIT, ApiHandler, operation
from server.handlers.routing import Route
from server.handlers.uploads import FileHandler, UploadHandler
from server.schemas.base import changes_of
from server.schemas.papers import (
    CaptionsRequest,
    CertificateResponse,
    CertificatesResponse,
    OrderRequest,
    PhotoResponse,
    PictureResponse,
    PortfolioResponse,
    present_certificate,
    present_certificates,
    present_picture,
    present_portfolio,
)

_UPLOAD_ERRORS: Final = (
    errors.NotFound,
    errors.TooLarge,
    errors.Invalid,
    errors.UnsupportedMedia,
    errors.Overloaded,
)


class CertificatesHandler(UploadHandler):
    """``/api/pandits/me/certification/``."""

    @operation("List one's own certificates", roles=PANDIT, errors=(errors.NotFound,))
    async def get(self, actor: Actor) -> CertificatesResponse:
        return present_certificates(await self.services.papers.own(actor), self.reader)

    @operation(
        "Upload a certificate, a picture or a PDF (multipart: file); admins alone see it",
        status=201,
        roles=PANDIT,
        door="upload",
        idempotent=True,
        errors=_UPLOAD_ERRORS,
    )
    async def post(self, actor: Actor) -> CertificateResponse:
        sent = self.upload()
        pandit_id, certificate = await self.services.papers.add_certificate(
            actor, sent.name, sent.content
        )
        return present_certificate(pandit_id, certificate, self.reader)


class CertificateHandler(ApiHandler):
    """``/api/pandits/me/certification/{id}/``."""

    @operation(
        "Delete a certificate on which no approval rests",
        status=204,
        roles=PANDIT,
        errors=(errors.NotFound, errors.PapersRelied),
    )
    async def delete(self, certificate_id: str, actor: Actor) -> None:
        await self.services.papers.remove_certificate(actor, certificate_id)


class PortfolioHandler(UploadHandler):
    """``/api/pandits/me/portfolio/``."""

    @operation("List one's own portfolio", roles=PANDIT, errors=(errors.NotFound,))
    async def get(self, actor: Actor) -> PortfolioResponse:
        return present_portfolio(await self.services.papers.own(actor))

    @operation(
        "Upload a picture (multipart: file, and caption, caption_ne where wanted)",
        status=201,
        roles=PANDIT,
        door="upload",
        idempotent=True,
        errors=_UPLOAD_ERRORS,
    )
    async def post(self, actor: Actor) -> PictureResponse:
        sent = self.upload()
        pandit_id, picture = await self.services.papers.add_picture(
            actor,
            sent.content,
            sent.fields.get("caption", ""),
            sent.fields.get("caption_ne", ""),
        )
        return present_picture(pandit_id, picture)


class PortfolioOrderHandler(ApiHandler):
    """``/api/pandits/me/portfolio/order/``."""

    @operation("Put the portfolio in another order", roles=PANDIT, errors=(errors.NotFound,))
    async def put(self, actor: Actor, body: OrderRequest) -> PortfolioResponse:
        return present_portfolio(await self.services.papers.reorder(actor, body.picture_ids))


class PictureHandler(ApiHandler):
    """``/api/pandits/me/portfolio/{id}/``."""

    @operation("Change a picture's captions", roles=PANDIT, errors=(errors.NotFound,))
    async def patch(self, picture_id: str, actor: Actor, body: CaptionsRequest) -> PictureResponse:
        pandit_id, picture = await self.services.papers.set_captions(
            actor, picture_id, changes_of(body)
        )
        return present_picture(pandit_id, picture)

    @operation(
        "Delete a picture of one's portfolio", status=204, roles=PANDIT, errors=(errors.NotFound,)
    )
    async def delete(self, picture_id: str, actor: Actor) -> None:
        await self.services.papers.remove_picture(actor, picture_id)


class PhotoHandler(UploadHandler):
    """``/api/pandits/me/photo/``."""

    @operation(
        "Show a picture beside one's name (multipart: file), cut to a square",
        status=201,
        roles=PANDIT,
        door="upload",
        idempotent=True,
        errors=_UPLOAD_ERRORS,
    )
    async def post(self, actor: Actor) -> PhotoResponse:
        return PhotoResponse(url=await self.services.papers.set_photo(actor, self.upload().content))

    @operation("Take one's photo away", status=204, roles=PANDIT, errors=(errors.NotFound,))
    async def delete(self, actor: Actor) -> None:
        await self.services.papers.remove_photo(actor)


class CertificateFileHandler(FileHandler):
    """``/files/certificates/{pandit_id}/{id}``."""

    @operation(
        "Fetch a certificate; an admin's look is recorded",
        roles=PANDIT | ADMIN,
        errors=(errors.NotFound,),
    )
    async def get(self, pandit_id: str, certificate_id: str, actor: Actor) -> bytes:
        found, content = await self.services.papers.certificate(actor, pandit_id, certificate_id)
        self.describe_file(found.name, found.mime)
        return content


class PictureFileHandler(FileHandler):
    """``/files/portfolio/{pandit_id}/{id}``."""

    @operation("Fetch a picture of a portfolio, or a photo", errors=(errors.NotFound,))
    async def get(self, pandit_id: str, file_id: str, actor: Actor | None) -> bytes:
        mime, content, is_public = await self.services.papers.picture(actor, pandit_id, file_id)
        self.describe_file(file_id, mime, is_public=is_public)
        return content


# The order's address stands before {id}: the first pattern that matches wins.
ROUTES: Final = (
    Route("/api/pandits/me/certification/", CertificatesHandler, "certificates"),
    Route("/api/pandits/me/certification/{id}/", CertificateHandler, "certificate"),
    Route("/api/pandits/me/portfolio/", PortfolioHandler, "portfolio"),
    Route("/api/pandits/me/portfolio/order/", PortfolioOrderHandler, "portfolio-order"),
    Route("/api/pandits/me/portfolio/{id}/", PictureHandler, "portfolio-picture"),
    Route("/api/pandits/me/photo/", PhotoHandler, "photo"),
    Route("/files/certificates/{pandit_id}/{id}", CertificateFileHandler, "certificate-file"),
    Route("/files/portfolio/{pandit_id}/{id}", PictureFileHandler, "portfolio-file"),
)
