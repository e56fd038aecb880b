"""Hold the import table of docs/architecture.md: imports point down, never up, never sideways.

Reads the source with ``ast``, imports nothing. Four rules, each fault printed as ``file:line:
message``:

1. a room imports only the rooms that the table allows it, in annotations too;
2. a room does not import the third-party packages that it must not know;
3. no import hides inside a function (wiring and entry excepted, the heavy libraries that training
   alone needs, and what `LATE_HERE` names);
4. no cycle among modules (imports for type checkers alone do not count).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("server", "recsys", "kundali")

DRIVERS = frozenset({"pymongo", "bson", "gridfs", "motor"})
TRANSPORT_SHARED = frozenset(
    {"problems", "auth", "i18n", "metrics", "health", "workers", "documents"}
)
ADAPTERS = frozenset(
    {"bus", "clock", "gateways", "mailer", "pictures", "places", "push", "recommender", "store"}
)
DOORS = frozenset({"handlers", "ws", "jobs"})
FLOOR_0 = frozenset({"domain", "settings", "tasks"})
# GPL-2.0-only: it runs as a process of its own and is never part of this program.
NEVER = frozenset({"secantusdb"})
# Dates of the Nepali calendar are shown and read wherever texts are, and the transport's wing puts
# charts and almanacs on the wire and on pages: values of the pure package beside the domain, so the
# arrow points down.
CALENDAR = frozenset({"kundali.bikram_sambat"})
CHARTS = frozenset({"kundali"})
# Heavy, and needed by training alone: the package may import them where it uses them, so that the
# server does not carry them.
LATE = frozenset(
    {
        "implicit",
        "matplotlib",
        "mlflow",
        "pandas",
        "pyarrow",
        "pymongo",
        "pyspark",
        "sklearn",
        "threadpoolctl",
    }
)
# Opened with the thing that needs them, in one module each: they take long to load.
LATE_HERE = frozenset(
    {
        ("server.gateways.registry", "server.gateways.stripe"),
        ("server.places.zones", "timezonefinder"),
    }
)
# Wiring and entry know everybody, and may load late what one command alone needs.
EVERYBODY = frozenset({"app", "__main__"})


@dataclass(frozen=True)
class Room:
    """What one room may import of ours, and which third-party packages it must not import.

    An entry of ``may`` is a room, or the dotted name of one module.
    """

    may: frozenset[str] = frozenset()
    must_not: frozenset[str] = frozenset()


def the_table() -> dict[str, Room]:
    """Return the table: room name to its rule. A room may always import itself."""
    pure = DRIVERS | {"tornado", "redis", "httpx"}
    no_driver = DRIVERS | {"redis"}
    # "server" is the package itself, which holds the version alone.
    shared = FLOOR_0 | TRANSPORT_SHARED | CHARTS | {"server", "services", "schemas", "addresses"}
    table = {
        "kundali": Room(must_not=pure),
        "recsys": Room(must_not=frozenset({"tornado", "redis", "httpx"})),
        "server": Room(must_not=pure),
        "settings": Room(must_not=pure),
        "paths": Room(must_not=pure),
        "loopback": Room(must_not=pure),
        "addresses": Room(must_not=pure),
        "tasks": Room(must_not=pure),
        "domain": Room(CHARTS, pure | {"msgspec"}),
        "services": Room(frozenset({"domain", "kundali", "tasks"}), pure),
        "schemas": Room(frozenset({"domain"}) | CHARTS, no_driver | {"tornado", "httpx"}),
        "logs": Room(FLOOR_0, no_driver),
        # Keeps server processes; of the adapters it knows how a child ends with its parent.
        "processes": Room(FLOOR_0 | {"server.store.embedded"}, no_driver),
        # The typed container that the doors find their services in, and the table of routes.
        "container": Room(shared | DOORS, no_driver),
        "routes": Room(shared | DOORS | {"container"}, no_driver),
    }
    table |= {room: Room(shared | {"container"}, no_driver) for room in DOORS}
    # Sockets are routed like pages: what a route is stands beside the handlers.
    table["ws"] = Room(shared | {"container", "server.handlers.routing"}, no_driver)
    table |= {room: Room(shared, no_driver) for room in TRANSPORT_SHARED}
    table |= {room: Room(FLOOR_0, DRIVERS) for room in ADAPTERS}
    table["store"] = Room(FLOOR_0 | {"loopback"}, frozenset({"tornado", "redis", "httpx"}))
    # Fills a database with what the services would have made of two invented years.
    written = {"services", "store", "i18n", "paths", "loopback"}
    table["demo"] = Room(FLOOR_0 | CALENDAR | written, pure)
    # Stand-ins of the payment providers, a program of its own: it knows nothing of our clients, so
    # that it checks what they sign and does not repeat it.
    table["sandbox"] = Room(must_not=DRIVERS | {"redis", "httpx"})
    table["recommender"] = Room(FLOOR_0 | {"recsys"}, DRIVERS)
    return table


@dataclass(frozen=True)
class Import:
    """One imported name: where, what, and how."""

    path: Path
    line: int
    importer: str
    imported: str
    inside_function: bool
    for_types_only: bool


class ImportFinder(ast.NodeVisitor):
    """Collects the imports of one module with their surroundings."""

    def __init__(self, path: Path, module: str, known: frozenset[str]) -> None:
        self.path = path
        self.module = module
        self.known = known
        self.found: list[Import] = []
        self._functions = 0
        self._types_only = 0

    def visit_Import(self, node: ast.Import) -> None:
        """Take ``import a, b``."""
        for alias in node.names:
            self._add(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Take ``from a import b``, where ``b`` may be a module."""
        base = self._absolute(node)
        for alias in node.names:
            full = f"{base}.{alias.name}"
            self._add(node, full if full in self.known else base)

    def visit_Call(self, node: ast.Call) -> None:
        """Count ``import_module("...")`` and ``__import__("...")`` as what they are."""
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in {"import_module", "__import__"} and node.args:
            target = node.args[0]
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                self._add(node, target.value)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """Mark what stands inside as inside a function."""
        self._functions += 1
        self.generic_visit(node)
        self._functions -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - the visitor's name for the node
    visit_Lambda = visit_FunctionDef  # noqa: N815 - the same

    def visit_If(self, node: ast.If) -> None:
        """Mark what stands under ``if TYPE_CHECKING``."""
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)
            return
        self._types_only += 1
        for child in node.body:
            self.visit(child)
        self._types_only -= 1
        for child in node.orelse:
            self.visit(child)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        is_package = self.path.name == "__init__.py"
        parts = self.module.split(".")
        base = parts[: len(parts) - node.level + is_package]
        return ".".join([*base, *([node.module] if node.module else [])])

    def _add(self, node: ast.AST, imported: str) -> None:
        line = getattr(node, "lineno", 1)
        inside, types_only = self._functions > 0, self._types_only > 0
        self.found.append(Import(self.path, line, self.module, imported, inside, types_only))


