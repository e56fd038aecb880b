import io
from typing import Any

import pytest

from tools.extract_tornado import extract

KEYWORDS: dict[str, Any] = {"_": None, "pgettext": ((1, "c"), 2)}


def found(template: str) -> list[tuple[int, Any]]:
    file = io.BytesIO(template.encode())
    return [(line, text) for line, _, text, _ in extract(file, KEYWORDS, ["NOTE:"], {})]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('<p>{{ _("A") }}</p>', [(1, "A")]),
        ("<p>it's</p>\n<p>{{ _('A') }} isn't {{ _('B') }}</p>", [(2, "A"), (2, "B")]),
        ('{% set x = _("A") %}', [(1, "A")]),
        ('{% if a == _("A") %}\n{% elif _("B") %}\n{% end %}', [(1, "A"), (2, "B")]),
        (
            '{% for x in [_("A"),\n   _("B")] %}{% end %}{{ _("C") }}',
            [(1, "A"), (2, "B"), (2, "C")],
        ),
        ('{% raw linkify(_("A")) %}', [(1, "A")]),
        ('{% module Card(title=_("A")) %}', [(1, "A")]),
        ('<a\n title="{{ _("A") }}"\n>', [(2, "A")]),
        ('\n{{ _("one {n}", "many {n}", n) }}', [(2, ("one {n}", "many {n}", None))]),
        ('{{ _("it\'s {name}").format(name="x") }}', [(1, "it's {name}")]),
        ('{{ _("first "\n      "second") }}', [(1, "first second")]),
        ('{# it\'s {{ _("no") }} #}{{ _("A") }}', [(1, "A")]),
        ('{% comment it\'s _("no") %}\n{{ _("A") }}', [(2, "A")]),
        ('{{! _("no") }}{%! _("no") %}', []),
        ('{% extends "base.html" %}{% block body %}{% end %}', []),
        ("  {{ a }}\n{{ b }}\n      {{ _('A') }}", [(3, "A")]),
    ],
)
def test_texts_are_found_with_their_lines(template: str, expected: list[tuple[int, Any]]) -> None:
    assert found(template) == expected


def test_a_note_to_the_translator_is_carried() -> None:
    file = io.BytesIO(b'{# NOTE: a verb #}\n{{ _("Book") }}')
    ((line, _, text, notes),) = extract(file, KEYWORDS, ["NOTE:"], {})
    assert (line, text, notes) == (2, "Book", ["NOTE: a verb"])
