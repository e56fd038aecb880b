"""Find the texts of Tornado templates for Babel, which knows Python and JavaScript only.

A template is turned into a shadow: a Python token stream of the same number of lines that holds
only what stands in ``{{ ... }}`` and ``{% ... %}``, each in brackets, so that neither indentation
nor the HTML around it (an apostrophe, say) can disturb. Babel's own Python extractor then reads the
shadow, and its line numbers are those of the template.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any

from babel.messages.extract import extract_python

# Tornado writes a literal "{{", "{%" or "{#" with an exclamation mark after it.
TAG = re.compile(
    r"\{\#(?!!)(?P<comment>.*?)\#\}|\{\{(?!!)(?P<expression>.*?)\}\}|\{%(?!!)(?P<statement>.*?)%\}",
    re.DOTALL,
)
# A remark in prose, where quotes need not pair up.
REMARK = re.compile(r"\s*comment\b")


def shadow(template: str) -> str:
    """Return the Python code of a template, on the lines where it stands.

    A one-line comment that nothing follows on its line becomes a Python comment, so that notes to
    translators reach them from templates too.
    """
    parts: list[str] = []
    end = 0
    for tag in TAG.finditer(template):
        parts.append("\n" * template.count("\n", end, tag.start()))
        end = tag.end()
        code = tag["expression"] if tag["expression"] is not None else tag["statement"]
        if code is not None and not REMARK.match(code):
            parts.append(f"({code})")
            continue
        note = tag["comment"]
        rest_of_line = template[end:].split("\n", 1)[0]
        if note is not None and "\n" not in note and not TAG.search(rest_of_line):
            parts.append(f"# {note.strip()}")
        parts.append("\n" * template.count("\n", tag.start(), end))
    return "".join(parts) + "\n"


def extract(
    fileobj: IO[bytes],
    keywords: Mapping[str, Any],
    comment_tags: Collection[str],
    options: Mapping[str, Any],
) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Yield ``(line, function, texts, notes)`` for each call of a keyword in a template.

    The interface is that of a Babel extraction method; ``options`` may hold ``encoding`` (default
    UTF-8).
    """
    template = fileobj.read().decode(options.get("encoding", "utf-8"))
    source = io.BytesIO(shadow(template).encode("utf-8"))
    yield from extract_python(source, keywords, comment_tags, {"encoding": "utf-8"})
