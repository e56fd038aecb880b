"""One key for all spellings of a word: English, Nepali, and Nepali in Latin letters.

"pooja", "puja" and "पूजा" have the key ``puj``; "Shrestha" and "श्रेष्ठ" have ``srist``. There is no
agreed way to write Nepali in Latin letters, so what people vary is left out of the key:

- the vowels *a* and *o* inside a word, which both stand for the inherent vowel or its absence;
  *e* counts as *i*, ``oo`` as *u*, and lengths count for nothing;
- the breath of aspirates (``bh`` is ``b``), the places of t, d, n and of the three s;
- *v*, *w* and *b*, which Nepali speaks alike; ``x`` for ``ks``, ``jn`` and ``gn`` for ``gy``;
- doubled letters, and marks on Latin letters.

The key of a beginning is in nearly all words a beginning of the key, so that a search answers while
a word is being typed. Both sides of a comparison go through here: what is stored, when it is
written, and what is asked.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_VIRAMA: Final = "\u094d"
_NUKTA: Final = "\u093c"
_CONSONANTS: Final = {
    "क": "k", "ख": "k", "ग": "g", "घ": "g", "ङ": "n",
    "च": "c", "छ": "c", "ज": "j", "झ": "j", "ञ": "n",
    "ट": "t", "ठ": "t", "ड": "d", "ढ": "d", "ण": "n",
    "त": "t", "थ": "t", "द": "d", "ध": "d", "न": "n",
    "प": "p", "फ": "f", "ब": "b", "भ": "b", "म": "m",
    "य": "y", "र": "r", "ल": "l", "व": "b", "ळ": "l",
    "श": "s", "ष": "s", "स": "s", "ह": "h",
}  # fmt: skip
_VOWELS: Final = {
    "अ": "a", "आ": "a", "इ": "i", "ई": "i", "उ": "u", "ऊ": "u", "ऋ": "ri",
    "ए": "i", "ऐ": "ai", "ओ": "o", "औ": "au", "ऑ": "o", "ॐ": "om",
}  # fmt: skip
_SIGNS: Final = {
    "ा": "a", "ि": "i", "ी": "i", "ु": "u", "ू": "u", "ृ": "ri",
    "े": "i", "ै": "ai", "ो": "o", "ौ": "au", "ॉ": "o",
}  # fmt: skip
_NASALS: Final = "\u0901\u0902"
_LABIALS: Final = frozenset("पफबभम")
_SILENT: Final = frozenset(("\u0903", "\u093d", _NUKTA, "\u200c", "\u200d"))
_DIGITS: Final = str.maketrans("०१२३४५६७८९", "0123456789")

# In this order: what a rule makes, the next ones read.
_FOLDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), made)
    for pattern, made in (
        ("x", "ks"),
        ("chh?", "c"),
        ("c(?=[kq])", ""),
        ("ph", "f"),
        ("sh", "s"),
        ("([bdgjkt])h", r"\1"),
        ("q", "k"),
        ("z", "j"),
        ("nuw", "nw"),
        ("[vw]", "b"),
        ("ng(?=[kg])", "n"),
        ("jn|gn|gny|jny", "gy"),
        ("gyy", "gy"),
        ("oo", "u"),
        ("e", "i"),
        (r"([^\d])\1+", r"\1"),
    )
)
_DROPPED: Final = re.compile("(?<!^)[ao]")


@lru_cache(maxsize=20_000)
def key_of(word: str) -> str:
    """The key of one word; empty for a word without letters or digits."""
    latin = _latin(unicodedata.normalize("NFC", word).casefold())
    for pattern, made in _FOLDS:
        latin = pattern.sub(made, latin)
    return _DROPPED.sub("", latin)


def _latin(word: str) -> str:
    """The word in plain Latin letters; those of other scripts stay as they are."""
    made: list[str] = []
    letters = unicodedata.normalize("NFD", word.translate(_DIGITS))
    has_inherent = False
    for place, letter in enumerate(letters):
        if letter in _CONSONANTS:
            made.append("a" * has_inherent + _CONSONANTS[letter])
            has_inherent = True
            continue
        if letter == _VIRAMA:
            has_inherent = False
        elif letter in _SIGNS:
            made.append(_SIGNS[letter])
            has_inherent = False
        elif letter in _NASALS:
            following = letters[place + 1 : place + 2]
            made.append("a" * has_inherent + ("m" if following in _LABIALS else "n"))
            has_inherent = False
        elif letter not in _SILENT and not unicodedata.combining(letter):
            made.append("a" * has_inherent + _VOWELS.get(letter, letter))
            has_inherent = False
    return "".join(made)
