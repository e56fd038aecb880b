"""Why something is recommended: a code with its data, and the sentence for it in two languages.

A reason holds ids and numbers only, so it can be stored and judged later. ``text`` turns it into a
sentence with whatever names the caller knows. Every rate shown rests on at least ten bookings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias

Language: TypeAlias = Literal["en", "ne"]
# Gives the name of a thing: its kind ("item", "puja", "region", "pandit"), its id, the language. Of
# the kind "day" the id is a date, and the name is how people write it.
Names: TypeAlias = Callable[[str, str, Language], str]

MIN_BOOKINGS_FOR_RATE: Final = 10


class Code(StrEnum):
    """What moved a recommendation."""

    REQUIRED_BY_PUJA = "REQUIRED_BY_PUJA"
    RULE_ESSENTIAL = "RULE_ESSENTIAL"
    RULE_OPTIONAL = "RULE_OPTIONAL"
    OFTEN_TOGETHER = "OFTEN_TOGETHER"
    USUAL_FOR_PUJA = "USUAL_FOR_PUJA"
    YOU_BOUGHT_BEFORE = "YOU_BOUGHT_BEFORE"
    YOUR_TASTE = "YOUR_TASTE"
    PANDIT_PREFERS = "PANDIT_PREFERS"
    REGION = "REGION"
    IN_SEASON = "IN_SEASON"
    OUT_OF_SEASON = "OUT_OF_SEASON"
    SUBSTITUTE_FOR = "SUBSTITUTE_FOR"
    WITHIN_BUDGET = "WITHIN_BUDGET"
    NEEDED_THOUGH_HIDDEN = "NEEDED_THOUGH_HIDDEN"
    FAVOURITE = "FAVOURITE"
    NEW_ITEM = "NEW_ITEM"
    SELDOM_TAKEN = "SELDOM_TAKEN"
    SAME_PUJAS = "SAME_PUJAS"
    FESTIVAL = "FESTIVAL"
    ANNUAL = "ANNUAL"
    REPEAT = "REPEAT"
    SIMILAR = "SIMILAR"
    SEASONAL = "SEASONAL"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. ``weight`` is what it added to the score's logit; 0 where a rule decided."""

    code: Code
    weight: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)


# Each code: a sentence without figures, and one with, where the data has what it names.
_TEXTS: Final[Mapping[Code, Mapping[Language, tuple[str, ...]]]] = {
    Code.REQUIRED_BY_PUJA: {
        "en": ("Required for {puja}.",),
        "ne": ("{puja}का लागि अनिवार्य सामग्री।",),
    },
    Code.RULE_ESSENTIAL: {
        "en": ("Essential for {puja}.",),
        "ne": ("{puja}मा नभई नहुने सामग्री।",),
    },
    Code.RULE_OPTIONAL: {
        "en": ("Often used for {puja}.",),
        "ne": ("{puja}मा प्रायः प्रयोग हुने सामग्री।",),
    },
    Code.OFTEN_TOGETHER: {
        "en": (
            "Often taken together with {with}.",
            "{rate} of the families who take {first} take this too.",
        ),
        "ne": (
            "{with}सँगै प्रायः लिइने सामग्री।",
            "{first} लिने {rate} परिवारले यो पनि लिन्छन्।",
        ),
    },
    Code.USUAL_FOR_PUJA: {
        "en": ("Usual for {puja}.", "Families take it in {rate} of the bookings of {puja}."),
        "ne": ("{puja}मा चलनचल्तीको सामग्री।", "{puja}का {rate} बुकिङमा परिवारहरूले यो लिएका छन्।"),
    },
    Code.YOU_BOUGHT_BEFORE: {
        "en": ("You have taken it before.", "You have taken it before ({times}×)."),
        "ne": ("तपाईंले यो पहिले पनि लिनुभएको छ।", "तपाईंले यो पहिले {times} पटक लिनुभएको छ।"),
    },
    Code.YOUR_TASTE: {
        "en": ("Families whose choices are like yours take it.",),
        "ne": ("तपाईंसँग मिल्दोजुल्दो रोजाइ भएका परिवारले यो लिन्छन्।",),
    },
    Code.PANDIT_PREFERS: {
        "en": (
            "Your pandit asks for it.",
            "Your pandit had it in {rate} of his bookings of this puja.",
        ),
        "ne": (
            "तपाईंका पण्डितज्यूले यो मगाउनुहुन्छ।",
            "तपाईंका पण्डितज्यूले गराउनुभएका यस्ता {rate} पूजामा यो थियो।",
        ),
    },
    Code.REGION: {
        "en": ("Taken more often in {region} than elsewhere.",),
        "ne": ("{region}मा अन्यत्रभन्दा बढी लिइने सामग्री।",),
    },
    Code.IN_SEASON: {
        "en": ("In season.", "In season from {from} to {to}."),
        "ne": ("अहिले यसको मौसम हो।", "यसको मौसम {from}देखि {to}सम्म हो।"),
    },
    Code.OUT_OF_SEASON: {
        "en": ("Out of season: it may be hard to find.",),
        "ne": ("अहिले यसको मौसम होइन; पाउन गाह्रो हुन सक्छ।",),
    },
    Code.SUBSTITUTE_FOR: {
        "en": ("In place of {item}, which is out of season.",),
        "ne": ("{item}को मौसम नभएकाले त्यसको सट्टामा।",),
    },
    Code.WITHIN_BUDGET: {
        "en": ("Fits your budget.",),
        "ne": ("तपाईंको बजेटभित्र पर्छ।",),
    },
    Code.NEEDED_THOUGH_HIDDEN: {
        "en": ("You asked not to see it, but {puja} needs it.",),
        "ne": ("तपाईंले यो नदेखाउन भन्नुभएको थियो, तर {puja}मा यो चाहिन्छ।",),
    },
    Code.FAVOURITE: {
        "en": ("One of your favourites.",),
        "ne": ("तपाईंलाई मन पर्ने सामग्री।",),
    },
    Code.NEW_ITEM: {
        "en": ("New in the catalogue.",),
        "ne": ("सूचीमा भर्खरै थपिएको सामग्री।",),
    },
    Code.SELDOM_TAKEN: {
        "en": ("Very few families have taken it so far.",),
        "ne": ("यो अहिलेसम्म थोरै परिवारले मात्र लिएका छन्।",),
    },
    Code.SAME_PUJAS: {
        "en": ("Pujas that need {item} need this too.", "{count} pujas need both."),
        "ne": ("{item} चाहिने पूजामा यो पनि चाहिन्छ।", "{count} पूजामा दुवै चाहिन्छ।"),
    },
    Code.FESTIVAL: {
        "en": ("{name} is on {date}.",),
        "ne": ("{date} मा {name} पर्छ।",),
    },
    Code.ANNUAL: {
        "en": ("You held {puja} a year ago, on {last}.",),
        "ne": ("तपाईंले गत वर्ष {last} मा {puja} गर्नुभएको थियो।",),
    },
    Code.REPEAT: {
        "en": ("You last held {puja} on {last}.",),
        "ne": ("तपाईंले पछिल्लो पटक {last} मा {puja} गर्नुभएको थियो।",),
    },
    Code.SIMILAR: {
        "en": ("Families who held {puja} also hold this.",),
        "ne": ("{puja} गर्ने परिवारले यो पूजा पनि गर्छन्।",),
    },
    Code.SEASONAL: {
        "en": ("Many families hold {puja} at this time of the year.",),
        "ne": ("वर्षको यो समयमा धेरै परिवारले {puja} गर्छन्।",),
    },
}

