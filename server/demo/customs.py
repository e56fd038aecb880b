"""What families take beside the rules: by the custom of a puja, and by that of a city.

No rule of the catalogue names these items, so only a model that has watched families can propose
them. That is what the recommender of the demo has to find.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

_OF_PUJA: Final[Mapping[str, Mapping[str, float]]] = {
    "satyanarayan-puja": {"seasonal-fruits": 0.8, "peda": 0.35},
    "griha-pravesh": {"dhwaja": 0.84, "laddu": 0.74},
    "vastu-shanti": {"laddu": 0.78},
    "business-opening": {"peda": 0.8, "seasonal-fruits": 0.4},
    "vehicle-puja": {"peda": 0.78},
    "rudri-puja": {"attar": 0.76},
    "ganesh-puja": {"dubo-garland": 0.78},
    "hanuman-puja": {"seasonal-fruits": 0.75},
    "birthday-puja": {"laddu": 0.78, "seasonal-fruits": 0.5},
    "nwaran": {"laddu": 0.75},
    "pasni": {"peda": 0.78},
    "engagement": {"attar": 0.75, "laddu": 0.4},
    "wedding-ceremony": {"attar": 0.78},
    "shraddha": {"seasonal-fruits": 0.74},
    "navagraha-shanti": {"loose-flowers": 0.78},
    "durga-puja": {"lotus": 0.78, "loose-flowers": 0.4},
    "lakshmi-puja": {"attar": 0.74},
    "saraswati-puja": {"laddu": 0.75},
    "shivaratri-puja": {"honey": 0.78},
    "swasthani-puja": {"peda": 0.75},
    "krishna-janmashtami": {"lotus": 0.76},
    "ekadashi-udyapan": {"peda": 0.74},
    "tulsi-bibaha": {"laddu": 0.75},
}
_OF_CITY: Final[Mapping[str, Mapping[str, float]]] = {
    "Bhaktapur": {"sel-roti": 0.45, "lakh-batti": 0.2},
    "Lalitpur": {"sel-roti": 0.4},
    "Janakpur": {"thekuwa": 0.5},
    "Birgunj": {"thekuwa": 0.45},
    "Pokhara": {"makhamali-garland": 0.35},
}


def customs_of(puja_id: str, city: str) -> Iterator[tuple[str, float]]:
    """The items that families there take for that puja, and which share of them does."""
    yield from _OF_PUJA.get(puja_id, {}).items()
    yield from _OF_CITY.get(city, {}).items()
