from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from server.domain import errors
from server.domain.booking import BookingStatus
from server.i18n import Formatter, Translations, best_language
from server.problems import Problem, problem_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def translations(tmp_path_factory: pytest.TempPathFactory) -> Translations:
    """The project's own catalogue, compiled."""
    root = tmp_path_factory.mktemp("locale")
    folder = root / "ne/LC_MESSAGES"
    folder.mkdir(parents=True)
    with (ROOT / "locale/ne/LC_MESSAGES/messages.po").open("rb") as file:
        catalogue = read_po(file, locale="ne")
    with (folder / "messages.mo").open("wb") as file:
        write_mo(file, catalogue)
    return Translations(root)


def told(error: errors.DomainError, translations: Translations, language: str) -> Problem:
    problem = problem_of(error, translations, language)
    assert problem is not None
    return problem


def has_latin_letters(text: str) -> bool:
    return any(letter.isascii() and letter.isalpha() for letter in text)


@pytest.mark.parametrize("language", ["en", "ne"])
def test_each_state_of_a_booking_has_a_sentence_of_its_own(
    translations: Translations, language: str
) -> None:
    details = {
        told(errors.IllegalTransition(status), translations, language).detail
        for status in BookingStatus
    }
    assert len(details) == len(BookingStatus)
    assert not any(status in detail for status in BookingStatus for detail in details)
    assert language == "en" or not any(map(has_latin_letters, details))


@pytest.mark.parametrize("field", ["phone_number", "email", "username", "user_id", "unheard-of"])
def test_what_is_taken_is_told_without_a_name_from_the_code(
    translations: Translations, field: str
) -> None:
    error = errors.AlreadyExists(field)
    assert field not in told(error, translations, "en").detail.split()
    assert not has_latin_letters(told(error, translations, "ne").detail)


def test_numbers_stand_in_the_digits_of_the_language(translations: Translations) -> None:
    assert "30" in told(errors.RateLimited(30), translations, "en").detail
    assert "३०" in told(errors.RateLimited(30), translations, "ne").detail
    many = translations.plural("ne", "{n} new message", "{n} new messages", 12)
    assert many == "१२ नयाँ सन्देश"


def test_times_of_day_stand_as_the_language_says_them(translations: Translations) -> None:
    text = "Your time is held until {time}."
    assert "12:05 am" in translations.text("en", text, time=time(0, 5))
    assert "राति १२:०५" in translations.text("ne", text, time=time(0, 5))


def test_codes_keep_their_digits(translations: Translations) -> None:
    text = "If you write to us, name this number: {number}"
    assert translations.text("ne", text, number="a1b2").endswith("a1b2")


def test_a_limit_is_told_in_kilobytes(translations: Translations) -> None:
    assert "262 kB" in told(errors.TooLarge(262_144), translations, "en").detail
    assert "1 kB" in told(errors.TooLarge(10), translations, "en").detail


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("ne-NP,ne;q=0.9,en;q=0.8", "ne"),
        ("de, en;q=0.5", "en"),
        ("en;q=0.4, ne;q=0.6", "ne"),
        ("", "en"),
        ("ne;q=bad", "en"),
    ],
)
def test_the_best_language_of_a_header_is_taken(accepted: str, expected: str) -> None:
    assert best_language(accepted) == expected


def test_dates_and_prices_are_written_as_in_nepal() -> None:
    english, nepali = Formatter("en", "Asia/Kathmandu"), Formatter("ne", "Asia/Kathmandu")
    day = date(2026, 11, 22)
    assert english.day_bs(day) == "6 Mangsir 2083"
    assert nepali.day_bs(day) == "२०८३ मङ्सिर ६"
    assert nepali.day_bs(date(1800, 1, 1)) == ""
    assert english.price(123_456_750) == "Rs 12,34,567.50"
    assert nepali.price(123_456_700) == "रु १२,३४,५६७"


@pytest.mark.parametrize(
    ("hour", "english", "nepali"),
    [
        (3, "3:30 am", "राति ३:३०"),
        (4, "4:30 am", "बिहान ४:३०"),
        (11, "11:30 am", "बिहान ११:३०"),
        (12, "12:30 pm", "दिउँसो १२:३०"),
        (17, "5:30 pm", "साँझ ५:३०"),
        (20, "8:30 pm", "राति ८:३०"),
        (0, "12:30 am", "राति १२:३०"),
    ],
)
def test_a_time_is_written_as_it_is_spoken(hour: int, english: str, nepali: str) -> None:
    at = datetime(2026, 11, 22, hour, 30, tzinfo=UTC)
    assert Formatter("en", "UTC").clock(at) == english
    assert Formatter("ne", "UTC").clock(at) == nepali
    assert Formatter("ne", "UTC").instant(at) == f"२२ नोभेम्बर २०२६, आइत {nepali}"


@pytest.mark.parametrize("text", ["Month after", "The week after"])
def test_what_comes_after_is_the_next_and_not_the_latest(
    translations: Translations, text: str
) -> None:
    assert translations.text("ne", text).startswith("अर्को ")


def test_a_word_that_means_two_things_has_two_texts(translations: Translations) -> None:
    """As a label of a date "From" is "since"; above a column of senders it would say nothing."""
    assert translations.text("ne", "Sender") != translations.text("ne", "From")
    # The almanac is of any day, and the page's content is no samagri.
    assert "आज" not in translations.text("ne", "The day")
    assert translations.text("ne", "Samagri") not in translations.text("ne", "Skip to content")


@pytest.mark.parametrize(
    "spelling",
    [
        *("साइन इन", "साइन आउट", "किमी", "के का लागि", "अंग्रेजी"),
        *("छौं", "आफैं", "सधैं", "आइडी", "च्याट", "{n} MB।"),
    ],
)
def test_one_spelling_is_kept_to(spelling: str) -> None:
    catalogue = (ROOT / "locale/ne/LC_MESSAGES/messages.po").read_text(encoding="utf-8")
    assert spelling not in catalogue


@pytest.mark.parametrize(
    "text",
    [
        "More than {n} pandits wait.",
        "More than {n} pandits ask to be paid.",
        "Try another date, a higher price or a larger area. Fewer filters find more.",
        "Its owner can sign in again. A pandit takes new bookings only once he says so in his "
        "profile.",
    ],
)
def test_pandits_are_spoken_of_with_respect(translations: Translations, text: str) -> None:
    shown = translations.text("ne", text, n=3)
    assert "नु" in shown.rpartition("पण्डित")[2]