_MONTHS: Final[Mapping[Language, tuple[str, ...]]] = {
    "en": (
        "Baisakh",
        "Jestha",
        "Asar",
        "Saun",
        "Bhadau",
        "Asoj",
        "Kartik",
        "Mangsir",
        "Pus",
        "Magh",
        "Phagun",
        "Chait",
    ),
    "ne": (
        "वैशाख",
        "जेठ",
        "असार",
        "साउन",
        "भदौ",
        "असोज",
        "कात्तिक",
        "मंसिर",
        "पुस",
        "माघ",
        "फागुन",
        "चैत",
    ),
}
_AND: Final[Mapping[Language, str]] = {"en": " and ", "ne": " र "}
_DIGITS: Final = str.maketrans("0123456789", "०१२३४५६७८९")
_KINDS: Final = {"puja": "puja", "item": "item", "region": "region", "pandit": "pandit"}
_DAYS: Final = ("date", "last")


def text(reason: Reason, language: Language, names: Names, *, puja_id: str = "") -> str:
    """The sentence for a reason.

    Parameters
    ----------
    names
        Gives the names of items, pujas, regions and pandits, and how a date is written.
    puja_id
        The puja that is spoken of, for reasons whose data does not name one.
    """
    values = {"puja": names("puja", puja_id, language)} if puja_id else {}
    for key, value in reason.data.items():
        values |= _spelled(key, value, language, names)
    for pattern in reversed(_TEXTS[reason.code][language]):
        try:
            return pattern.format_map(values)
        except KeyError:
            continue
    raise ValueError(f"{reason.code} lacks data: {dict(reason.data)}")


def _spelled(key: str, value: Any, language: Language, names: Names) -> dict[str, str]:
    """The words for one entry of the data."""
    if key in _KINDS:
        return {key: names(_KINDS[key], value, language)}
    if key in _DAYS:
        return {key: _figures(names("day", value, language), language)}
    if key == "with":
        spelled = [names("item", item, language) for item in value]
        head, last = ", ".join(spelled[:-1]), spelled[-1]
        return {"with": head + _AND[language] + last if head else last, "first": spelled[0]}
    if key == "rate":
        return {"rate": _figures(f"{value:.0%}", language)}
    if key in ("from", "to"):
        return {key: _MONTHS[language][value - 1]}
    if key == "name":
        return {"name": value[language] if isinstance(value, Mapping) else str(value)}
    return {key: _figures(str(value), language)}


def _figures(written: str, language: Language) -> str:
    return written.translate(_DIGITS) if language == "ne" else written
