"""Certificates and portfolios on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from server.domain.papers import MAX_CAPTION, Certificate, Papers, Picture, picture_address
from server.schemas.base import Id, Reader, Request

Caption = Annotated[str, Meta(max_length=MAX_CAPTION)]


class CaptionsRequest(Request, frozen=True, kw_only=True):
    """What may change of a picture; absent fields stay."""

    caption: Caption | UnsetType = UNSET
    caption_ne: Caption | UnsetType = UNSET


class OrderRequest(Request, frozen=True, kw_only=True):
    """All pictures of the portfolio, each once, in the new order."""

    picture_ids: Annotated[tuple[Id, ...], Meta(max_length=200)]


class CertificateResponse(Struct, frozen=True, kw_only=True):
    """A certificate; ``url`` answers its owner and admins alone. ``size`` in bytes."""

    id: str
    url: str
    name: str
    mime: str
    size: int
    uploaded_at: datetime


class PictureResponse(Struct, frozen=True, kw_only=True):
    """A picture of a pandit's work. Width and height in pixels, as stored.

    ``small_url`` is a copy for pages, at most 800 pixels on its longer side.
    """

    id: str
    url: str
    small_url: str
    width: int
    height: int
    caption: str
    caption_ne: str


class PhotoResponse(Struct, frozen=True, kw_only=True):
    """Where a pandit's photo is, which everybody sees once he is approved."""

    url: str


class CertificatesResponse(Struct, frozen=True, kw_only=True):
    """All certificates of a pandit, the first one first."""

    certificates: list[CertificateResponse]


class PortfolioResponse(Struct, frozen=True, kw_only=True):
    """All pictures of a pandit, in his order."""

    portfolio: list[PictureResponse]


def present_certificate(
    pandit_id: str, certificate: Certificate, reader: Reader
) -> CertificateResponse:
    """Show a certificate to its owner or an admin."""
    return CertificateResponse(
        id=certificate.id,
        url=f"/files/certificates/{pandit_id}/{certificate.id}",
        name=certificate.name,
        mime=certificate.mime,
        size=certificate.size,
        uploaded_at=reader.local(certificate.uploaded_at),
    )


def present_certificates(papers: Papers, reader: Reader) -> CertificatesResponse:
    """Show all certificates to their owner."""
    return CertificatesResponse(
        certificates=[present_certificate(papers.id, each, reader) for each in papers.certificates]
    )


def present_picture(pandit_id: str, picture: Picture) -> PictureResponse:
    """Show a picture to whoever may see it."""
    return PictureResponse(
        id=picture.id,
        url=picture_address(pandit_id, picture.id),
        small_url=picture_address(pandit_id, picture.small_id or picture.id),
        width=picture.width,
        height=picture.height,
        caption=picture.caption,
        caption_ne=picture.caption_ne,
    )


def present_portfolio(papers: Papers) -> PortfolioResponse:
    """Show all pictures of a pandit."""
    return PortfolioResponse(
        portfolio=[present_picture(papers.id, each) for each in papers.portfolio]
    )
