"""The table of the real-time bench says the right thing of the targets."""

from __future__ import annotations

from bench.realtime.report import table

LABELS = {
    "pandityatra": "Ours",
    "channels-uvicorn": "Theirs",
    "channels-postgres": "On PostgreSQL",
}


def lines_of(runs: dict[str, dict[str, list[float]]], label: str) -> list[str]:
    """The lines that begin with a label."""
    return [line for line in table(runs, LABELS).splitlines() if line.strip().startswith(label)]


def test_medians_ranges_and_ratios() -> None:
    """One bad run of three does not decide, and is seen."""
    runs = {
        "pandityatra": {"fan_cpu_us": [6.0, 30.0, 5.0]},
        "channels-uvicorn": {"fan_cpu_us": [601.0, 602.0, 599.0]},
    }
    (line,) = lines_of(runs, "CPU a delivery")
    assert "6.00 (5.00–30.00)" in line
    assert "≤ 7: met" in line
    assert "601.00 (599.00–602.00) ×100" in line
    (against,) = lines_of(runs, "the same against")
    assert "100× less: 100× met" in against


def test_a_target_that_is_missed() -> None:
    """Limits that are to be stayed below are missed by what reaches them."""
    (line,) = lines_of({"pandityatra": {"fan_p99_ms": [25.0]}}, "p99 then")
    assert "< 25: NOT MET" in line
    (line,) = lines_of({"pandityatra": {"storm_reads": [1.01]}}, "database reads")
    assert "≤ 1: NOT MET" in line


def test_more_is_better_where_it_is() -> None:
    """Acknowledged messages are compared the other way round."""
    runs = {
        "pandityatra": {"chat_acked_per_second": [1500.0]},
        "channels-postgres": {"chat_acked_per_second": [151.0]},
    }
    (line,) = lines_of(runs, "acknowledged a second")
    assert "10× PostgreSQL: 9.93× NOT MET" in line


def test_the_best_of_channels_counts() -> None:
    """A tenth is a tenth of the cheapest of them."""
    runs = {
        "pandityatra": {"storm_cpu_ms": [0.5]},
        "channels-uvicorn": {"storm_cpu_ms": [9.0]},
        "channels-postgres": {"storm_cpu_ms": [4.0]},
    }
    (line,) = lines_of(runs, "CPU a reconnect")
    assert "8× NOT MET" in line


def test_nothing_to_compare_with() -> None:
    """Alone, the product is judged by the absolute targets; without it, nobody is judged."""
    alone = table({"pandityatra": {"storm_cpu_ms": [0.5], "idle_kib": [4.0]}}, LABELS)
    assert "did not run" in alone
    assert "≤ 4: met" in alone
    assert "target" not in table({"channels-uvicorn": {"idle_kib": [40.0]}}, LABELS)
