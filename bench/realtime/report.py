"""The table: medians and ranges, targets met or not, and how many times our figure others need."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Protocol

Runs = Mapping[str, Mapping[str, Sequence[float]]]
"""By contender and figure, the values of all runs; the product comes first."""
_CHANNELS: Final = ("channels-uvicorn", "channels-daphne", "channels-postgres")


class Goal(Protocol):
    """What a figure of the product is to reach."""

    def told(self, figure: str, runs: Runs, names: Sequence[str]) -> str:
        """The target, and whether the median meets it."""
        ...


@dataclass(frozen=True, slots=True)
class Bound:
    """A number to stay below or to reach."""

    sign: str
    limit: float

    def told(self, figure: str, runs: Runs, names: Sequence[str]) -> str:
        """See ``Goal``."""
        value = median(runs[names[0]][figure])
        return f"{self.sign} {self.limit:,}: {_verdict(_SIGNS[self.sign](value, self.limit))}"


@dataclass(frozen=True, slots=True)
class Times:
    """So many times better than the best of some peers that ran."""

    factor: float
    peers: tuple[str, ...]
    label: str
    is_more_better: bool = False

    def told(self, figure: str, runs: Runs, names: Sequence[str]) -> str:
        """See ``Goal``."""
        ours = median(runs[names[0]][figure])
        theirs = [
            median(runs[name][figure]) for name in self.peers if runs.get(name, {}).get(figure)
        ]
        goal = f"{self.factor:g}× {self.label}"
        if not theirs:
            return f"{goal}: did not run"
        if self.is_more_better:
            times = ours / max(*theirs, 1e-9)
        else:
            times = min(theirs) / max(ours, 1e-9)
        return f"{goal}: {times:,.3g}× {_verdict(times >= self.factor)}"


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of the table.

    ``is_ratio``: the others are compared with the product. ``is_counted``: how often it was.
    """

    figure: str
    label: str
    form: str = ",.1f"
    is_ratio: bool = False
    goal: Goal | None = None
    is_counted: bool = False


