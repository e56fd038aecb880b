"""Where people of the demo live: real cities and quarters of Nepal, positions to about 500 m."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Quarter:
    """A part of a city, with its middle in degrees."""

    name: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class City:
    """A city of the demo.

    ``region`` holds the cities among which pandits travel; ``pandits`` live there, and of all
    customers a share in proportion to ``customers``. ``culture`` decides names and languages.
    """

    name: str
    name_ne: str
    region: str
    pandits: int
    customers: int
    quarters: tuple[Quarter, ...]
    culture: str = "hill"


CITIES: Final = (
    City(
        "Kathmandu", "काठमाडौँ", "valley", 13, 34,
        (
            Quarter("Lazimpat", 27.7215, 85.3206),
            Quarter("New Baneshwor", 27.6915, 85.3420),
            Quarter("Chabahil", 27.7172, 85.3466),
            Quarter("Maharajgunj", 27.7394, 85.3310),
            Quarter("Kalanki", 27.6934, 85.2817),
            Quarter("Balaju", 27.7270, 85.3020),
            Quarter("Asan", 27.7076, 85.3122),
            Quarter("Thamel", 27.7154, 85.3123),
            Quarter("Gongabu", 27.7350, 85.3140),
            Quarter("Boudha", 27.7215, 85.3620),
            Quarter("Koteshwor", 27.6780, 85.3490),
            Quarter("Baluwatar", 27.7260, 85.3300),
            Quarter("Kirtipur", 27.6780, 85.2775),
            Quarter("Budhanilkantha", 27.7780, 85.3620),
            Quarter("Gaushala", 27.7080, 85.3440),
            Quarter("Swayambhu", 27.7149, 85.2904),
        ),
    ),
    City(
        "Lalitpur", "ललितपुर", "valley", 6, 16,
        (
            Quarter("Mangal Bazar", 27.6727, 85.3250),
            Quarter("Jawalakhel", 27.6730, 85.3130),
            Quarter("Satdobato", 27.6585, 85.3247),
            Quarter("Pulchowk", 27.6790, 85.3170),
            Quarter("Imadol", 27.6640, 85.3440),
            Quarter("Kupondole", 27.6860, 85.3150),
            Quarter("Bhaisepati", 27.6510, 85.3030),
        ),
    ),
    City(
        "Bhaktapur", "भक्तपुर", "valley", 3, 9,
        (
            Quarter("Suryabinayak", 27.6560, 85.4270),
            Quarter("Thimi", 27.6810, 85.3880),
            Quarter("Taumadhi", 27.6713, 85.4293),
            Quarter("Kausaltar", 27.6745, 85.3640),
        ),
    ),
    City(
        "Pokhara", "पोखरा", "Pokhara", 4, 10,
        (
            Quarter("Lakeside", 28.2096, 83.9566),
            Quarter("Mahendrapul", 28.2260, 83.9870),
            Quarter("Bagar", 28.2420, 83.9860),
            Quarter("Lamachaur", 28.2640, 83.9720),
            Quarter("Prithvi Chowk", 28.2090, 83.9930),
        ),
    ),
    City(
        "Bharatpur", "भरतपुर", "Chitwan", 2, 6,
        (
            Quarter("Narayangadh", 27.7000, 84.4240),
            Quarter("Chaubiskothi", 27.6830, 84.4300),
            Quarter("Hakim Chowk", 27.6780, 84.4360),
        ),
    ),
    City(
        "Hetauda", "हेटौँडा", "Chitwan", 1, 2,
        (Quarter("Buddha Chowk", 27.4290, 85.0320), Quarter("School Road", 27.4270, 85.0280)),
    ),
    City(
        "Biratnagar", "विराटनगर", "Koshi", 2, 5,
        (
            Quarter("Traffic Chowk", 26.4540, 87.2790),
            Quarter("Bargachhi", 26.4650, 87.2840),
            Quarter("Kanchanbari", 26.4800, 87.2790),
        ),
    ),
    City(
        "Dharan", "धरान", "Koshi", 2, 4,
        (
            Quarter("Bhanu Chowk", 26.8120, 87.2830),
            Quarter("Chatara Line", 26.8170, 87.2780),
            Quarter("Vijayapur", 26.8240, 87.2920),
        ),
    ),
    City(
        "Butwal", "बुटवल", "Lumbini", 2, 5,
        (
            Quarter("Traffic Chowk", 27.7000, 83.4490),
            Quarter("Golpark", 27.7040, 83.4560),
            Quarter("Kalikanagar", 27.6900, 83.4630),
        ),
    ),
    City(
        "Janakpur", "जनकपुर", "Madhesh", 2, 4,
        (Quarter("Janaki Chowk", 26.7300, 85.9250), Quarter("Pidari Chowk", 26.7190, 85.9310)),
        "maithil",
    ),
    City(
        "Birgunj", "वीरगञ्ज", "Madhesh", 1, 2,
        (Quarter("Ghantaghar", 27.0130, 84.8770), Quarter("Adarsha Nagar", 27.0090, 84.8800)),
        "maithil",
    ),
    City(
        "Nepalgunj", "नेपालगञ्ज", "West", 1, 3,
        (Quarter("Dhamboji", 28.0560, 81.6230), Quarter("Surkhet Road", 28.0640, 81.6190)),
    ),
    City(
        "Dhangadhi", "धनगढी", "West", 1, 2,
        (Quarter("Chauraha", 28.7010, 80.5930), Quarter("Hasanpur", 28.7060, 80.5880)),
    ),
)  # fmt: skip
