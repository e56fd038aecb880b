"""Administration of the catalogue: items, rules, templates, and whole tables of them.

A table is read whole and compared with what there is; one fault and nothing changes. What is
agreed to goes through: the import is marked first, its writes can be repeated, and what a crash
leaves half written the clock finishes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from server.domain.account import Actor
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
from server.domain.ports import (
    CatalogueImportRepository,
    CatalogueRepository,
    Clock,
    IdSource,
    Page,
    SortKey,
    Workers,
)
from server.services.audit import AuditService

_log: Final = logging.getLogger(__name__)
_RESUMED: Final = 5
_MAX_NAME: Final = 120


class CatalogueAdminService:
    """What administrators do to the catalogue; every use of it leaves an entry in the record."""

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

    async def save_item(self, actor: Actor, item: SamagriItem) -> SamagriItem:
        """Write one item, new or changed; the same rules as for a table of one row.

        Raises
        ------
        Invalid
            With every faulty field.
        """
        _require_admin(actor)
        checked, _ = await self._check(ImportKind.ITEMS, items_table([item]))
        _raise_faults(checked)
        if checked.items:
            await self._catalogue.put_items(checked.items)
            change = checked.changes[0]
            await self._audit.record(
                actor,
                Act.ITEM_CHANGED,
                "item",
                item.id,
                **{name: f"{old} → {new}" for name, (old, new) in change.fields.items()},
            )
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
        _raise_faults(checked)
        if checked.pujas:
            await self._catalogue.put_pujas(checked.pujas)
            old, new = checked.changes[0].fields["rules"]
            await self._audit.record(
                actor, Act.PUJA_CHANGED, "puja", puja_id, before=old, after=new
            )
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
            raise Invalid(FieldFault("item", "required"))
        checked, _ = await self._check(ImportKind.TEMPLATES, templates_table([template]))
        _raise_faults(checked)
        if checked.templates:
            await self._catalogue.put_templates(checked.templates)
            change = checked.changes[0]
            await self._audit.record(
                actor,
                Act.TEMPLATE_CHANGED,
                "template",
                template.id,
                **{name: f"{old} → {new}" for name, (old, new) in change.fields.items()},
            )
            return checked.templates[0]
        return await self.template(actor, template.id)

    # -- tables ------------------------------------------------------------------------------------

    async def export(self, actor: Actor, kind: ImportKind) -> str:
        """Return the present catalogue as a table that can be edited and sent back."""
        _require_admin(actor)
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
        applying = replace(found, state=ImportState.APPLYING)
        if not await self._imports.replace(applying):
            raise ConcurrentChange
        applied = await self._write(replace(applying, version=found.version + 1), checked)
        await self._audit.record(
            actor,
            Act.CATALOGUE_IMPORTED,
            "import",
            import_id,
            kind=found.kind,
            added=str(found.added),
            changed=str(found.changed),
        )
        return applied

    async def drop(self, actor: Actor, import_id: str) -> CatalogueImport:
        """Decide against a table. Raises ``IllegalTransition`` once it is applied."""
        found = await self.find(actor, import_id)
        if found.state not in (ImportState.READY, ImportState.FAULTY):
            raise IllegalTransition(found.state)
        dropped = replace(found, state=ImportState.DROPPED)
        if not await self._imports.replace(dropped):
            raise ConcurrentChange
        return dropped

    async def finish_applying(self) -> int:
        """Finish what a crash has left half written; for the clock."""
        waiting = await self._imports.list_applying(_RESUMED)
        for found in waiting:
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


def _raise_faults(checked: Checked) -> None:
    if checked.faults:
        raise Invalid(*(FieldFault(fault.column, fault.code) for fault in checked.faults))
