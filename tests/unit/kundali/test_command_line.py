"""The command line: text, JSON, and refusals."""

from __future__ import annotations

import json

import pytest

from kundali.__main__ import main


def run(capsys, *arguments):
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def test_a_chart_in_text_and_in_nepali(capsys):
    birth = ("--date", "1988-08-28", "--time", "06:05")
    _, english, _ = run(capsys, "chart", *birth)
    _, nepali, _ = run(capsys, "chart", *birth, "--language", "ne")
    assert "Leo" in english
    assert "सिंह" in nepali
    assert "१५°४४'" in nepali


def test_a_bikram_sambat_date_gives_the_same_chart(capsys):
    ad = run(capsys, "chart", "--date", "1988-08-28", "--time", "06:05")
    bs = run(capsys, "chart", "--date", "2045-05-12BS", "--time", "06:05")
    assert ad == bs


def test_a_chart_as_json_tells_its_engine_and_choices(capsys):
    _, text, _ = run(capsys, "chart", "--date", "1988-08-28", "--time", "06:05", "--json")
    data = json.loads(text)
    assert data["options"]["ayanamsa"] == "lahiri"
    assert "Swiss Ephemeris" in data["engine"]
    assert len(data["placements"]) == 9
    assert len(data["antardashas"]) == 81


def test_a_chart_without_a_time_has_no_lagna(capsys):
    status, text, _ = run(capsys, "chart", "--date", "1988-08-28", "--json")
    assert status == 0
    assert json.loads(text)["lagna"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--date", "1986-01-01", "--time", "00:05"), "time_of_birth: skipped_time"),
        (("--date", "1990-01-01", "--latitude", "95"), "latitude: out_of_range"),
        (("--date", "1990-01-01", "--zone", "Nowhere"), "timezone: unknown_zone"),
        (("--date", "1990-01-01", "--utc-offset", "20"), "utc_offset: out_of_range"),
    ],
)
def test_an_impossible_birth_is_refused_by_field(capsys, arguments, message):
    status, out, err = run(capsys, "chart", *arguments)
    assert (status, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--date", "2045-13-01BS"),
        ("--date", "yesterday"),
        ("--date", "1990-01-01", "--time", "25:00"),
        ("--date", "1990-01-01", "--time", "10:00+05:00"),
    ],
)
def test_what_is_no_date_or_time_is_refused_with_usage(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        main(("chart", *arguments))
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


COUPLE = ("--groom-date", "1990-05-05", "--groom-time", "10:30", "--bride-date", "1993-11-12")


def test_a_match_gives_points_reasons_and_the_verdict(capsys):
    _, text, _ = run(capsys, "match", *COUPLE, "--bride-time", "18:45", "--json")
    data = json.loads(text)
    assert len(data["match"]["kootas"]) == 8
    assert data["total"] == sum(row["points"] for row in data["match"]["kootas"])
    assert data["match"]["kootas"][0]["reason"]["ne"]
    _, nepali, _ = run(capsys, "match", *COUPLE, "--bride-time", "18:45", "--language", "ne")
    assert "नाडी" in nepali


def test_a_match_without_a_birth_time_gives_a_range(capsys):
    _, text, _ = run(capsys, "match", *COUPLE)
    assert "–" in text
    _, either, _ = run(capsys, "match", *COUPLE, "--either-way", "--json")
    assert json.loads(either)["is_certain"] is False


def test_a_chart_reads_the_day_asked_for_and_can_be_drawn(capsys):
    given = ("chart", "--date", "1988-08-28", "--time", "06:05")
    _, text, _ = run(capsys, *given, "--at", "2083-01-01BS")
    assert "The years of" in text
    _, drawing, _ = run(capsys, *given, "--svg", "south", "--varga", "D9", "--language", "ne")
    assert drawing.startswith("<svg")
    assert "नवांश" in drawing
    status, _, err = run(capsys, "chart", "--date", "1988-08-28", "--svg", "north", "--varga", "D9")
    assert status == 2
    assert "birth time" in err
