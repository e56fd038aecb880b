import pytest

from recsys.reasons import _TEXTS, Code, Reason, text

_NAMES = {
    ("item", "ghee", "en"): "Ghee",
    ("item", "ghee", "ne"): "घिउ",
    ("item", "til", "en"): "Sesame",
    ("item", "til", "ne"): "तिल",
    ("puja", "rudri", "en"): "Rudri",
    ("puja", "rudri", "ne"): "रुद्री",
}


def _name(kind, name, language):
    return _NAMES.get((kind, name, language), name)


@pytest.mark.parametrize(
    ("reason", "english", "nepali"),
    [
        (Reason(Code.REQUIRED_BY_PUJA), "Required for Rudri.", "रुद्रीका लागि अनिवार्य सामग्री।"),
        (
            Reason(Code.OFTEN_TOGETHER, 0.4, {"with": ["ghee", "til"]}),
            "Often taken together with Ghee and Sesame.",
            "घिउ र तिलसँगै प्रायः लिइने सामग्री।",
        ),
        (
            Reason(Code.OFTEN_TOGETHER, 0.4, {"with": ["ghee"], "n": 40, "rate": 0.625}),
            "62% of the families who take Ghee take this too.",
            "घिउ लिने ६२% परिवारले यो पनि लिन्छन्।",
        ),
        (
            Reason(Code.IN_SEASON, 0.2, {"from": 10, "to": 12}),
            "In season from Magh to Chait.",
            "यसको मौसम माघदेखि चैतसम्म हो।",
        ),
        (
            Reason(Code.FESTIVAL, 0, {"name": {"en": "Teej", "ne": "तीज"}, "date": "2026-09-14"}),
            "Teej is on 2026-09-14.",
            "२०२६-०९-१४ मा तीज पर्छ।",
        ),
    ],
)
def test_sentence_in_both_languages(reason, english, nepali):
    assert text(reason, "en", _name, puja_id="rudri") == english
    assert text(reason, "ne", _name, puja_id="rudri") == nepali


def test_every_code_has_as_many_sentences_in_both_languages():
    assert set(_TEXTS) == set(Code)
    for texts in _TEXTS.values():
        assert len(texts["en"]) == len(texts["ne"])


def test_reason_without_its_data_is_refused():
    with pytest.raises(ValueError, match="FESTIVAL lacks data"):
        text(Reason(Code.FESTIVAL), "en", _name)
