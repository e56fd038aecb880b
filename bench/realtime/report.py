"""The table: medians, ranges, and how many times the product's figure the others need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

Runs = Mapping[str, Mapping[str, Sequence[float]]]
"""By contender and figure, the values of all runs."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of the table. ``is_ratio``: the others are compared with the first column."""

    figure: str
    label: str
    form: str = ",.1f"
    is_ratio: bool = False


ROWS: Final = (
    ("Idle sockets, admitted to their rooms", (
        Row("idle_sockets", "sockets", ",.0f"),
        Row("idle_kib", "memory a socket, KiB", is_ratio=True),
        Row("idle_cpu_percent", "CPU at rest, % of a core"),
        Row("idle_cpu_percent_15k", "the same for 15,000 sockets, %", is_ratio=True),
        Row("idle_pings", "pings answered", ",.0f"),
    )),
    ("Fan-out in one room", (
        Row("fan_sockets", "sockets", ",.0f"),
        Row("fan_cpu_us", "CPU a delivery, µs", is_ratio=True),
        Row("fan_per_second", "deliveries a second", ",.0f", is_ratio=True),
        Row("fan_server_busy_percent", "server busy, %", ",.0f"),
        Row("fan_client_cpu_us", "the client's own CPU a delivery, µs"),
        Row("fan_p50_ms", "p50 at half of that, ms"),
        Row("fan_p99_ms", "p99 at half of that, ms", is_ratio=True),
    )),
    ("One-to-one, every message stored", (
        Row("chat_pairs", "pairs", ",.0f"),
        Row("chat_cpu_us", "CPU an acknowledged message, µs", ",.0f", is_ratio=True),
        Row("chat_acked_per_second", "acknowledged a second", ",.0f", is_ratio=True),
        Row("chat_server_busy_percent", "server busy, %", ",.0f"),
        Row("chat_ack_p50_ms", "ack p50 at half of that, ms"),
        Row("chat_ack_p99_ms", "ack p99 at half of that, ms"),
        Row("chat_p99_ms", "delivery p99 at half of that, ms", is_ratio=True),
    )),
    ("Reconnect storm, three messages missed each", (
        Row("storm_sockets", "sockets", ",.0f"),
        Row("storm_cpu_ms", "CPU a reconnect, ms", ",.2f", is_ratio=True),
        Row("storm_per_second", "reconnects a second", ",.0f", is_ratio=True),
        Row("storm_refused", "told to try again later", ",.0f"),
        Row("storm_p99_ms", "p99 until up to date, ms", ",.0f"),
    )),
    ("Slow readers", (
        Row("slow_sockets", "sockets that stop to read", ",.0f"),
        Row("slow_offered_mib", "offered to them, MiB", ",.0f"),
        Row("slow_growth_mib", "memory growth, MiB", is_ratio=True),
        Row("slow_kernel_mib", "growth of the kernel's buffers, MiB"),
        Row("slow_closed", "of them closed", ",.0f"),
        Row("slow_told_4001", "with the code to resume", ",.0f"),
        Row("slow_calm_p99_ms", "p99 of the others before, ms"),
        Row("slow_p99_ms", "p99 of the others meanwhile, ms"),
    )),
    ("Rolling restart of two processes", (
        Row("roll_acked", "messages acknowledged", ",.0f"),
        Row("roll_lost", "of them lost", ",.0f"),
        Row("roll_unanswered", "never answered", ",.0f"),
        Row("roll_settled_s", "until all was answered, s"),
        Row("roll_outages", "reconnects", ",.0f"),
        Row("roll_longest_outage_s", "longest time without a socket, s", ",.2f"),
        Row("roll_ack_p99_ms", "ack p99, outages included, ms", ",.0f"),
    )),
    ("Gaps, repeats, errors, refused frames", tuple(
        Row(f"{name}_faults", name, ",.0f")
        for name in ("idle", "fan", "chat", "storm", "slow", "roll")
    )),
)  # fmt: skip
_LABEL_WIDTH: Final = 38
_CELL_WIDTH: Final = 30


def table(runs: Runs, labels: Mapping[str, str]) -> str:
    """The whole table as text; ``labels`` are the columns' heads, the product first."""
    names = [name for name in labels if name in runs]
    lines = [
        " " * _LABEL_WIDTH + "".join(f"{labels[name]:>{_CELL_WIDTH}}" for name in names),
    ]
    for title, rows in ROWS:
        body = [_line(row, runs, names) for row in rows if _is_known(row, runs, names)]
        if body:
            lines += ["", title, *body]
    return "\n".join(lines)


def _is_known(row: Row, runs: Runs, names: Sequence[str]) -> bool:
    return any(row.figure in runs[name] for name in names)


def _line(row: Row, runs: Runs, names: Sequence[str]) -> str:
    base = runs[names[0]].get(row.figure)
    cells = []
    for place, name in enumerate(names):
        values = runs[name].get(row.figure)
        if not values:
            cells.append(f"{'-':>{_CELL_WIDTH}}")
            continue
        text = format(median(values), row.form)
        if max(values) > min(values):
            text += f" ({format(min(values), row.form)}–{format(max(values), row.form)})"
        if row.is_ratio and place and base and median(base):
            text += f" ×{median(values) / median(base):.3g}"
        cells.append(f"{text:>{_CELL_WIDTH}}")
    return f"  {row.label:<{_LABEL_WIDTH - 2}}" + "".join(cells)
