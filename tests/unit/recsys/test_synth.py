import json
from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from recsys import synth
from recsys.data import Kind, Source, Status, build
from recsys.town import OPTIONAL, TownConfig, available, build_world, simulate

_SMALL = TownConfig(seed=3, users=300, pandits=30, items=120, months=18)


@pytest.fixture(scope="module")
def town():
    return simulate(_SMALL)


def test_equal_seeds_give_equal_towns(town):
    again = synth.dataset(simulate(_SMALL))
    assert again.fingerprint() == synth.dataset(town).fingerprint()
    other = synth.dataset(simulate(replace(_SMALL, seed=4)))
    assert other.fingerprint() != again.fingerprint()


def test_files_hold_the_same_data_set(town, tmp_path):
    size = ["--users", "300", "--pandits", "30", "--items", "120", "--months", "18"]
    assert synth.main(["--out", str(tmp_path), "--seed", "3", *size]) == 0
    names = ("bookings", "lines", "events", "rules", "items", "pujas", "pandits")
    tables = {}
    for name in names:
        rows = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        tables[name] = {key: [row[key] for row in rows] for key in rows[0]}
    built = build(tables, now_ms=2_000_000_000_000)
    direct = synth.dataset(town)
    assert built.rejects.share == 0
    assert len(built.bookings) == len(direct.bookings)
    assert len(built.lines) == len(direct.lines)
    assert np.bincount(built.events.kind).tolist() == np.bincount(direct.events.kind).tolist()
    assert (built.bookings.puja == direct.bookings.puja).all()
    assert (built.puja_repeats == direct.puja_repeats).all()
    assert 0 < len(built.once()) < len(built.pujas)
    truth = np.load(tmp_path / "truth.npz", allow_pickle=False)
    assert (truth["tier"] == town.world.tier).all()


def test_three_in_a_hundred_rules_are_wrong(town):
    world = town.world
    wrong = (world.tier != world.rules).sum() / (world.tier >= 0).sum()
    assert 0.02 <= wrong <= 0.04


def test_festivals_move_from_year_to_year():
    festivals = build_world(replace(_SMALL, months=60)).festivals
    days_of: dict[int, list[date]] = {}
    for puja, day in festivals:
        days_of.setdefault(puja, []).append(day)
    gaps = [(later - sooner).days for days in days_of.values() for sooner, later in pairwise(days)]
    assert {354, 355} & set(gaps)
    assert {383, 384, 385} & set(gaps)
    assert min(gaps) >= 350
    assert max(gaps) <= 386


def test_nothing_is_bought_out_of_season(town):
    world, lines, bookings = town.world, town.lines, town.bookings
    held = bookings["held_ts"][lines["booking"]].astype("datetime64[ms]").astype("datetime64[M]")
    month = held.astype(int) % 12
    stocked = np.array([available(world.item_season, each) for each in range(12)])
    assert (stocked[month, lines["item"]][lines["kept"]] > 0).all()
    assert (stocked == 0).any()


def test_families_never_keep_what_they_dismissed(town):
    world, lines, bookings = town.world, town.lines, town.bookings
    free = world.tier[bookings["puja"][lines["booking"]], lines["item"]] >= OPTIONAL
    dismissed = world.dismissed[bookings["user"][lines["booking"]], lines["item"]]
    assert not (dismissed & free & lines["kept"]).any()


def test_members_of_a_clique_come_together(town):
    lines = town.lines
    kept = np.zeros((len(town.bookings["user"]), _SMALL.items), dtype=bool)
    kept[lines["booking"][lines["kept"]], lines["item"][lines["kept"]]] = True
    first, second = np.array([clique[:2] for clique in town.world.cliques]).T
    together = (kept[:, first] & kept[:, second]).sum() / kept[:, first].sum()
    assert together > 0.4
    apart = simulate(replace(_SMALL, cliques=False))
    assert apart.world.cliques == ()


def test_events_tell_of_every_booking_and_come_in_order(town):
    data = synth.dataset(town)
    counts = np.bincount(data.events.kind, minlength=len(Kind))
    assert counts[Kind.BOOKING_CREATED] == len(data.bookings)
    assert counts[Kind.BOOKING_COMPLETED] == (data.bookings.status == Status.COMPLETED).sum()
    assert (np.diff(data.events.ts) >= 0).all()
    assert (data.lines.source == Source.REC).any()
