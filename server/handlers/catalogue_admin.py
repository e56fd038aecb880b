"""Administration of the catalogue, and the record of what administrators did."""

from __future__ import annotations

from typing import Any, Final

from server import problems
from server.domain import errors
from server.domain.account import Actor
from server.domain.catalogue_import import CatalogueImport, ImportKind
from server.handlers.base import ADMIN, ApiHandler, operation
from server.handlers.routing import Route
from server.handlers.uploads import UploadHandler
from server.schemas.base import PageQuery, PageResponse
from server.schemas.catalogue_admin import (
    AuditQuery,
    AuditResponse,
    ImportResponse,
    ItemAdminResponse,
    ItemRequest,
    RulesRequest,
    RulesResponse,
    TemplateAdminQuery,
    TemplateAdminResponse,
    TemplateRequest,
    present_admin_item,
    present_admin_template,
    present_audit,
    present_import,
    present_rules,
)


class ItemHandler(ApiHandler):
    """``/api/admin/catalogue/items/{id}/``."""

    @operation("Show an item of samagri, active or not", roles=ADMIN, errors=(errors.NotFound,))
    async def get(self, item_id: str, actor: Actor) -> ItemAdminResponse:
        return present_admin_item(await self.services.catalogue_admin.item(actor, item_id))

    @operation("Write an item of samagri, new or changed", roles=ADMIN)
    async def put(self, item_id: str, actor: Actor, body: ItemRequest) -> ItemAdminResponse:
        return present_admin_item(
            await self.services.catalogue_admin.save_item(actor, body.item(item_id))
        )


class RulesHandler(ApiHandler):
    """``/api/admin/catalogue/pujas/{id}/requirements/``."""

    @operation("Replace what a puja needs", roles=ADMIN, errors=(errors.NotFound,))
    async def put(self, puja_id: str, actor: Actor, body: RulesRequest) -> RulesResponse:
        return present_rules(
            await self.services.catalogue_admin.save_rules(actor, puja_id, body.needs())
        )


