"""Language and colours, the page for when there is no network, and the API's own page."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from server.domain.account import LANGUAGES
from server.domain.errors import FieldFault, Invalid, NotFound
from server.handlers.page_base import THEME_COOKIE, THEMES
from server.handlers.pages.base import Page
from server.handlers.routing import Route

_YEAR_DAYS: Final = 365
_BY_DEVICE: Final = "system"


class LanguagePage(Page):
    """The language switch."""

    async def post(self) -> None:
        """Switch, and go back to where the button was pressed."""
        language = self.typed.get("language", "")
        if language not in LANGUAGES:
            raise Invalid(FieldFault("language", "choice"))
        await self.switch_language(language)
        self.go(self.next_path("/"))


class ThemePage(Page):
    """The colour switch."""

    async def post(self) -> None:
        """Switch, and go back to where the button was pressed."""
        theme = self.typed.get("theme", "")
        if theme == _BY_DEVICE:
            self.clear_cookie(THEME_COOKIE)
        elif theme in THEMES:
            self.set_cookie(THEME_COOKIE, theme, expires_days=_YEAR_DAYS, samesite="Lax", path="/")
        else:
            raise Invalid(FieldFault("theme", "choice"))
        self.go(self.next_path("/"))


class OfflinePage(Page):
    """What the service worker keeps at hand, in each language; it names nobody."""

    async def get(self, language: str = "") -> None:
        """Show it, in that language or in the reader's."""
        self.actor = None
        if language:
            if language not in LANGUAGES:
                raise NotFound
            self.__dict__["reader"] = replace(self.reader, language=language)
        await self.show("offline.html", title=self.translate("You are offline"))


class ApiDocsPage(Page):
    """The API's description, to be read and tried."""

    section = "docs"

    async def get(self) -> None:
        """Show it."""
        await self.show("api_docs.html", title=self.translate("The PanditYatra API"))


ROUTES: Final = (
    Route("/language/", LanguagePage, "page-language"),
    Route("/theme/", ThemePage, "page-theme"),
    Route("/offline/", OfflinePage, "page-offline"),
    Route("/offline/{language}/", OfflinePage, "page-offline-language"),
    Route("/api/docs/", ApiDocsPage, "page-api-docs"),
)
