"""All spellings of a word have one key, and other words have others."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.search import has_words, query_words
from server.domain.spelling import key_of

SPELLINGS = [
    line.split()
    for line in """
    puja pooja Pūjā poojaa POOJA पूजा पुजा
    satyanarayan satyanarayana satyanaaraayan सत्यनारायण
    bratabandha bratabanda vratabandha bratbandh bartabandha ब्रतबन्ध व्रतबन्ध
    vishwakarma biswakarma bishwokarma vishvakarma viswakarma विश्वकर्मा बिश्वकर्मा
    lakshmi laxmi lakshmee laksmi लक्ष्मी
    ganesh ganesha ganes गणेश
    shiva siva shiv शिव
    yagya yajna yagna yajnya यज्ञ
    shraddha sraddha shradda shraaddha श्राद्ध
    dashain dasain दशैं दसैँ दशैँ
    bhattarai bhattrai भट्टराई
    paudel poudel पौडेल
    adhikari adhikaree अधिकारी
    acharya aacharya achaarya आचार्य
    upadhyaya upadhyay उपाध्याय
    sharma sarma शर्मा
    shrestha srestha shresta श्रेष्ठ
    joshi josi जोशी
    koirala koiraala कोइराला
    gyawali jnawali ज्ञवाली
    vivah bibah biwah vivaha bibaha विवाह बिवाह
    nwaran nuwaran nwaaran न्वारन न्वारान
    pasni pasnee paasni पास्नी
    havan hawan haban हवन
    homa hom होम
    durga doorga दुर्गा
    krishna krisna कृष्ण
    chhath chhat chath छठ
    teej tij तीज
    saptaha saptah सप्ताह
    bhagwat bhagavat bhagbat भागवत
    vastu bastu wastu vaastu वास्तु बास्तु
    griha grih गृह
    pravesh prabesh praves प्रवेश
    lalitpur lalitpoor lalitapur ललितपुर
    pokhara pokhra पोखरा
    bhaktapur bhaktpur भक्तपुर
    chandra candra चन्द्र चंद्र
    sanskrit संस्कृत
    maithili maithilee मैथिली
    ganga gangaa गंगा गङ्गा
    phalgun falgun फाल्गुन
    swasthani svasthani स्वस्थानी
    saraswati saraswoti sarasvati सरस्वती
    ekadashi ekadasi एकादशी
    purnima poornima पूर्णिमा
    navagraha nawagraha nabagraha नवग्रह
    mahamrityunjaya mahamrityunjay महामृत्युञ्जय
    sankranti sangkranti संक्रान्ति सङ्क्रान्ति
    amba अम्बा अंबा
    tulsi toolsi तुलसी
    biratnagar viratnagar विराटनगर बिराटनगर
    butwal butawal बुटवल
    108 १०८
    """.strip().splitlines()
]


@pytest.mark.parametrize("words", SPELLINGS, ids=lambda words: words[0])
def test_all_spellings_of_a_word_have_one_key(words):
    assert {key_of(word) for word in words} == {key_of(words[0])}


def test_other_words_have_other_keys():
    for some, others in combinations(SPELLINGS, 2):
        assert key_of(some[0]) != key_of(others[0]), (some[0], others[0])


@pytest.mark.parametrize("typed", ["pooja", "puja", "पूजा", "satya pooja", "सत्य", "SATYANARAYANA"])
@pytest.mark.parametrize("text", ["Satyanarayan Puja", "सत्यनारायण पूजा", "satyanaraayan pooja"])
def test_each_script_finds_the_other(typed, text):
    assert has_words(query_words(typed), [text])


@pytest.mark.parametrize(
    ("typed", "text"),
    [("grihapravesh", "Griha Pravesh"), ("गृहप्रवेश", "Griha Pravesh"), ("lalit pur", "ललित पुर")],
)
def test_it_does_not_matter_how_words_are_parted(typed, text):
    assert has_words(query_words(typed), [text])


def test_a_word_is_found_while_it_is_being_typed():
    beginnings = [(word, word[:length]) for words in SPELLINGS for word in words
                  for length in range(2, len(word))]  # fmt: skip
    missed = [each for word, each in beginnings if not key_of(word).startswith(key_of(each))]
    # Between two letters that are spoken as one ("yaj", the beginning of "yajna") nothing is found.
    assert len(missed) < len(beginnings) / 100, missed


@given(st.text(max_size=30))
def test_any_text_has_a_key_without_marks_and_case(word):
    key = key_of(word)
    assert key == key_of(word.casefold())
    assert len(key) <= 4 * len(word)