class TemplatesHandler(ApiHandler):
    """``/api/admin/catalogue/templates/``."""

    @operation("List ready lists of samagri, active or not, by puja and size", roles=ADMIN)
    async def get(
        self, actor: Actor, query: TemplateAdminQuery
    ) -> PageResponse[TemplateAdminResponse]:
        page = await self.services.catalogue_admin.templates(
            actor, query.puja_id, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_admin_template(row) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class TemplateHandler(ApiHandler):
    """``/api/admin/catalogue/templates/{id}/``."""

    @operation(
        "Show a ready list of samagri, active or not", roles=ADMIN, errors=(errors.NotFound,)
    )
    async def get(self, template_id: str, actor: Actor) -> TemplateAdminResponse:
        return present_admin_template(
            await self.services.catalogue_admin.template(actor, template_id)
        )

    @operation("Write a ready list of samagri, new or changed", roles=ADMIN)
    async def put(
        self, template_id: str, actor: Actor, body: TemplateRequest
    ) -> TemplateAdminResponse:
        return present_admin_template(
            await self.services.catalogue_admin.save_template(actor, body.template(template_id))
        )


class ExportHandler(ApiHandler):
    """``/api/admin/catalogue/{kind}.csv``."""

    @operation("Fetch the catalogue as a table", roles=ADMIN, errors=(errors.NotFound,))
    async def get(self, kind: str, actor: Actor) -> bytes:
        table = await self.services.catalogue_admin.export(actor, _kind(kind))
        # The mark tells spreadsheets that it is UTF-8.
        return ("\ufeff" + table).encode()

    def _send(self, status: int, answer: Any) -> None:
        self.set_status(status)
        name = self.request.path.rstrip("/").rpartition("/")[2]
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.set_header("Cache-Control", "no-store")
        self.write(answer)


class ImportAnswers(ApiHandler):
    """How imports are shown."""

    def present(self, found: CatalogueImport) -> ImportResponse:
        """Show one, its faults in the reader's language."""
        language = self.reader.language
        return present_import(
            found,
            self.reader,
            lambda code: problems.fault_text(self.services.translations, language, code),
        )


class ImportsHandler(UploadHandler, ImportAnswers):
    """``/api/admin/catalogue/imports/``."""

    @operation("List tables that were sent, the latest first", roles=ADMIN)
    async def get(self, actor: Actor, query: PageQuery) -> PageResponse[ImportResponse]:
        page = await self.services.catalogue_admin.list_page(
            actor, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[self.present(row) for row in page.rows], next=self.cursor(page.next_key)
        )

    @operation(
        "Send a table (multipart: kind, file); it is checked, and changes nothing yet",
        status=201,
        roles=ADMIN,
        door="upload",
        idempotent=True,
        errors=(errors.TooLarge, errors.Invalid, errors.UnsupportedMedia),
    )
    async def post(self, actor: Actor) -> ImportResponse:
        sent = self.upload("kind")
        return self.present(
            await self.services.catalogue_admin.check(
                actor, _kind(sent.fields["kind"]), sent.name, sent.content
            )
        )


class ImportHandler(ImportAnswers):
    """``/api/admin/catalogue/imports/{id}/``."""

    @operation("Show a table that was sent", roles=ADMIN, errors=(errors.NotFound,))
    async def get(self, import_id: str, actor: Actor) -> ImportResponse:
        return self.present(await self.services.catalogue_admin.find(actor, import_id))

    @operation(
        "Decide against a table",
        roles=ADMIN,
        errors=(errors.NotFound, errors.IllegalTransition, errors.ConcurrentChange),
    )
    async def delete(self, import_id: str, actor: Actor) -> ImportResponse:
        return self.present(await self.services.catalogue_admin.drop(actor, import_id))


class ApplyHandler(ImportAnswers):
    """``/api/admin/catalogue/imports/{id}/apply/``."""

    @operation(
        "Write what a table says, all of it",
        roles=ADMIN,
        errors=(
            errors.NotFound,
            errors.CatalogueMoved,
            errors.IllegalTransition,
            errors.ConcurrentChange,
        ),
    )
    async def post(self, import_id: str, actor: Actor) -> ImportResponse:
        return self.present(await self.services.catalogue_admin.apply(actor, import_id))


class AuditHandler(ApiHandler):
    """``/api/admin/audit/``."""

    @operation("What administrators did, the latest first", roles=ADMIN)
    async def get(self, actor: Actor, query: AuditQuery) -> PageResponse[AuditResponse]:
        page = await self.services.audit.list_page(
            actor,
            act=query.act,
            target_id=query.target,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        return PageResponse(
            results=[present_audit(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


def _kind(text: str) -> ImportKind:
    try:
        return ImportKind(text)
    except ValueError:
        raise errors.Invalid(errors.FieldFault("kind", "choice")) from None


ROUTES: Final = (
    Route("/api/admin/catalogue/items/{id}/", ItemHandler, "admin-item"),
    Route("/api/admin/catalogue/pujas/{id}/requirements/", RulesHandler, "admin-rules"),
    Route("/api/admin/catalogue/templates/", TemplatesHandler, "admin-templates"),
    Route("/api/admin/catalogue/templates/{id}/", TemplateHandler, "admin-template"),
    Route("/api/admin/catalogue/imports/", ImportsHandler, "admin-imports"),
    Route("/api/admin/catalogue/imports/{id}/", ImportHandler, "admin-import"),
    Route("/api/admin/catalogue/imports/{id}/apply/", ApplyHandler, "admin-import-apply"),
    Route("/api/admin/catalogue/export/{kind}.csv", ExportHandler, "admin-export"),
    Route("/api/admin/audit/", AuditHandler, "admin-audit"),
)