_SIGNS: Final[dict[str, Callable[[float, float], bool]]] = {
    "≤": operator.le, "<": operator.lt, "≥": operator.ge,
}  # fmt: skip
_TEN_TIMES_POSTGRES: Final = Times(10, ("channels-postgres",), "PostgreSQL", is_more_better=True)
_DISK: Final = "the longest that the disk kept 8 KB then, ms"
ROWS: Final = (
    ("Idle sockets, admitted to rooms and notification streams", (
        Row("idle_sockets", "sockets", ",.0f", goal=Bound("≥", 15_000)),
        Row("idle_kib", "memory a socket, KiB", ",.2f", is_ratio=True, goal=Bound("≤", 4)),
        Row("idle_held_kib", "the same when held for a while, KiB", ",.2f"),
        Row("idle_cpu_percent", "CPU of the heartbeats, % of a core", ",.2f"),
        Row("idle_cpu_percent_15k", "for 15,000 sockets, %", ",.2f", is_ratio=True,
            goal=Bound("<", 2)),
        Row("idle_pings", "pings answered", ",.0f"),
    )),
    ("Fan-out in one room", (
        Row("fan_sockets", "sockets", ",.0f"),
        Row("fan_cpu_us", "CPU a delivery at saturation, µs", ",.2f", is_ratio=True,
            goal=Bound("≤", 7)),
        Row("fan_cpu_us", "the same against Channels, uvicorn", ",.2f",
            goal=Times(100, ("channels-uvicorn",), "less")),
        Row("fan_server_busy_percent", "server busy, %", ",.0f", goal=Bound("≥", 85)),
        Row("fan_per_second", "deliveries a second", ",.0f", is_ratio=True),
        Row("fan_client_cpu_us", "the client's own CPU a delivery, µs", ",.2f"),
        Row("fan_alone_cpu_us", "CPU a delivery, message by message, µs", ",.2f", is_ratio=True),
        Row("fan_calm_per_second", "deliveries a second at half of that", ",.0f"),
        Row("fan_p50_ms", "p50 then, ms"),
        Row("fan_p99_ms", "p99 then, ms", is_ratio=True, goal=Bound("<", 25)),
        Row("fan_disk_ms", _DISK),
        Row("fan_client_half_cpu_us", "the client's own CPU then, µs", ",.2f"),
    )),
    ("One-to-one, every message stored", (
        Row("chat_pairs", "pairs", ",.0f"),
        Row("chat_cpu_us", "CPU an acknowledged message, µs", ",.0f", is_ratio=True,
            goal=Bound("≤", 100)),
        Row("chat_acked_per_second", "acknowledged a second", ",.0f", is_ratio=True,
            goal=_TEN_TIMES_POSTGRES),
        Row("chat_server_busy_percent", "server busy, %", ",.0f"),
        Row("chat_client_cpu_us", "the client's own CPU a message, µs", ",.0f"),
        Row("chat_ack_p50_ms", "ack p50 at half of that, ms"),
        Row("chat_ack_p99_ms", "ack p99 at half of that, ms"),
        Row("chat_p99_ms", "delivery p99 at half of that, ms", is_ratio=True,
            goal=Bound("<", 25)),
        Row("chat_disk_ms", _DISK),
    )),
    ("Reconnect storm, three messages missed each", (
        Row("storm_sockets", "sockets", ",.0f", goal=Bound("≥", 10_000)),
        Row("storm_cpu_ms", "CPU a reconnect, ms", ",.3f", is_ratio=True,
            goal=Times(10, _CHANNELS, "less than Channels")),
        Row("storm_reads", "database reads a reconnect", ",.2f", goal=Bound("≤", 1)),
        Row("storm_writes", "other database commands each", ",.2f"),
        Row("storm_per_second", "reconnects a second", ",.0f", is_ratio=True),
        Row("storm_refused", "told to try again later", ",.0f"),
        Row("storm_p99_ms", "p99 until up to date, ms", ",.0f"),
    )),
    ("Slow readers", (
        Row("slow_sockets", "sockets that stop to read", ",.0f", goal=Bound("≥", 100)),
        Row("slow_offered_mib", "offered to them, MiB", ",.0f", goal=Bound("≥", 950)),
        Row("slow_growth_mib", "memory growth, MiB", is_ratio=True, goal=Bound("<", 50)),
        Row("slow_kernel_mib", "growth of the kernel's buffers, MiB"),
        Row("slow_closed", "of them closed", ",.0f"),
        Row("slow_told_4001", "with the code to resume", ",.0f"),
        Row("slow_calm_p99_ms", "p99 of the others before, ms"),
        Row("slow_calm_disk_ms", _DISK),
        Row("slow_p99_ms", "p99 of the others meanwhile, ms"),
        Row("slow_disk_ms", _DISK),
        Row("slow_p99_ratio", "the one in terms of the other", ",.2f", goal=Bound("<", 2)),
    )),
    ("Rolling restart of two processes", (
        Row("roll_acked", "messages acknowledged", ",.0f"),
        Row("roll_lost", "of them lost", ",.0f", goal=Bound("≤", 0)),
        Row("roll_unanswered", "never answered", ",.0f", goal=Bound("≤", 0)),
        Row("roll_settled_s", "until all was answered, s"),
        Row("roll_outages", "reconnects", ",.0f"),
        Row("roll_longest_outage_s", "longest time without a socket, s", ",.2f",
            goal=Bound("<", 5)),
        Row("roll_ack_p99_ms", "ack p99, outages included, ms", ",.0f"),
    )),
    ("Gaps, repeats, errors, refused frames", tuple(
        Row(f"{name}_faults", name, ",.0f", goal=Bound("≤", 0))
        for name in ("idle", "fan", "chat", "storm", "slow", "roll")
    )),
    ("Runs in which a peer broke down, and has no figures", tuple(
        Row(f"{name}_broken", name, is_counted=True)
        for name in ("idle", "fan", "chat", "storm", "slow")
    )),
)  # fmt: skip
_LABEL_WIDTH: Final = 39
_CELL_WIDTH: Final = 29
_GOAL_WIDTH: Final = 41


def table(runs: Runs, labels: Mapping[str, str], *, is_judged: bool = True) -> str:
    """The whole table as text.

    ``labels`` are the columns' heads, the product first. Without the product, or when nothing
    ``is_judged``, there are no targets.
    """
    names = [name for name in labels if name in runs]
    has_goals = is_judged and names[0] == next(iter(labels))
    heads = [f"{labels[name]:>{_CELL_WIDTH}}" for name in names]
    if has_goals:
        heads.insert(1, f"{'target':>{_GOAL_WIDTH}}")
    lines = [" " * _LABEL_WIDTH + "".join(heads)]
    for title, rows in ROWS:
        body = [
            _line(row, runs, names, has_goals=has_goals)
            for row in rows
            if any(runs[name].get(row.figure) for name in names)
        ]
        if body:
            lines += ["", title, *body]
    return "\n".join(lines)


def _line(row: Row, runs: Runs, names: Sequence[str], *, has_goals: bool) -> str:
    base = runs[names[0]].get(row.figure)
    cells = []
    for place, name in enumerate(names):
        values = runs[name].get(row.figure)
        text = _cell(row, values) if values else "-"
        if values and row.is_ratio and place and base and median(base):
            text += f" ×{median(values) / median(base):.3g}"
        cells.append(f"{text:>{_CELL_WIDTH}}")
    if has_goals:
        goal = row.goal.told(row.figure, runs, names) if row.goal and base else ""
        cells.insert(1, f"{goal:>{_GOAL_WIDTH}}")
    return f"  {row.label:<{_LABEL_WIDTH - 2}}" + "".join(cells)


def _cell(row: Row, values: Sequence[float]) -> str:
    if row.is_counted:
        return str(len(values))
    text = format(median(values), row.form)
    if max(values) > min(values):
        text += f" ({format(min(values), row.form)}–{format(max(values), row.form)})"
    return text


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "NOT MET"
