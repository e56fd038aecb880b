"""Writes docs/settings.md from the settings themselves, or checks that it is up to date.

``python tools/document_settings.py`` writes, ``--check`` only compares and fails on a difference.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "server" / "settings.py"
TARGET: Final = ROOT / "docs" / "settings.md"
_HEAD: Final = """# Settings

Written by `python tools/document_settings.py` from `server/settings.py`; a test compares the two.

The order, later wins: the defaults below, `config/default.toml`,
`config/<environment>.toml` (the environment is `PANDITYATRA_ENV`), the file named by
`PANDITYATRA_CONFIG`, variables, the command line. `[http] port` in a file is
`PANDITYATRA_HTTP__PORT` as a variable; with `_FILE` at the end the variable names a file that
holds the value. An unknown key or a bad value stops the start and is named. Production refuses
to start with a default secret, without a database of its own, without secure cookies or origins,
and with test keys or test hosts of a payment provider.
"""


def render() -> str:
    """The whole page."""
    classes = {
        node.name: node
        for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    parts = [_HEAD]
    for section in classes["Settings"].body:
        if isinstance(section, ast.AnnAssign) and isinstance(section.annotation, ast.Name):
            settings = classes.get(section.annotation.id)
            if settings is not None and isinstance(section.target, ast.Name):
                parts.append(_section(section.target.id, settings))
    return "\n".join(parts)


def _section(name: str, node: ast.ClassDef) -> str:
    rows = [
        f"## [{name}]\n",
        f"{ast.get_docstring(node)}\n",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            key = field.target.id
            kind = ast.unparse(field.annotation).replace("tuple[str, ...]", "list")
            rows.append(f"| `{key}` | {kind} | {_default(field.value)} | {_meaning(key, after)} |")
    return "\n".join([*rows, ""])


def _default(value: ast.expr | None) -> str:
    if isinstance(value, ast.Call):
        value = next(each.value for each in value.keywords if each.arg == "default")
    if isinstance(value, ast.Name):
        return "refused in production"
    text = ast.unparse(value) if value is not None else ""
    return "empty" if text in ("''", "()") else f"`{text}`"


def _meaning(key: str, after: ast.stmt | None) -> str:
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
        return " ".join(str(after.value.value).split())
    raise SystemExit(f"settings.py: {key} has no line of meaning")


def main() -> int:
    """Write or compare."""
    page = render()
    if "--check" not in sys.argv:
        TARGET.write_text(page, encoding="utf-8")
        return 0
    if not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != page:
        print("docs/settings.md is out of date: run python tools/document_settings.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
