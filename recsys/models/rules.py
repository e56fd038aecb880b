"""The rules of the catalogue as a model: what a puja asks for, and nothing else.

It learns nothing; it is the yardstick for what learning adds, and what serves without a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.data import Rules, Tier
from recsys.models.base import Arrays, FloatArray, Interactions, Model, Query, checked


@dataclass(frozen=True, slots=True)
class RuleParams:
    """Parameters of ``RuleModel``: how sure each kind of rule is, 0 to 1.

    Attributes
    ----------
    required, essential, optional
        In this order; an item that no rule names is never recommended.
    """

    required: float = 1.0
    essential: float = 0.9
    optional: float = 0.8


class RuleModel(Model[RuleParams]):
    """What the catalogue lists for the puja of the context; in a region, its own rules first.

    Attributes
    ----------
    tiers_
        (1 + regions) by pujas by items, int8: the :class:`~recsys.data.Tier`, -1 for none. Row 0
        holds everywhere; row ``1 + region`` what holds there, already merged with row 0.
    """

    name = "rules"
    params_type = RuleParams

    @classmethod
    def of(
        cls,
        rules: Rules,
        n_pujas: int,
        n_items: int,
        n_regions: int,
        params: RuleParams | None = None,
    ) -> Self:
        """The model of these rules. Where several name an item, the more specific one holds.

        Of two equally specific ones the stronger type holds.
        """
        model = cls(params)
        model.n_items = n_items
        tiers = np.full((1 + n_regions, n_pujas, n_items), -1, np.int8)
        # Weakest first and general first: what is written later stays.
        for row in np.lexsort((-rules.tier, rules.region)).tolist():
            scope = slice(None) if rules.region[row] < 0 else 1 + int(rules.region[row])
            tiers[scope, rules.puja[row], rules.item[row]] = rules.tier[row]
        model.tiers_ = tiers
        return model

    tiers_: NDArray[np.int8]

    def _fit(self, data: Interactions, seed: int) -> None:
        """Rules come from people; data only has to have as many items."""
        if not hasattr(self, "tiers_"):
            raise ValueError("rules are not learned: make the model with RuleModel.of")
        if self.tiers_.shape[2] != data.n_items:
            raise ValueError(f"rules for {self.tiers_.shape[2]} items, data for {data.n_items}")

    def _score(self, query: Query) -> FloatArray:
        puja = query.context.get("puja", -1)
        region = query.context.get("region", -1)
        if not 0 <= puja < self.tiers_.shape[1]:
            return np.full(self.n_items, -np.inf, np.float32)
        scope = 1 + region if 0 <= region < len(self.tiers_) - 1 else 0
        confidence = np.full(len(Tier) + 1, -np.inf, np.float32)
        confidence[Tier.REQUIRED] = self.params.required
        confidence[Tier.ESSENTIAL] = self.params.essential
        confidence[Tier.OPTIONAL] = self.params.optional
        return np.asarray(confidence[self.tiers_[scope, puja]])

    def _arrays(self) -> Arrays:
        return {"tiers": self.tiers_}

    def _restore(self, arrays: Arrays) -> None:
        self.tiers_ = checked(arrays, "tiers", np.int8, (None, None, self.n_items))