def modules(root: Path) -> dict[str, Path]:
    """Return every module of ours below ``root``, by dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    """Return all imports of our modules below ``root``."""
    known = modules(root)
    found: list[Import] = []
    for module, path in known.items():
        finder = ImportFinder(path, module, frozenset(known))
        finder.visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        found += finder.found
    return found


def room_of(module: str) -> str:
    """Return the room of a module of ours: the part after ``server``, or the package itself."""
    package, _, rest = module.partition(".")
    return rest.split(".")[0] if package == "server" and rest else package


def room_faults(found: Iterable[Import], table: dict[str, Room]) -> Iterator[tuple[Import, str]]:
    """Yield the imports that the table forbids."""
    for item in found:
        room = room_of(item.importer)
        top = item.imported.split(".")[0]
        if top in NEVER:
            yield item, f"{top} runs as a process of its own; nothing may import it"
        elif room not in EVERYBODY and room in table:
            rule = table[room]
            if top in PACKAGES:
                target = room_of(item.imported)
                if target != room and not rule.may & {target, item.imported}:
                    yield item, f"{room} must not import {target} ({item.imported})"
            elif top in rule.must_not:
                yield item, f"{room} must not import {top}"


def hidden_faults(found: Iterable[Import]) -> Iterator[tuple[Import, str]]:
    """Yield the imports inside functions."""
    for item in found:
        room = room_of(item.importer)
        late = room == "recsys" and item.imported.split(".")[0] in LATE
        late |= (item.importer, item.imported) in LATE_HERE
        allowed = item.for_types_only or late or room in EVERYBODY
        if item.inside_function and not allowed:
            yield item, f"import of {item.imported} inside a function"


def homeless_faults(root: Path, table: dict[str, Room]) -> Iterator[str]:
    """Yield the modules whose room is not in the table."""
    for module, path in modules(root).items():
        room = room_of(module)
        if room not in table and room not in EVERYBODY:
            yield f"{path.relative_to(root)}:1: the room '{room}' is not in the import table"


def cycle_faults(found: Iterable[Import]) -> Iterator[tuple[Import, str]]:
    """Yield one import of every cycle among modules, with the way round."""
    edges: dict[str, dict[str, Import]] = {}
    for item in found:
        if item.imported.split(".")[0] in PACKAGES and not item.for_types_only:
            edges.setdefault(item.importer, {}).setdefault(item.imported, item)
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> Iterator[tuple[Import, str]]:
        if module in way:
            ring = [*way[way.index(module) :], module]
            yield edges[way[-1]][module], "cycle: " + " -> ".join(ring)
        elif module not in done:
            for target in edges.get(module, {}):
                yield from walk(target, [*way, module])
            done.add(module)

    for module in sorted(edges):
        yield from walk(module, [])


def faults(root: Path) -> list[str]:
    """Return every fault below ``root`` as ``file:line: message``, sorted."""
    found, table = imports(root), the_table()
    named = [*room_faults(found, table), *hidden_faults(found), *cycle_faults(found)]
    lines = {(str(item.path.relative_to(root)), item.line, message) for item, message in named}
    texts = [f"{path}:{line}: {message}" for path, line, message in sorted(lines)]
    return [*homeless_faults(root, table), *texts]


def main() -> int:
    """Check the tree given as the first argument, by default this project."""
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    problems = faults(root)
    for problem in problems:
        print(problem)
    print(f"layers: {len(modules(root))} modules, {len(problems)} faults")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
