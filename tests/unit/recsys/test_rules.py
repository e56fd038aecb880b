import numpy as np
import pytest

from recsys.data import Rules, Tier
from recsys.models.base import BadModelData
from recsys.models.rules import RuleModel


def _rules(*rows):
    """Rows of (puja, item, tier, region)."""
    puja, item, tier, region = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    zeros = np.zeros(len(rows))
    return Rules(puja, item, tier.astype(np.int8), zeros, zeros, zeros, puja * 0, region)


_MODEL = RuleModel.of(
    _rules(
        (0, 3, Tier.OPTIONAL, -1),
        (0, 1, Tier.ESSENTIAL, -1),
        (0, 2, Tier.REQUIRED, -1),
        (0, 3, Tier.ESSENTIAL, 1),
        (0, 1, Tier.OPTIONAL, 1),
        (1, 0, Tier.OPTIONAL, -1),
    ),
    n_pujas=2,
    n_items=5,
    n_regions=2,
)


@pytest.mark.parametrize(
    ("context", "items"),
    [
        ({"puja": 0}, [2, 1, 3]),
        ({"puja": 0, "region": 0}, [2, 1, 3]),
        ({"puja": 0, "region": 1}, [2, 3, 1]),
        ({"puja": 1}, [0]),
        ({"puja": 7}, []),
        ({}, []),
    ],
)
def test_what_the_catalogue_lists_in_order_of_strength(context, items):
    assert _MODEL.recommend([], 10, context=context).items.tolist() == items


def test_stronger_of_two_equal_rules_holds():
    model = RuleModel.of(_rules((0, 0, 1, -1), (0, 0, 0, -1), (0, 0, 2, -1)), 1, 1, 0)
    assert model.tiers_[0, 0, 0] == Tier.REQUIRED


def test_saved_and_loaded_gives_equal_scores():
    saved = _MODEL.save()
    loaded = RuleModel.load(saved.arrays, saved.params)
    context = {"puja": 0, "region": 1}
    assert (loaded.score([], context=context) == _MODEL.score([], context=context)).all()
    with pytest.raises(BadModelData):
        RuleModel.load({}, saved.params)
