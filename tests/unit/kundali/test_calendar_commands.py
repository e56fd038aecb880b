"""The commands of the ritual calendar: text, JSON, and refusals."""

from __future__ import annotations

import json
from datetime import date

import msgspec
import pytest

from kundali.__main__ import main
from recsys.next_puja import Festival


def run(capsys, *arguments):
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def test_an_almanac_is_told_in_both_languages(capsys):
    _, english, _ = run(capsys, "panchang", "--date", "2025-09-22")
    _, nepali, _ = run(capsys, "panchang", "--date", "2082-06-06BS", "--language", "ne")
    assert "2082 Asoj 6 (2025-09-22), Monday" in english
    assert "Pratipada until 01:21+1" in english
    assert "Sky: surya, sunrise by: drik" in english
    assert "प्रतिपदा ०१:२१+१ सम्म" in nepali


def test_a_month_of_the_almanac_as_json(capsys):
    _, text, _ = run(capsys, "panchang", "--month", "२०८२-०६", "--json")
    days = json.loads(text)
    assert len(days) == 31
    assert days[0]["bs"] == {"year": 2082, "month": 6, "day": 1}
    assert days[5]["tithis"][0]["name"]["ne"] == "प्रतिपदा"
    assert days[5]["siddhanta"] == "surya"


def test_the_modern_sky_is_used_when_asked(capsys):
    asked = ("panchang", "--date", "2025-10-28", "--json")
    _, surya, _ = run(capsys, *asked)
    _, drik, _ = run(capsys, *asked, "--siddhanta", "drik")
    one, other = json.loads(surya)[0], json.loads(drik)[0]
    assert other["siddhanta"] == "drik"
    assert one["tithis"] != other["tithis"]
    assert one["sunrise"] == other["sunrise"]


def test_a_month_put_in_is_told(capsys):
    _, text, _ = run(capsys, "panchang", "--date", "2026-06-10")
    assert "adhika Jyeshtha Krishna" in text


def test_today_in_nepal_is_what_is_not_asked_for(capsys):
    status, text, _ = run(capsys, "panchang")
    assert status == 0
    assert "Tithi" in text


def test_festivals_of_either_calendar_and_of_a_stretch(capsys):
    _, year, _ = run(capsys, "festivals", "--year", "2020", "--json")
    assert {each["day"][:4] for each in json.loads(year)} == {"2020"}
    _, nepali, _ = run(capsys, "festivals", "--bs-year", "2082", "--language", "ne")
    assert nepali.startswith("२०८२ वैशाख १ (२०२५-०४-१४)  नयाँ वर्ष")
    _, stretch, _ = run(capsys, "festivals", "--from", "2024-10-11", "--to", "2081-06-25BS")
    assert len(stretch.splitlines()) == 2
    assert "Maha Ashtami" in stretch


def test_festivals_tell_what_is_in_dispute(capsys):
    _, text, _ = run(capsys, "festivals", "--year", "2020")
    (line,) = (each for each in text.splitlines() if "Gobardhan" in each)
    assert "published; by the rule 2020-11-16" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("panchang", "--month", "2082-13"), "no month 13"),
        (("panchang", "--month", "Asoj"), "no Bikram Sambat month"),
        (("panchang", "--month", "2200-01"), "2200"),
        (("panchang", "--date", "2026-06-21", "--latitude", "69"), "no sunrise"),
        (("panchang", "--date", "2026-06-21", "--latitude", "91"), "latitude"),
        (("panchang", "--zone", "Asia/Nowhere"), "Asia/Nowhere"),
        (("festivals", "--year", "1949"), "1949"),
        (("festivals", "--bs-year", "2000"), "1943"),
        (("festivals", "--from", "2025-01-01"), "belong together"),
        (("festivals", "--to", "2025-01-01"), "belong together"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_reason(capsys, arguments, message):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert not out
    assert message in err


def test_days_for_a_rite_are_told_with_their_reasons(capsys):
    asked = ("muhurta", "vivah", "--from", "2026-04-14", "--to", "2026-05-20", "--most", "3")
    _, english, _ = run(capsys, *asked, "--person", "Sita:4:2")
    _, nepali, _ = run(capsys, *asked, "--person", "सीता:4:2", "--language", "ne")
    _, data, _ = run(capsys, *asked, "--json")
    assert english.count("! The calendar printed this day") == 3
    assert "Sita" in english
    assert "पात्रोमा" in nepali
    assert "सीता" in nepali
    first = json.loads(data)[0]
    assert first["is_printed"]
    assert first["siddhanta"] == "surya"
    assert first["reasons_for"][0]["code"].startswith("nakshatra")


def test_the_days_of_a_shraddha_are_told(capsys):
    asked = ("muhurta", "shraddha", "--from", "2026-01-01", "--to", "2026-12-31")
    death = ("--lunar-month", "11", "--tithi", "5")
    _, text, _ = run(capsys, *asked, *death)
    assert [line[-15:] for line in text.splitlines()] == ["yearly shraddha", "  Sora Shraddha"]
    status, _, err = run(capsys, *asked)
    assert status == 2
    assert "--lunar-month" in err


@pytest.mark.parametrize("person", ["Sita", "Sita:28:1", "Sita:one:two", "Sita:1"])
def test_a_person_without_star_and_sign_is_refused(capsys, person):
    with pytest.raises(SystemExit) as stopped:
        main(("muhurta", "vivah", "--person", person))
    assert stopped.value.code == 2
    assert "NAME:NAKSHATRA:RASHI" in capsys.readouterr().err


def test_days_of_pujas_are_what_training_reads(capsys, tmp_path):
    table = tmp_path / "festivals.toml"
    table.write_text('[[puja_at]]\nfestival = "teej"\npuja = "teej-puja"\n')
    asked = ("festivals", "--pujas", str(table), "--from", "2025-01-01", "--to", "2025-12-31")
    _, text, _ = run(capsys, *asked)
    _, data, _ = run(capsys, *asked, "--json")
    _, usual, _ = run(capsys, "festivals", "--pujas", str(table), "--json")
    assert text == "2025-08-26  teej-puja  Haritalika Teej\n"
    assert msgspec.json.decode(data, type=list[Festival], strict=True) == [
        Festival("teej-puja", date(2025, 8, 26), "Haritalika Teej", "हरितालिका तीज")
    ]
    assert len(json.loads(usual)) == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[puja_at", "no table"),
        ("", "no table"),
        ("[[puja_at]]\nfestival = 'teej'\n", "no table"),
        ("puja_at = [1]", "no table"),
        ("[[puja_at]]\nfestival = 'easter'\npuja = 'teej-puja'\n", "no such festivals: easter"),
    ],
)
def test_a_table_of_pujas_that_is_none_is_refused(capsys, tmp_path, content, message):
    table = tmp_path / "festivals.toml"
    table.write_text(content)
    status, out, err = run(capsys, "festivals", "--pujas", str(table))
    assert (status, out) == (2, "")
    assert message in err


def test_a_table_of_pujas_that_is_absent_is_refused(capsys, tmp_path):
    status, _, err = run(capsys, "festivals", "--pujas", str(tmp_path / "none.toml"))
    assert status == 2
    assert "none.toml" in err
