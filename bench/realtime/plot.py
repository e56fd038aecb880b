"""Draws the figures of a result file: ``python plot.py results.json plot.png``.

Runs in the peers' environment, which has matplotlib; the product needs none.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

PANELS = (
    ("idle_kib", "Memory a socket, KiB"),
    ("fan_cpu_us", "CPU a fan-out delivery, µs"),
    ("fan_p99_ms", "Fan-out p99 at half load, ms"),
    ("chat_cpu_us", "CPU an acknowledged message, µs"),
    ("chat_acked_per_second", "Acknowledged messages a second"),
    ("storm_cpu_ms", "CPU a reconnect, ms"),
)
LOG_FROM = 20
"""How many times the least the greatest must be for a logarithmic scale."""


def main(source: Path, target: Path) -> None:
    """Read the results and write the picture."""
    results = json.loads(source.read_text(encoding="utf-8"))
    labels, runs = results["labels"], results["runs"]
    names = [name for name in labels if name in runs]
    figure, axes = pyplot.subplots(2, 3, figsize=(15, 7.5), layout="constrained")
    for axis, (key, title) in zip(axes.flat, PANELS, strict=True):
        shown = [name for name in names if runs[name].get(key)]
        middles = [median(runs[name][key]) for name in shown]
        errors = [
            [middle - min(runs[name][key]) for name, middle in zip(shown, middles, strict=True)],
            [max(runs[name][key]) - middle for name, middle in zip(shown, middles, strict=True)],
        ]
        colours = ["#b5341f" if name == names[0] else "#8a94a3" for name in shown]
        places = range(len(shown))
        bars = axis.barh(places, middles, xerr=errors, color=colours, ecolor="#30343b", capsize=3)
        if min(middles, default=0) > 0 and max(middles) / min(middles) > LOG_FROM:
            axis.set_xscale("log")
            axis.set_xlim(left=min(middles) / 3)
            title += " (log)"
        axis.bar_label(bars, [f" {middle:,.4g}" for middle in middles], padding=4)
        axis.set_yticks(places, [labels[name] for name in shown])
        axis.invert_yaxis()
        axis.margins(x=0.2)
        axis.set_title(title, loc="left", fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(textwrap.fill(results["conditions"], 170), fontsize=10, x=0.01, ha="left")
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
