"""The report of an evaluation as one HTML file: tables, and plots inlined as PNG.

Nothing is loaded from anywhere else, so the file can be mailed or kept. Texts from the data (ids of
pujas and regions) are escaped.
"""

from __future__ import annotations

import base64
import html
import importlib.util
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from recsys.evaluate import TaskReport

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child{text-align:left}
tr.best td{font-weight:600}
img{max-width:100%;height:auto;margin:.5rem 0}
.wide{overflow-x:auto}
"""


_INSTEAD = {
    "pandit": "nothing: what a customer likes has no weight in the order of pandits",
    "puja": "nothing: what families like theirs hold does not change the proposals",
    "user_item": "nothing: lists are made of the other signals",
    "habits": "plain rules: festivals, months of the catalogue, and a year later",
}


def engine_at_hand() -> Literal["implicit", "numpy"]:
    """The engine for ALS that this installation has."""
    return "implicit" if importlib.util.find_spec("implicit") else "numpy"


def text_table(task: TaskReport) -> Iterator[str]:
    """The models of a task as lines for a terminal, best first."""
    base = task.models[task.baseline].outcome
    yield f"{task.name}: {task.questions.data.n_rows} questions, against {task.baseline}"
    for name, judged in _ranked(task):
        found, gain = judged.outcome, judged.outcome.versus(base)
        yield (
            f"  {name:16} NDCG@{found.k} {found.interval()}  gain {gain.mean:+.4f} "
            f"[{gain.low:+.4f}, {gain.high:+.4f}]  coverage {found.coverage:.2f}"
        )


def page(tasks: Sequence[TaskReport], record: Mapping[str, Any]) -> str:
    """The report as one page; without plots where matplotlib is not installed."""
    plots = importlib.util.find_spec("matplotlib") is not None
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Recommenders compared</title><style>{_STYLE}</style>",
        "<h1>Recommenders compared</h1>",
        "<p>Split by time; parameters searched on the window before the test. Intervals: 95 %, ",
        "bootstrap over bookings or users. Gains are paired, question by question. ",
        f"Seed {record['seed']}, data {html.escape(str(record['fingerprint'])[:16])}.</p>",
    ]
    if not plots:
        parts.append("<p>No plots: matplotlib (extra <code>train</code>) is not installed.</p>")
    parts += _left_out(record["left_out"])
    for task in tasks:
        parts += _task(task, plots=plots)
    parts += _served(record["served"], plots=plots)
    return "".join(parts) + "</html>\n"


def _ranked(task: TaskReport) -> list[tuple[str, Any]]:
    return sorted(task.models.items(), key=lambda each: (-each[1].outcome.mean(), each[0]))


def _task(task: TaskReport, *, plots: bool) -> Iterator[str]:
    units = len(np.unique(task.questions.group))
    yield f"<h2>{html.escape(task.name)}</h2><p>{task.questions.data.n_rows} questions of {units} "
    yield f"units, {task.train.n_items} candidates. Baseline: {task.baseline}.</p>"
    yield from _models(task)
    if task.segments:
        yield from _segments(task)
    if plots:
        for title, image in _plots(task):
            yield _picture(title, image)


def _picture(title: str, image: bytes) -> str:
    data = base64.b64encode(image).decode()
    return f"<h3>{title}</h3><img alt='{title}' src='data:image/png;base64,{data}'>"


def _left_out(reasons: Mapping[str, str]) -> Iterator[str]:
    """What was trained and does not serve."""
    if not reasons:
        return
    yield "<h2>Left out</h2><p>What follows serves no answers of this version.</p>"
    yield "<table><tr><th>what</th><th>why</th><th>instead</th></tr>"
    for name, reason in reasons.items():
        instead = _INSTEAD.get(name, "nothing")
        yield f"<tr><td>{html.escape(name)}</td><td>{html.escape(reason)}</td>"
        yield f"<td>{instead}</td></tr>"
    yield "</table>"


def _served(figures: Mapping[str, Any], *, plots: bool) -> Iterator[str]:
    """What is served beside the models: the blend, the next puja, and who gets shown."""
    if blend := figures.get("blend"):
        yield "<h2>The lists that customers see</h2>"
        yield f"<p>Over {blend['bookings']} bookings of the test window the confidence is off by "
        yield f"{blend['ece']:.3f} on the mean. Of {blend['shown']} suggestions at or above the "
        yield f"threshold the share {_mean(blend['keep_rate'])} was kept.</p>"
        said, right, counts = blend["reliability"]
        yield "<table><tr><th>confidence said</th><th>kept</th><th>suggestions</th></tr>"
        for one, other, count in zip(said, right, counts, strict=True):
            yield f"<tr><td>{one:.3f}</td><td>{other:.3f}</td><td>{count}</td></tr>"
        yield "</table>"
        if plots:
            yield _picture("Confidence of the lists", _drawn(partial(_curve, said, right)))
    if habits := figures.get("habits"):
        yield "<h2>The next puja</h2>"
        yield f"<p>Over {habits['bookings']} bookings one of three proposals was the puja that the "
        yield f"family booked: {_mean(habits['hr@3'])}.</p>"
        yield "<table><tr><th>instead</th><th>HR@3</th><th>the model above it by</th></tr>"
        for name, found in habits["others"].items():
            yield f"<tr><td>{html.escape(name)}</td><td>{_mean(found)}</td>"
            yield f"<td>{_mean(habits['above'][name])}</td></tr>"
        yield "</table>"
    pandits = figures.get("pandits")
    if pandits and pandits["lists"]:
        yield "<h2>Who gets shown</h2>"
        yield f"<p>Of the first five places of {pandits['lists']} replayed lists new pandits got "
        yield f"the share {_mean(pandits['new_share'])}; Gini of all impressions "
        yield f"{pandits['gini']:.2f}.</p>"


def _mean(interval: Sequence[float | None]) -> str:
    """A mean with its bounds; a dash where there was nothing to measure."""
    mean, low, high = interval
    if mean is None or low is None or high is None:
        return "–"
    return f"{mean:.4f} [{low:.4f}, {high:.4f}]"


def _drawn(draw: Callable[[Any], None], width: float = 7.0, height: float = 3.4) -> bytes:
    """One plot as a PNG file."""
    # Figures made without pyplot: no display, no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.subplots())
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110, metadata={"Software": None})
    return target.getvalue()


def _curve(said: Sequence[float], right: Sequence[float], axes: Any) -> None:
    top = max((*said, *right, 0.01))
    axes.plot(said, right, marker="o", ms=3, lw=1)
    axes.plot([0, top], [0, top], color="#999", lw=0.8, ls="--")
    axes.set(xlabel="confidence said", ylabel="share that was kept")


def _models(task: TaskReport) -> Iterator[str]:
    base = task.models[task.baseline].outcome
    head = (
        "model", "NDCG@10", "95 %", "gain", "95 %", "HR@10", "Recall@20", "MAP", "MRR",
        "coverage", "novelty", "Gini", "ECE", "fit s", "p99 µs", "parameters",
    )  # fmt: skip
    yield "<div class=wide><table><tr>" + "".join(f"<th>{each}</th>" for each in head) + "</tr>"
    for place, (name, judged) in enumerate(_ranked(task)):
        found = judged.outcome
        mean, gain = found.interval(), found.versus(base)
        curve = judged.calibration
        cells = (
            name,
            f"{mean.mean:.4f}",
            f"{mean.low:.3f} to {mean.high:.3f}",
            f"{gain.mean:+.4f}",
            f"{gain.low:+.3f} to {gain.high:+.3f}",
            f"{found.mean('hr'):.4f}",
            f"{found.mean('recall', deep=True):.4f}",
            f"{found.mean('average_precision'):.4f}",
            f"{found.mean('mrr'):.4f}",
            f"{found.coverage:.2f}",
            f"{found.novelty:.2f}",
            f"{found.gini:.2f}",
            f"{curve.error():.3f}" if curve else "",
            f"{found.fit_seconds:.2f}",
            f"{np.quantile(found.microseconds, 0.99):.0f}",
            ", ".join(f"{key} {value}" for key, value in found.params.items()),
        )
        row = "".join(f"<td>{html.escape(each)}</td>" for each in cells)
        yield f"<tr{' class=best' if place == 0 else ''}>{row}</tr>"
    yield "</table></div>"


def _segments(task: TaskReport) -> Iterator[str]:
    names = [name for name, _ in _ranked(task)]
    yield "<h3>NDCG@10 by segment</h3><div class=wide><table><tr><th>segment</th><th>questions</th>"
    yield "".join(f"<th>{name}</th>" for name in names) + "</tr>"
    for label, (size, found) in task.segments.items():
        cells = "".join(
            f"<td title='{each.low:.3f} to {each.high:.3f}'>{each.mean:.3f}</td>"
            for each in (found[name] for name in names)
        )
        yield f"<tr><td>{html.escape(label)}</td><td>{size}</td>{cells}</tr>"
    yield "</table></div>"


def _plots(task: TaskReport) -> Iterator[tuple[str, bytes]]:
    """The plots of a task as PNG files, by title."""
    ranked = _ranked(task)

    def bars(axes: Any) -> None:
        found = [judged.outcome.interval() for _, judged in ranked][::-1]
        means = np.array([each.mean for each in found])
        spread = [means - [e.low for e in found], np.array([e.high for e in found]) - means]
        axes.barh([name for name, _ in ranked][::-1], means, xerr=spread, color="#6b8fb5")
        axes.set_xlabel("NDCG@10, with 95 % interval")

    def curves(axes: Any) -> None:
        top = 0.01
        for name, judged in ranked:
            if judged.calibration is not None:
                curve = judged.calibration
                axes.plot(curve.predicted, curve.observed, marker="o", ms=3, lw=1, label=name)
                top = max(top, float(curve.predicted.max()), float(curve.observed.max()))
        axes.plot([0, top], [0, top], color="#999", lw=0.8, ls="--")
        axes.set(xlabel="probability said", ylabel="share that was right")
        axes.legend(fontsize=7)

    def tail(axes: Any) -> None:
        from matplotlib.ticker import PercentFormatter

        counts = task.train.counts()
        order = np.argsort(-counts, kind="stable")
        x = np.arange(1, len(order) + 1) / len(order)
        axes.plot(x, _rising(counts[order]), color="#222", lw=1.2, label="training")
        for name, judged in ranked:
            lists = judged.outcome.lists[:, : judged.outcome.k]
            shown = np.bincount(lists[lists >= 0], minlength=len(order))
            axes.plot(x, _rising(shown[order]), lw=1, label=name)
        axes.set(xlabel="items, most popular first", ylabel="share of all places")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.legend(fontsize=7)

    def coverage(axes: Any) -> None:
        for name, judged in ranked:
            axes.scatter(judged.outcome.coverage, judged.outcome.mean(), s=24)
            axes.annotate(
                name,
                (judged.outcome.coverage, judged.outcome.mean()),
                fontsize=7,
                xytext=(4, 3),
                textcoords="offset points",
            )
        axes.set(xlabel="coverage@10", ylabel="NDCG@10")

    def latency(axes: Any) -> None:
        times = [judged.outcome.microseconds for _, judged in ranked]
        edges = np.geomspace(
            max(min(float(t.min()) for t in times), 1), max(float(t.max()) for t in times) + 1, 40
        )
        for (name, _), taken in zip(ranked, times, strict=True):
            axes.hist(taken, bins=edges, histtype="step", label=name)
        axes.set(xscale="log", xlabel="microseconds a question", ylabel="questions")
        axes.legend(fontsize=7)

    yield "Models", _drawn(bars, height=0.45 * len(ranked) + 1)
    if any(judged.calibration is not None for _, judged in ranked):
        yield "Calibration", _drawn(curves)
    yield "Long tail", _drawn(tail)
    yield "Coverage", _drawn(coverage)
    yield "Latency", _drawn(latency)


def _rising(counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The running share of a total."""
    total = counts.sum()
    return np.cumsum(counts) / (total if total else 1)
