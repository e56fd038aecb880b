import shutil
from pathlib import Path

import pytest

from tools.check_locale import ROOT, faults, update

PO = "locale/ne/LC_MESSAGES/messages.po"
TEMPLATE = "<p>{{ _('Book {name}') }} {{ n_('{n} day', '{n} days', 2) }}</p>\n"
SCRIPT = "el(t('Sent'));\nconst a = html`<b title=${t('Read')}>it's</b>`;\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one text in Python, one and a plural in a template, two in a script."""
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    shutil.copy(ROOT / "config/babel.cfg", tmp_path / "config")
    files = {
        "server/problems.py": "TITLE = N_('Slot taken')\n",
        "server/web/templates/customer/page.html": TEMPLATE,
        "server/web/static/app/chat.js": SCRIPT,
        "server/web/static/vendor/lib.js": "t('not ours')\n",
    }
    for name, source in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return tmp_path


def translate(project: Path, replacements: dict[str, str]) -> None:
    path = project / PO
    text = path.read_text(encoding="utf-8")
    for source, target in replacements.items():
        assert source in text
        text = text.replace(source, target)
    path.write_text(text, encoding="utf-8")


COMPLETE = {
    'msgid "Slot taken"\nmsgstr ""': 'msgid "Slot taken"\nmsgstr "समय लिइसकियो"',
    'msgid "Book {name}"\nmsgstr ""': 'msgid "Book {name}"\nmsgstr "{name} बुक गर्नुहोस्"',
    'msgid "Sent"\nmsgstr ""': 'msgid "Sent"\nmsgstr "पठाइयो"',
    'msgid "Read"\nmsgstr ""': 'msgid "Read"\nmsgstr "पढियो"',
    'msgstr[0] ""\nmsgstr[1] ""': 'msgstr[0] "{n} दिन"\nmsgstr[1] "{n} दिन"',
}


def test_a_complete_catalogue_has_no_fault_and_survives_an_update(project: Path) -> None:
    update(project)
    translate(project, COMPLETE)
    assert faults(project) == []
    before = (project / PO).read_bytes()
    update(project)
    assert (project / PO).read_bytes() == before


def test_notes_at_the_top_survive_an_update(project: Path) -> None:
    update(project)
    translate(project, {"# Texts of PanditYatra.\n": "# Texts of PanditYatra.\n# account: खाता\n"})
    update(project)
    assert "# account: खाता\n" in (project / PO).read_text(encoding="utf-8")


def test_no_catalogue_is_wanted_where_there_is_no_text(project: Path) -> None:
    shutil.rmtree(project / "server")
    assert faults(project) == []


def test_texts_without_a_catalogue_are_a_fault(project: Path) -> None:
    assert faults(project) == [
        "locale/messages.pot: 5 texts differ from the source; run make locale",
        f"{PO}: missing, with 5 texts to translate",
    ]


def test_an_untranslated_text_is_named_with_its_place(project: Path) -> None:
    update(project)
    found = faults(project)
    assert f"{PO}: server/web/static/app/chat.js:2: 'Read': no translation" in found
    assert f"{PO}: server/web/templates/customer/page.html:1: '{{n}} day': no translation" in found
    assert len(found) == len(COMPLETE)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ('"{name} बुक गर्नुहोस्"', '"{nam} बुक"', "placeholders differ from {name}: '{nam} बुक'"),
        ('msgstr[1] "{n} दिन"', 'msgstr[1] "दिन"', "placeholders differ from {n} or {n}: 'दिन'"),
        ('msgid "Sent"', '#, fuzzy\nmsgid "Sent"', "fuzzy"),
        ('msgid "Sent"\nmsgstr "पठाइयो"', 'msgid "Gone"\nmsgstr "गयो"', "not in the catalogue"),
        ('msgid "Sent"\nmsgstr "पठाइयो"', 'msgid "Gone"\nmsgstr "गयो"', "no longer in the source"),
    ],
)
def test_a_broken_translation_is_told(
    project: Path, source: str, target: str, expected: str
) -> None:
    update(project)
    translate(project, COMPLETE)
    translate(project, {source: target})
    assert any(expected in fault for fault in faults(project)), faults(project)


def test_a_new_text_makes_the_template_file_stale(project: Path) -> None:
    update(project)
    translate(project, COMPLETE)
    path = project / "server/problems.py"
    path.write_text(path.read_text() + "OTHER = N_('Try later')\n", encoding="utf-8")
    assert faults(project) == [
        "locale/messages.pot: 1 texts differ from the source; run make locale",
        f"{PO}: server/problems.py:2: 'Try later': not in the catalogue",
    ]
