"""A marketplace made up from a seed, in which the truth is known.

Families with tastes, pandits with a true quality, pujas tied to a moving lunar calendar, rules that
are a little wrong, and structure that no rule tells: cliques of items that go together, customs of
regions, habits of single pandits. ``World`` holds that truth; ``Town`` is what a platform would
have seen of it. Training reads the town only; the truth judges what was learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsys.calibration import sigmoid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

START: Final = date(2023, 7, 1)
TASTE: Final = 8
TRADITIONS: Final = 4
LANGUAGES: Final = ("ne", "mai", "new", "bho", "thl")
CENTRES: Final = (
    (27.71, 85.32),
    (28.21, 83.99),
    (26.46, 87.28),
    (26.73, 85.92),
    (28.05, 81.62),
    (28.70, 80.59),
)
CATEGORIES: Final = 12
FESTIVALS: Final = 25
FLOWERS: Final = 0
# The repeat of a puja, by its kind: how much likelier it is so many months after the last time.
KINDS: Final = ("festival", "monthly", "half-yearly", "once", "any")
MAX_ELAPSED: Final = 36
REQUIRED, ESSENTIAL, OPTIONAL, ABSENT = 0, 1, 2, -1
RULE_KEPT: Final = {REQUIRED: 0.98, ESSENTIAL: 0.90}
JOIN: Final = 0.55
_KM_PER_DEGREE: Final = 111.2
_LUNATION: Final = 29.530589
_FIRST_NEW_MOON: Final = 17.8  # days after START
_CHUNK: Final = 20_000
_TRIES: Final = 6


@dataclass(frozen=True, slots=True)
class TownConfig:
    """How large the town is, and what is planted in it."""

    seed: int = 7
    users: int = 5_000
    pandits: int = 200
    items: int = 300
    pujas: int = 40
    months: int = 30
    bookings_per_user: float = 4.7
    cliques: bool = True

    def __post_init__(self) -> None:
        """Refuse a town in which there would be too little of something to choose from."""
        least = {"users": 10, "pandits": 5, "items": 80, "pujas": 8, "months": 3}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise ValueError(f"a town has at least {number} {name}")
        if not 0 < self.bookings_per_user < math.inf:
            raise ValueError("in a town bookings are made: bookings_per_user is above 0")


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """The truth. Users, pandits, pujas, items and regions are numbered from 0."""

    region: Ints
    tradition: Ints
    language: Ints
    place: Floats
    taste: Floats
    eagerness: Floats
    one_time: Bools
    dismissed: Bools
    item_taste: Floats
    item_category: Ints
    item_season: Ints
    item_price: Ints
    item_unit: Ints
    item_pack: Floats
    item_per_person: Floats
    puja_taste: Floats
    puja_kind: Ints
    puja_rate: Floats
    repeat: Floats
    festivals: tuple[tuple[int, date], ...]
    tier: NDArray[np.int8]
    rules: NDArray[np.int8]
    region_effect: Floats
    pandit_effect: Floats
    cliques: tuple[tuple[int, ...], ...]
    substitutions: tuple[tuple[int, int, int], ...]
    pandit_items: Bools
    pandit_region: Ints
    pandit_place: Floats
    pandit_taste: Floats
    pandit_quality: Floats
    pandit_price: Ints
    pandit_language: Bools
    pandit_offers: Bools
    pandit_joined: Ints

    def base_logit(self, users: Ints, pujas: Ints, pandits: Ints) -> Floats:
        """The logit with which each item is wanted for itself: rows by items.

        Only for items that no rule demands; cliques and habits of pandits come on top.
        """
        listed = self.tier[pujas] == OPTIONAL
        liking = self.taste[users] @ self.item_taste.T / np.sqrt(TASTE)
        logit = np.where(listed, -1.2, -4.6) + 1.2 * liking
        return np.asarray(
            logit + self.region_effect[self.region[users]] + self.pandit_effect[pandits]
        )


UNITS: Final = ("g", "ml", "piece", "packet", "garland", "set")
_UNIT_SHARES: Final = (0.35, 0.05, 0.25, 0.2, 0.05, 0.1)
_PACKS: Final = {"g": 50.0, "ml": 50.0}


def build_world(config: TownConfig) -> World:
    """The truth of a town; equal configurations give equal worlds."""
    random = np.random.default_rng([config.seed, 1])
    users, items, pujas, pandits = config.users, config.items, config.pujas, config.pandits
    regions = len(CENTRES)
    zipf = 1 / np.arange(1, regions + 1)
    region = random.choice(regions, users, p=zipf / zipf.sum())
    customs = random.dirichlet(np.ones(TRADITIONS), regions)
    tradition = (random.random((users, 1)) > customs[region].cumsum(axis=1)[:, :-1]).sum(axis=1)
    centre_of_tradition = random.normal(0, 0.4, (TRADITIONS, TASTE))
    centre_of_category = random.normal(0, 0.4, (CATEGORIES, TASTE))
    category = random.integers(0, CATEGORIES, items)
    unit = random.choice(len(UNITS), items, p=_UNIT_SHARES)
    pack = np.array([_PACKS.get(name, 1.0) for name in UNITS])[unit]
    tier = _tiers(random, pujas, items)
    kind = _kinds(pujas)
    pandit_region = random.choice(regions, pandits, p=zipf / zipf.sum())
    speaks = random.random((pandits, len(LANGUAGES))) < 0.2
    speaks[:, 0] |= random.random(pandits) < 0.8
    speaks[np.arange(pandits), pandit_region % len(LANGUAGES)] = True
    late = random.random(pandits) < 0.3
    habit = np.zeros((pandits, items), dtype=bool)
    free = np.flatnonzero((tier == ABSENT).sum(axis=0) + (tier == OPTIONAL).sum(axis=0) == pujas)
    for item in random.choice(free, 6, replace=False):
        habit[random.random(pandits) < 0.15, item] = True
    return World(
        region=region,
        tradition=tradition,
        language=np.where(random.random(users) < 0.6, 0, region % len(LANGUAGES)),
        place=_places(random, region),
        taste=centre_of_tradition[tradition] + random.normal(0, np.sqrt(0.6), (users, TASTE)),
        eagerness=random.lognormal(0, 0.5, users),
        one_time=random.random(users) < 0.35,
        dismissed=random.random((users, items)) < 0.01,
        item_taste=centre_of_category[category] + random.normal(0, np.sqrt(0.5), (items, TASTE)),
        item_category=category,
        item_season=_seasons(random, category),
        item_price=np.maximum(500, random.lognormal(8.6, 0.7, items)).astype(np.int64),
        item_unit=unit,
        item_pack=pack,
        item_per_person=np.where(pack > 1, random.integers(0, 5, items) * 5.0, 0.0),
        puja_taste=random.normal(0, np.sqrt(0.5), (pujas, TASTE)),
        puja_kind=kind,
        puja_rate=random.lognormal(0, 0.6, pujas) * np.exp(random.normal(0, 0.5, (regions, pujas))),
        repeat=_repeat_curves(),
        festivals=_festivals(random, kind, config.months),
        tier=tier,
        rules=_told_rules(random, tier),
        region_effect=random.normal(0, 1.0, (regions, items)),
        pandit_effect=random.normal(0, 0.7, (pandits, items)),
        cliques=_cliques(random, free) if config.cliques else (),
        substitutions=_substitutions(random, free, regions),
        pandit_items=habit,
        pandit_region=pandit_region,
        pandit_place=_places(random, pandit_region),
        pandit_taste=random.normal(0, np.sqrt(0.6), (pandits, TASTE)),
        pandit_quality=random.beta(8, 2, pandits),
        pandit_price=(random.lognormal(12.4, 0.3, pandits) // 1000 * 1000).astype(np.int64),
        pandit_language=speaks,
        pandit_offers=random.random((pandits, pujas)) < 0.7,
        pandit_joined=np.where(late, random.integers(1, config.months, pandits), -1),
    )


def _places(random: np.random.Generator, region: Ints) -> Floats:
    """Points around the centre of each region, 12 km off in either direction (1 sigma)."""
    return np.asarray(
        np.array(CENTRES)[region] + random.normal(0, 12 / _KM_PER_DEGREE, (len(region), 2))
    )


def _seasons(random: np.random.Generator, category: Ints) -> Ints:
    """The first and last month (0 to 11, may wrap) in which each item is to be had."""
    seasonal = (category == FLOWERS) | (category == FLOWERS + 1)
    first = random.integers(0, 12, len(category))
    length = random.integers(5, 9, len(category))
    season = np.column_stack((first, (first + length - 1) % 12))
    season[~seasonal] = (0, 11)
    return season


def available(season: Ints, month: int) -> Floats:
    """How far each item is to be had in a month: 1, half at the edges of its season, 0 outside."""
    first, last = season[:, 0], season[:, 1]
    length = (last - first) % 12 + 1
    position = (month - first) % 12
    inside = position < length
    edge = inside & (length < 12) & ((position == 0) | (position == length - 1))
    return np.where(edge, 0.5, np.where(inside, 1.0, 0.0))


def _tiers(random: np.random.Generator, pujas: int, items: int) -> NDArray[np.int8]:
    """What each puja needs: the demanded items come from a common core, the others do not."""
    core = items // 4
    liked = random.dirichlet(np.full(core, 1.5))
    tier = np.full((pujas, items), ABSENT, dtype=np.int8)
    for puja in range(pujas):
        required, essential = random.integers(6, 11), random.integers(4, 9)
        demanded = random.choice(core, required + essential, replace=False, p=liked)
        tier[puja, demanded[:required]] = REQUIRED
        tier[puja, demanded[required:]] = ESSENTIAL
        tier[puja, core + random.choice(items - core, random.integers(5, 16), replace=False)] = (
            OPTIONAL
        )
    return tier


def _told_rules(random: np.random.Generator, tier: NDArray[np.int8]) -> NDArray[np.int8]:
    """What the catalogue says of it: 3 % of its rows are wrong, half missing and half made up."""
    told = tier.copy()
    rows = np.argwhere(tier != ABSENT)
    wrong = random.choice(len(rows), max(1, round(0.03 * len(rows))), replace=False)
    for number, (puja, item) in enumerate(rows[wrong]):
        if number % 2 == 0:
            told[puja, item] = ABSENT
        else:
            told[puja, random.choice(np.flatnonzero(told[puja] == ABSENT))] = tier[puja, item]
    return told


def _kinds(pujas: int) -> Ints:
    festivals = FESTIVALS * pujas // 40
    others = np.arange(pujas - festivals) % 4 + 1
    return np.concatenate((np.zeros(festivals, dtype=np.int64), others))


def _repeat_curves() -> Floats:
    """Kinds by months elapsed (0: in the same month; the last column: longer, or never before)."""
    curves = np.ones((len(KINDS), MAX_ELAPSED + 1))
    curves[KINDS.index("festival"), 10:15] = 8.0
    curves[KINDS.index("monthly"), 1:3] = (14.0, 3.0)
    curves[KINDS.index("half-yearly"), 6] = 14.0
    curves[KINDS.index("half-yearly"), 12] = 6.0
    curves[KINDS.index("once"), :-1] = 0.0
    curves[:, 0] = 0.0
    return curves


def _festivals(
    random: np.random.Generator, kind: Ints, months: int
) -> tuple[tuple[int, date], ...]:
    """A day a year for each festival: a lunar day after the first new moon past a solar day.

    Such days move by up to a month from year to year, as those of the Nepali calendar do.
    """
    days = []
    for puja in np.flatnonzero(kind == 0):
        solar, lunar = random.uniform(0, 365.25), random.uniform(0, 29)
        for year in range(-1, months // 12 + 2):
            since = solar + 365.25 * year
            moons = np.ceil((since - _FIRST_NEW_MOON) / _LUNATION)
            day = _FIRST_NEW_MOON + moons * _LUNATION + lunar
            days.append((int(puja), START + timedelta(days=int(day))))
    last = START + timedelta(days=int(months * 30.4375) + 60)
    return tuple(sorted(each for each in days if START <= each[1] <= last))


def _cliques(random: np.random.Generator, free: Ints) -> tuple[tuple[int, ...], ...]:
    """25 sets of 3 to 5 items that go together, apart from one another while items last."""
    pool = random.permutation(free)
    cliques, used = [], 0
    for _ in range(25):
        size = int(random.integers(3, 6))
        members = pool[used : used + size]
        if len(members) < size:
            break
        cliques.append(tuple(sorted(int(item) for item in members)))
        used += size
    return tuple(cliques)


def _substitutions(
    random: np.random.Generator, free: Ints, regions: int
) -> tuple[tuple[int, int, int], ...]:
    """Ten customs: in this region, that item is taken instead of this one."""
    pairs = random.choice(free, (10, 2), replace=False)
    return tuple(
        (int(random.integers(0, regions)), int(item), int(instead)) for item, instead in pairs
    )


@dataclass(frozen=True, slots=True, eq=False)
class Town:
    """What the platform saw, as columns of equal length per table; ids are numbers from 0.

    ``bookings`` are in the order in which they were made; ``lines`` belong to them by number.
    """

    config: TownConfig
    world: World
    bookings: dict[str, NDArray[Any]]
    lines: dict[str, NDArray[Any]]


def simulate(config: TownConfig) -> Town:
    """Let the world run. Equal configurations give equal towns."""
    world = build_world(config)
    random = np.random.default_rng([config.seed, 2])
    visits = _wanted_visits(config, world)
    bookings = _with_pandits(random, config, world, visits)
    order = np.argsort(bookings["ts"], kind="stable")
    bookings = {name: column[order] for name, column in bookings.items()}
    lines = _lines(random, world, bookings)
    return Town(config, world, bookings, lines)


def _month_start(month: int) -> date:
    years, months = divmod(START.month - 1 + month, 12)
    return date(START.year + years, months + 1, 1)


def _milliseconds(days: Floats) -> Ints:
    """Instants from days after ``START``."""
    epoch = (START - date(1970, 1, 1)).days
    return ((days + epoch) * 86_400_000).astype(np.int64)


def _wanted_visits(config: TownConfig, world: World) -> dict[str, NDArray[Any]]:
    """As many visits a family as the configuration says, within a twentieth.

    How many come of a rate depends on who comes once only and what comes again, so it is tried.
    """
    wanted, rate = config.bookings_per_user * config.users, 0.85
    visits = _visits(np.random.default_rng([config.seed, 3]), config, world, rate)
    for _ in range(_TRIES):
        found = max(len(visits["user"]), 1)
        if abs(found - wanted) <= 0.05 * wanted:
            break
        rate *= wanted / found
        visits = _visits(np.random.default_rng([config.seed, 3]), config, world, rate)
    return visits


def _visits(
    random: np.random.Generator, config: TownConfig, world: World, share: float
) -> dict[str, NDArray[Any]]:
    """Who wants which puja when: a month at a time, by the hazard since the last time.

    ``share`` scales how eager all are.
    """
    users, pujas = config.users, config.pujas
    drawn = np.exp(1.5 * world.taste @ world.puja_taste.T / np.sqrt(TASTE))
    rate = world.eagerness[:, None] * drawn * world.puja_rate[world.region]
    season = _festival_months(config, world)
    rate *= share * config.bookings_per_user * users / float((rate @ season).sum())
    last = np.full((users, pujas), -MAX_ELAPSED)
    done = np.zeros(users, dtype=bool)
    found = []
    for month in range(config.months):
        elapsed = np.clip(month - last, 0, MAX_ELAPSED)
        hazard = rate * season[:, month] * world.repeat[world.puja_kind, elapsed]
        hazard[done & world.one_time] = 0.0
        comes = random.random((users, pujas)) < -np.expm1(-hazard)
        user, puja = np.nonzero(comes)
        last[user, puja] = month
        done[user] = True
        found.append((np.full(len(user), month), user, puja))
    months, user, puja = (np.concatenate(column) for column in zip(*found, strict=True))
    held = _held_days(random, world, months, puja)
    lead = np.clip(random.gamma(2, 6, len(user)), 0.3, 45)
    return {
        "user": user,
        "puja": puja,
        "month": months,
        "ts": _milliseconds(held - lead),
        "held_ts": _milliseconds(held),
    }


def _festival_months(config: TownConfig, world: World) -> Floats:
    """Pujas by months: 1 in the month of the festival and hardly anything else in the year."""
    season = np.where(world.puja_kind == 0, 0.02, 1 / 12)[:, None] * np.ones(config.months)
    for puja, day in world.festivals:
        month = (day.year - START.year) * 12 + day.month - START.month
        if month < config.months:
            season[puja, month] = 1.0
    return season


def _held_days(random: np.random.Generator, world: World, month: Ints, puja: Ints) -> Floats:
    """Days after START: on or about the festival, or any day of the month; in the forenoon."""
    starts = np.array([(_month_start(each) - START).days for each in range(int(month.max()) + 1)])
    held = starts[month] + random.uniform(0, 28, len(month))
    about = np.round(random.normal(0, 1.0, len(month)))
    for festival, day in world.festivals:
        when = (day.year - START.year) * 12 + day.month - START.month
        mine = (puja == festival) & (month == when)
        held[mine] = (day - START).days + about[mine]
    return np.asarray(np.floor(held) + 0.3)


def _with_pandits(
    random: np.random.Generator,
    config: TownConfig,
    world: World,
    visits: dict[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """Whom each family asks, a month at a time: near, well spoken of, known, of its language."""
    count = len(visits["user"])
    pandit = np.zeros(count, dtype=np.int64)
    stars = np.zeros(count, dtype=np.int8)
    status = np.zeros(count, dtype=np.int8)
    said = np.zeros((config.pandits, 2))
    known = np.zeros((config.users, config.pandits), dtype=np.float32)
    for month in range(config.months):
        rows = np.flatnonzero(visits["month"] == month)
        user, puja = visits["user"][rows], visits["puja"][rows]
        perceived = (4 * 0.8 + said[:, 0]) / (4 + said[:, 1])
        wish = pandit_wish(world, user, puja, perceived, known[user])
        wish[:, world.pandit_joined > month] = -np.inf
        chosen = np.argmax(wish + random.gumbel(size=wish.shape), axis=1)
        quality = world.pandit_quality[chosen]
        cancelled = random.random(len(rows)) < 0.04 + 0.15 * (1 - quality)
        rated = ~cancelled & (random.random(len(rows)) < 0.6)
        seen = np.clip(np.rint(1 + 4 * (quality + random.normal(0, 0.2, len(rows)))), 1, 5)
        pandit[rows] = chosen
        status[rows] = np.where(cancelled, 2, 1)
        stars[rows] = np.where(rated, seen, 0)
        np.add.at(said[:, 0], chosen[rated], (seen[rated] - 1) / 4)
        np.add.at(said[:, 1], chosen[rated], 1)
        np.add.at(known, (user[~cancelled], chosen[~cancelled]), 1.0)
    return {
        **visits,
        "pandit": pandit,
        "status": status,
        "stars": stars,
        "attendees": 3 + random.poisson(12, count),
        "days": np.ones(count, dtype=np.int64),
    }


def pandit_wish(
    world: World, users: Ints, pujas: Ints, perceived: Floats, times: NDArray[Any]
) -> Floats:
    """The true utility of every pandit for every booking (rows by pandits), before chance.

    ``perceived`` is the reputation of each pandit in 0..1, ``times`` how often the family has
    asked him before. Minus infinity where he does not offer the puja.
    """
    delta = (world.place[users][:, None, :] - world.pandit_place) * _KM_PER_DEGREE
    delta[:, :, 1] *= np.cos(np.radians(27.5))
    km = np.hypot(delta[:, :, 0], delta[:, :, 1])
    wish = 2.0 * np.exp(-km / 8) - np.maximum(km - 20, 0) / 8
    wish += 6.0 * (perceived - 0.8)
    wish += 1.0 * world.pandit_language[:, world.language[users]].T
    wish -= 0.6 * np.log(world.pandit_price / np.median(world.pandit_price))
    wish += 2.5 * (1 - 0.5**times)
    wish += 1.2 * (world.taste[users] @ world.pandit_taste.T) / np.sqrt(TASTE)
    return np.where(world.pandit_offers[:, pujas].T, wish, -np.inf)


def _lines(
    random: np.random.Generator, world: World, bookings: dict[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """The samagri of all bookings, a chunk at a time."""
    parts = [
        _chunk_of_lines(random, world, bookings, start)
        for start in range(0, len(bookings["user"]), _CHUNK)
    ]
    names = parts[0].keys()
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _chunk_of_lines(
    random: np.random.Generator, world: World, bookings: dict[str, NDArray[Any]], start: int
) -> dict[str, NDArray[Any]]:
    rows = slice(start, start + _CHUNK)
    user, puja, pandit = (bookings[name][rows] for name in ("user", "puja", "pandit"))
    held = bookings["held_ts"][rows].astype("datetime64[ms]").astype("datetime64[M]")
    to_be_had = np.array([available(world.item_season, month) for month in range(12)])
    stocked = to_be_had[held.astype(np.int64) % 12]
    stocked = (stocked == 1) | ((stocked > 0) & (random.random(stocked.shape) < 0.8))
    told = world.rules[puja]
    by_rule = (told == REQUIRED) | (told == ESSENTIAL)
    logit = world.base_logit(user, puja, pandit)
    shown, propensity = _shown(random, world, by_rule)
    wanted = sigmoid(logit + 1.0 * shown)
    tier = world.tier[puja]
    for demanded, kept_share in RULE_KEPT.items():
        wanted[tier == demanded] = kept_share
    free = (tier != REQUIRED) & (tier != ESSENTIAL)
    may = stocked & ~(world.dismissed[user] & free)
    first = (random.random(wanted.shape) < wanted) & may
    chosen = first.copy()
    for clique in world.cliques:
        members = list(clique)
        called = first[:, members].any(axis=1)
        joins = random.random((len(user), len(members))) < JOIN
        chosen[:, members] |= called[:, None] & joins & may[:, members]
    for region, usual, instead in world.substitutions:
        swaps = (world.region[user] == region) & chosen[:, usual] & may[:, instead]
        swaps &= random.random(len(user)) < 0.8
        chosen[swaps, usual] = False
        chosen[swaps, instead] = True
    chosen |= world.pandit_items[pandit] & (random.random(chosen.shape) < 0.8) & may
    regret = random.random(chosen.shape) < sigmoid(-4.0 - np.clip(logit, -6, 0) / 3)
    on_list = chosen | by_rule
    kept = chosen & ~(regret & ~by_rule)
    line, item = np.nonzero(on_list)
    booking = line + start
    source = np.where(random.random(len(line)) < 0.5, 0, 3)
    source[shown[line, item]] = 2
    source[by_rule[line, item]] = 1
    quantity = _quantities(random, world, item, bookings["attendees"][booking])
    return {
        "booking": booking,
        "item": item,
        "quantity": quantity,
        "price": _prices(world, item, quantity, puja[line], bookings["held_ts"][booking]),
        "source": source.astype(np.int8),
        "propensity": np.where(source == 2, propensity[line, item], 0.0).astype(np.float32),
        "tier": np.where(told[line, item] == ABSENT, OPTIONAL, told[line, item]).astype(np.int8),
        "kept": kept[line, item],
        "returned": kept[line, item] & (random.random(len(line)) < 0.03),
    }


def _shown(
    random: np.random.Generator, world: World, by_rule: Bools
) -> tuple[Bools, NDArray[np.float32]]:
    """What a recommender of the popular showed: each item by itself, with known propensity."""
    liked = (world.tier == OPTIONAL).sum(axis=0) + 0.5
    chance = np.clip(12 * liked / liked.sum(), 0.01, 0.6)
    chance = np.where(by_rule, 0.0, chance).astype(np.float32)
    return random.random(chance.shape) < chance, chance


def _quantities(random: np.random.Generator, world: World, item: Ints, attendees: Ints) -> Floats:
    wanted = 2 * world.item_pack[item] + world.item_per_person[item] * attendees
    wanted *= random.lognormal(0, 0.2, len(item))
    return np.asarray(
        np.maximum(np.rint(wanted / world.item_pack[item]), 1) * world.item_pack[item]
    )


def _prices(world: World, item: Ints, quantity: Floats, puja: Ints, held_ts: Ints) -> Ints:
    """In paisa: 6 % dearer a year, flowers 15 % dearer about festivals."""
    years = (held_ts - _milliseconds(np.zeros(1))) / (365.25 * 86_400_000)
    surge = np.where((world.item_category[item] == FLOWERS) & (world.puja_kind[puja] == 0), 1.15, 1)
    packs = quantity / world.item_pack[item]
    return np.asarray(
        np.rint(world.item_price[item] * packs * 1.06**years * surge).astype(np.int64)
    )
