"""Administration of the catalogue: items, rules, templates, and whole tables of them.

A table is read whole and compared with what there is; one fault and nothing changes. What is
agreed to goes through: the import is marked first, its writes can be repeated, and what a crash
leaves half written the clock finishes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from server.domain.account import Actor, Role
from server.domain.audit import Act
from server.domain.catalogue import (
    CatalogueFault,
    ItemNames,
    Puja,
    PujaTemplate,
    Requirement,
    SamagriItem,
)
from server.domain.catalogue_import import (
    MAX_CHANGES_SHOWN,
    CatalogueImport,
    Checked,
    ImportKind,
    ImportState,
    RowFault,
    check_items,
    check_rules,
    check_templates,
    items_table,
    rules_table,
    templates_table,
)
from server.domain.errors import (
    CatalogueMoved,
    ConcurrentChange,
    FieldFault,
    Forbidden,
    IllegalTransition,
    Invalid,
    NotFound,
)
from server.domain.ports.catalogue import CatalogueImportRepository, CatalogueRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.world import Clock, IdSource, Workers
from server.services.audit import AuditService

_log: Final = logging.getLogger(__name__)
_RESUMED: Final = 5
_MAX_NAME: Final = 120
_FIRST_ROW: Final = 2
"""Below the heading."""
_ITEM_FIELDS: Final = {"category": "category_id", "active": "is_active"}
_TEMPLATE_FIELDS: Final = {"template": "code", "puja": "puja_id", "active": "is_active"}
_RULE_FIELDS: Final = {"item": "item_id", "type": "type", "quantity": "quantity", "unit": "unit"}
_LINE_FIELDS: Final = {"item": "item", "quantity": "quantity", "unit": "unit"}
_NO_FIELDS: Final[Mapping[str, str]] = {}


class CatalogueAdminService:
    """What administrators do to the catalogue.

    Whatever changes it, a table that is sent or decided on, and every table that leaves the house
    is an entry in the record.
    """

    def __init__(
        self,
        *,
        catalogue: CatalogueRepository,
        imports: CatalogueImportRepository,
        audit: AuditService,
        workers: Workers,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._catalogue = catalogue
        self._imports = imports
        self._audit = audit
        self._workers = workers
        self._clock = clock
        self._ids = ids

    # -- one thing at a time ---------------------------------------------------------------------

    async def item(self, actor: Actor, item_id: str) -> SamagriItem:
        """Return one item, active or not. Raises ``NotFound``."""
        _require_admin(actor)
        found = (await self._catalogue.find_items({item_id})).get(item_id)
        if found is None:
            raise NotFound
        return found

    async def list_items(
        self,
        actor: Actor,
        *,
        query: str,
        category_id: str | None,
        is_active: bool,
        limit: int,
        after: SortKey | None,
    ) -> Page[SamagriItem]:
        """Return items by name, those that are active or those that are switched off."""
        _require_admin(actor)
        return await self._catalogue.list_items(
            query=query, category_id=category_id, is_active=is_active, limit=limit, after=after
        )

    async def save_item(self, actor: Actor, item: SamagriItem) -> SamagriItem:
        """Write one item, new or changed; the same rules as for a table of one row.

        Raises
        ------
        Invalid
            With every faulty field.
        """
        _require_admin(actor)
        checked, _ = await self._check(ImportKind.ITEMS, items_table([item]))
        _raise_faults(checked, fields=_ITEM_FIELDS)
        if checked.items:
            change = checked.changes[0]
            async with self._audit.recording(
                actor,
                Act.ITEM_CHANGED,
                "item",
                item.id,
                **{name: f"{old} → {new}" for name, (old, new) in change.fields.items()},
            ):
                await self._catalogue.put_items(checked.items)
        return item

    async def save_rules(
        self, actor: Actor, puja_id: str, requirements: Sequence[Requirement]
    ) -> Puja:
        """Replace what a puja needs. Raises ``NotFound`` or ``Invalid``; nothing is half done."""
        _require_admin(actor)
        puja = await self._catalogue.find_puja(puja_id)
        if puja is None:
            raise NotFound
        after = replace(puja, requirements=tuple(requirements))
        if not requirements:
            raise Invalid(FieldFault("requirements", "required"))
        checked, _ = await self._check(ImportKind.RULES, rules_table([after]))
        _raise_faults(checked, rows="requirements", cells=_RULE_FIELDS)
        if checked.pujas:
            old, new = checked.changes[0].fields["rules"]
            async with self._audit.recording(
                actor, Act.PUJA_CHANGED, "puja", puja_id, before=old, after=new
            ):
                await self._catalogue.put_pujas(checked.pujas)
        return after

    async def templates(
        self, actor: Actor, puja_id: str | None, *, limit: int, after: SortKey | None
    ) -> Page[PujaTemplate]:
        """Return stored templates, of one puja or of all, active or not, by puja and place."""
        _require_admin(actor)
        stored = (
            await self._catalogue.all_templates()
            if puja_id is None
            else await self._catalogue.list_templates(puja_id)
        )
        found = sorted(stored, key=_template_key)
        rows = [each for each in found if after is None or _template_key(each) > tuple(after)]
        shown = rows[:limit]
        return Page(tuple(shown), _template_key(shown[-1]) if len(rows) > limit else None)

    async def template(self, actor: Actor, template_id: str) -> PujaTemplate:
        """Return one stored template, active or not. Raises ``NotFound``."""
        _require_admin(actor)
        for each in await self._catalogue.all_templates():
            if each.id == template_id:
                return each
        raise NotFound

    async def save_template(self, actor: Actor, template: PujaTemplate) -> PujaTemplate:
        """Write one template, new or changed; the same rules as for a table of it alone.

        Raises
        ------
        Invalid
            With every faulty field.
        """
        _require_admin(actor)
        if not template.lines:
            raise Invalid(FieldFault("lines", "required"))
        checked, _ = await self._check(ImportKind.TEMPLATES, templates_table([template]))
        _raise_faults(checked, fields=_TEMPLATE_FIELDS, rows="lines", cells=_LINE_FIELDS)
        if checked.templates:
            change = checked.changes[0]
            async with self._audit.recording(
                actor,
                Act.TEMPLATE_CHANGED,
                "template",
                template.id,
                **{name: f"{old} → {new}" for name, (old, new) in change.fields.items()},
            ):
                await self._catalogue.put_templates(checked.templates)
            return checked.templates[0]
        return await self.template(actor, template.id)

    # -- tables ------------------------------------------------------------------------------------

    async def export(self, actor: Actor, kind: ImportKind) -> str:
        """Return the present catalogue as a table that can be edited and sent back."""
        _require_admin(actor)
        await self._audit.record(actor, Act.DATA_EXPORTED, "catalogue", kind)
        if kind is ImportKind.ITEMS:
            items = await self._catalogue.all_items()
            return await self._workers.run(lambda: items_table(items))
        if kind is ImportKind.TEMPLATES:
            return templates_table(await self._catalogue.all_templates())
        return rules_table(await self._catalogue.list_pujas())

    async def check(
        self, actor: Actor, kind: ImportKind, file_name: str, content: bytes
    ) -> CatalogueImport:
        """Read a table whole and keep it with what it would change, or with all its faults."""
        _require_admin(actor)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Invalid(FieldFault("file", "not-utf-8")) from None
        checked, mark = await self._check(kind, text)
        found = CatalogueImport(
            id=self._ids.new(),
            kind=kind,
            file_name=file_name[:_MAX_NAME],
            by=actor.user_id,
            at=self._clock.now(),
            state=ImportState.FAULTY if checked.fault_count else ImportState.READY,
            rows=checked.rows,
            added=sum(change.is_new for change in checked.changes),
            changed=sum(not change.is_new for change in checked.changes),
            unchanged=checked.unchanged,
            faults=tuple(checked.faults),
            fault_count=checked.fault_count,
            changes=tuple(checked.changes[:MAX_CHANGES_SHOWN]),
            mark=mark,
        )
        async with self._audit.recording(
            actor,
            Act.CATALOGUE_CHECKED,
            "import",
            found.id,
            kind=kind,
            file=found.file_name,
            faults=str(found.fault_count) if found.fault_count else "",
        ):
            await self._imports.add(found, text)
        return found

    async def find(self, actor: Actor, import_id: str) -> CatalogueImport:
        """Return one import. Raises ``NotFound``."""
        _require_admin(actor)
        found = await self._imports.find(import_id)
        if found is None:
            raise NotFound
        return found

    async def list_page(
        self, actor: Actor, *, limit: int, after: SortKey | None
    ) -> Page[CatalogueImport]:
        """Return imports, the latest first."""
        _require_admin(actor)
        return await self._imports.list_page(limit=limit, after=after)

    async def apply(self, actor: Actor, import_id: str) -> CatalogueImport:
        """Write what was shown, all of it.

        Raises
        ------
        CatalogueMoved
            If the catalogue is not what it was when the table was checked: look at it again.
        IllegalTransition
            If it has faults, was dropped, or is being applied already.
        """
        found = await self.find(actor, import_id)
        if found.state is ImportState.APPLIED:
            return found
        if found.state is not ImportState.READY:
            raise IllegalTransition(found.state)
        text = await self._imports.text_of(import_id)
        if text is None:
            raise NotFound
        checked, mark = await self._check(found.kind, text)
        if mark != found.mark or checked.fault_count:
            raise CatalogueMoved
        applying = replace(
            found,
            state=ImportState.APPLYING,
            agreed_by=actor.user_id,
            agreed_name=actor.full_name,
        )
        if not await self._imports.replace(applying):
            raise ConcurrentChange
        # From here on it goes through, whatever happens; so it is on record from here on.
        await self._record_applied(applying)
        return await self._write(replace(applying, version=found.version + 1), checked)

    async def _record_applied(self, applying: CatalogueImport) -> None:
        """Who let it be written; of one that nobody's name is on, who sent it."""
        agreed = Actor(
            user_id=applying.agreed_by or applying.by,
            role=Role.ADMIN,
            session_id="",
            full_name=applying.agreed_name,
        )
        await self._audit.record(
            agreed,
            Act.CATALOGUE_IMPORTED,
            "import",
            applying.id,
            kind=applying.kind,
            added=str(applying.added),
            changed=str(applying.changed),
        )

    async def drop(self, actor: Actor, import_id: str) -> CatalogueImport:
        """Decide against a table. Raises ``IllegalTransition`` once it is applied."""
        found = await self.find(actor, import_id)
        if found.state not in (ImportState.READY, ImportState.FAULTY):
            raise IllegalTransition(found.state)
        dropped = replace(found, state=ImportState.DROPPED)
        async with self._audit.recording(
            actor,
            Act.CATALOGUE_DROPPED,
            "import",
            import_id,
            kind=found.kind,
            file=found.file_name,
        ):
            if not await self._imports.replace(dropped):
                raise ConcurrentChange
        return dropped

    async def finish_applying(self) -> int:
        """Finish what a crash has left half written; for the clock."""
        waiting = await self._imports.list_applying(_RESUMED)
        for found in waiting:
            if not await self._audit.is_recorded(Act.CATALOGUE_IMPORTED, found.id):
                await self._record_applied(found)
            text = await self._imports.text_of(found.id)
            if text is not None:
                # Rows that are written already are the same as in the table, so they fall away.
                checked, _ = await self._check(found.kind, text)
                with suppress(ConcurrentChange):
                    await self._write(found, checked)
                _log.info("import_finished", extra={"import_id": found.id})
        return len(waiting)

    async def _write(self, applying: CatalogueImport, checked: Checked) -> CatalogueImport:
        if checked.items:
            await self._catalogue.put_items(checked.items)
        if checked.pujas:
            await self._catalogue.put_pujas(checked.pujas)
        if checked.templates:
            await self._catalogue.put_templates(checked.templates)
        applied = replace(applying, state=ImportState.APPLIED)
        if not await self._imports.replace(applied):
            raise ConcurrentChange
        return applied

    async def _check(self, kind: ImportKind, text: str) -> tuple[Checked, str]:
        """Compare a table with the catalogue; also the mark of the catalogue."""
        items = await self._catalogue.all_items()
        pujas = await self._catalogue.list_pujas()
        templates = await self._catalogue.all_templates()
        shelves = [each.id for each in await self._catalogue.list_categories()]

        def work() -> tuple[Checked, str]:
            known = {item.id: item for item in items}
            there = items_table(items) + rules_table(pujas) + templates_table(templates)
            mark = hashlib.sha256(there.encode()).hexdigest()
            if kind is ImportKind.ITEMS:
                return check_items(text, known, shelves), mark
            rites = {puja.id: puja for puja in pujas}
            try:
                find = ItemNames(items).find
            except CatalogueFault:
                # Two items of one name: they must then be written by code.
                find = known.get  # type: ignore[assignment]  # of its forms, the one that we call
            if kind is ImportKind.TEMPLATES:
                stored = {each.id: each for each in templates}
                return check_templates(text, stored, rites, find), mark
            return check_rules(text, rites, find), mark

        return await self._workers.run(work)


def _template_key(template: PujaTemplate) -> tuple[str, str]:
    rank, name = template.place
    return template.puja_id, f"{rank}{name}"


def _require_admin(actor: Actor) -> None:
    if not actor.is_admin:
        raise Forbidden


def _raise_faults(
    checked: Checked,
    *,
    fields: Mapping[str, str] = _NO_FIELDS,
    rows: str = "",
    cells: Mapping[str, str] = _NO_FIELDS,
) -> None:
    """Raise ``Invalid`` for what is wrong in a table that was made of one thing.

    ``fields`` are columns that the thing itself calls otherwise; ``cells`` are the columns of its
    parts, each a row, which are its field ``rows``: a fault is then in ``rows[0].item``.
    """

    def field_of(fault: RowFault) -> str:
        if fault.column in cells:
            return f"{rows}[{fault.row - _FIRST_ROW}].{cells[fault.column]}"
        return fields.get(fault.column, fault.column)

    if checked.faults:
        raise Invalid(*(FieldFault(field_of(fault), fault.code) for fault in checked.faults))
