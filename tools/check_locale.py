"""Check that every text a person sees has its translation, or bring the catalogues up to date.

Texts are collected in memory with Babel, by the mapping of ``config/babel.cfg`` and the keywords of
``setup.cfg``. Without arguments the tool reports, and ends with 1 if there is a fault: a template
file that is not what the code says, a text that a catalogue lacks, an empty or fuzzy translation,
placeholders that differ. With ``--update`` it rewrites ``locale/messages.pot`` and each
``messages.po`` instead, keeping the translations and the notes at the top (``make locale``).
"""

from __future__ import annotations

import argparse
import configparser
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_keywords, parse_mapping_cfg
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
# The site is bilingual; English is the language of the source.
LANGUAGES = ("ne",)
PLACEHOLDER = re.compile(r"\{(\w*)(?:[!:][^{}]*)?\}|%\((\w+)\)[#0\- +]*\d*(?:\.\d+)?[a-zA-Z]")
HEADER = "# Texts of PanditYatra.\n# Distributed under the licence of the project.\n"
PROJECT: dict[str, Any] = {
    "project": "PanditYatra",
    "version": "texts",
    "msgid_bugs_address": "see CONTRIBUTING.md",
    "last_translator": "PanditYatra contributors",
    "language_team": "PanditYatra contributors",
}
# Told in the headers; one fixed instant, so that the files change only when a text does.
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def collect(root: Path) -> Catalog:
    """Return the texts that the source below ``root`` holds."""
    parser = configparser.ConfigParser()
    parser.read(root / "setup.cfg", encoding="utf-8")
    options = parser["extract_messages"]
    with (root / options["mapping_file"]).open(encoding="utf-8") as file:
        methods, method_options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    folders = {pattern.split("/")[0] for pattern, _ in methods}

    def wanted(folder: str) -> bool:
        parts = Path(folder).relative_to(root).parts
        return parts[0] in folders and parts[-1] not in {"__pycache__", "vendor"}

    catalog = Catalog(header_comment=HEADER, creation_date=EPOCH, revision_date=EPOCH, **PROJECT)
    found = extract_from_dir(
        str(root),
        methods,
        method_options,
        parse_keywords(options["keywords"].split()),
        options["add_comments"].split(),
        directory_filter=wanted,
    )
    for file_name, line, text, notes, context in found:
        catalog.add(text, None, [(file_name, line)], auto_comments=notes, context=context)
    return catalog


def key(message: Message) -> tuple[str | None, str]:
    """Return what tells one text from another: its context and its (singular) source."""
    source = message.id if isinstance(message.id, str) else message.id[0]
    return message.context, source


def texts(catalog: Catalog) -> dict[tuple[str | None, str], Message]:
    """Return the texts of a catalogue without its header."""
    return {key(message): message for message in catalog if message.id}


def placeholders(text: str) -> frozenset[str]:
    """Return the names in ``{name}`` and ``%(name)s``."""
    return frozenset(brace or percent for brace, percent in PLACEHOLDER.findall(text))


def as_forms(value: str | tuple[str, ...] | list[str] | None) -> list[str]:
    """Return the plural forms of a source or a translation; one where there is no plural."""
    return [value] if isinstance(value, str) else list(value or ("",))


def message_faults(message: Message, plural_forms: int) -> Iterator[str]:
    """Yield what is wrong with one translation."""
    sources, targets = as_forms(message.id), as_forms(message.string)
    wanted = plural_forms if len(sources) > 1 else 1
    if message.fuzzy:
        yield "fuzzy"
    if len(targets) != wanted:
        yield f"{len(targets)} forms instead of {wanted}"
    if not all(target.strip() for target in targets):
        yield "no translation"
        return
    allowed = [placeholders(source) for source in sources]
    for target in targets:
        if placeholders(target) not in allowed:
            names = " or ".join("{" + ", ".join(sorted(each)) + "}" for each in allowed)
            yield f"placeholders differ from {names}: {target!r}"


def where(message: Message) -> str:
    """Return the first place of a text, for the report."""
    return "{}:{}".format(*message.locations[0]) if message.locations else "?"


def catalogue_faults(source: Catalog, path: Path, name: str) -> Iterator[str]:
    """Yield the faults of one catalogue against the texts of the source."""
    wanted = texts(source)
    if not path.exists():
        if wanted:
            yield f"{name}: missing, with {len(wanted)} texts to translate"
        return
    with path.open("rb") as file:
        catalog = read_po(file, abort_invalid=True)
    present = texts(catalog)
    for each, message in wanted.items():
        if each not in present:
            yield f"{name}: {where(message)}: {each[1]!r}: not in the catalogue"
            continue
        if as_forms(present[each].id) != as_forms(message.id):
            yield f"{name}: {where(message)}: {each[1]!r}: the source's plural has changed"
        for fault in message_faults(present[each], catalog.num_plurals):
            yield f"{name}: {where(message)}: {each[1]!r}: {fault}"
    for each in present.keys() - wanted.keys():
        yield f"{name}: {each[1]!r}: no longer in the source"


def template_faults(source: Catalog, path: Path, name: str) -> Iterator[str]:
    """Yield a fault if the template file does not hold the texts of the source."""
    wanted = texts(source)
    present: dict[tuple[str | None, str], Message] = {}
    if path.exists():
        with path.open("rb") as file:
            present = texts(read_po(file, abort_invalid=True))
    changed = {
        each
        for each in wanted.keys() | present.keys()
        if each not in wanted
        or each not in present
        or as_forms(wanted[each].id) != as_forms(present[each].id)
    }
    if changed:
        yield f"{name}: {len(changed)} texts differ from the source; run make locale"


def faults(root: Path) -> list[str]:
    """Return every fault of the catalogues below ``root``."""
    source = collect(root)
    found = list(template_faults(source, root / "locale/messages.pot", "locale/messages.pot"))
    for language in LANGUAGES:
        name = f"locale/{language}/LC_MESSAGES/messages.po"
        found += sorted(catalogue_faults(source, root / name, name))
    return found


def write(catalog: Catalog, path: Path) -> None:
    """Write a catalogue in the form that makes small diffs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(
            file, catalog, width=0, sort_by_file=True, include_lineno=False, ignore_obsolete=True
        )


def update(root: Path) -> None:
    """Rewrite the template file and the catalogues; new texts come with an empty translation."""
    source = collect(root)
    write(source, root / "locale/messages.pot")
    for language in LANGUAGES:
        path = root / f"locale/{language}/LC_MESSAGES/messages.po"
        catalog = Catalog(locale=language, header_comment=HEADER, **PROJECT)
        if path.exists():
            with path.open("rb") as file:
                catalog = read_po(file, locale=language, abort_invalid=True)
        catalog.update(source, no_fuzzy_matching=True)
        catalog.header_comment = catalog.header_comment.rstrip() + "\n"
        catalog.revision_date = EPOCH
        catalog.fuzzy = False
        write(catalog, path)


def main() -> int:
    """Report, or update and then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="rewrite the catalogues")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    if arguments.update:
        update(root)
    found = faults(root)
    for fault in found:
        print(fault)
    print(f"locale: {len(texts(collect(root)))} texts, {len(found)} faults")
    return 1 if found and not arguments.update else 0


# Babel imports the template extractor by its dotted name, from the root.
sys.path.insert(0, str(ROOT))

if __name__ == "__main__":
    sys.exit(main())
