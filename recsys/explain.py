"""``python -m recsys.explain --source S --puja P [--user U]``: why a version lists what it lists.

Asks the samagri of one booking as serving asks for it, of a version in the store (by default the
current one) and of the history that the source holds, and shows each row with its reasons, and for
each item what every signal of the blend adds to its logit. Prices and units are those of the
source; seasons, substitutes and budgets of a real booking are the catalogue's and are not known
here.

Exit codes are those of all commands: 2 an id that nobody knows, 3 the data, 5 the version.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from recsys.blend import RULES_VERSION, Recommendation, Request, SamagriBlend
from recsys.bundle import Bundle, knowledge_of, open_bundle
from recsys.commands import Exit, guarded, say, say_json, store_parser, tell
from recsys.config import BadConfig
from recsys.data import BadData, Dataset
from recsys.lists import AS_SERVED, Lists, bought, dismissed, regretted
from recsys.matrix import users_by
from recsys.models.als import Als
from recsys.models.base import FloatArray, Query
from recsys.reasons import Language, Reason, text
from recsys.signals import SIGNALS, Knowledge
from recsys.sources import read_source
from recsys.store import ModelStore

_MOST_ITEMS: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """One answer, and what it comes from.

    Attributes
    ----------
    signals
        By item id what each signal adds to its logit; nothing where the rules alone answer.
    confidences
        By item id, before any rule is applied.
    history
        From how many items the customer's vector comes; 0: nothing is known of him.
    """

    request: Request
    answer: Recommendation
    signals: Mapping[str, Mapping[str, float]]
    confidences: Mapping[str, float]
    history: int

    def as_dict(self, language: Language) -> dict[str, Any]:
        """Plain values for JSON."""
        answer = self.answer
        return {
            "version": answer.model_version,
            "puja": self.request.puja,
            "region": self.request.region,
            "history": self.history,
            "total": answer.total,
            "shortfall": answer.shortfall,
            "rows": [
                {**row.as_dict(), "texts": [self.said(each, language) for each in row.reasons]}
                for row in answer.rows
            ],
            "left_out": [row.item_id for row in answer.left_out],
            "signals": {
                name: {"confidence": self.confidences[name], **parts}
                for name, parts in self.signals.items()
            },
        }

    def said(self, reason: Reason, language: Language) -> str:
        """A reason as a sentence, with ids for names."""
        return text(reason, language, lambda kind, name, _: name, puja_id=self.request.puja)


def explain(
    lists: Lists,
    bundle: Bundle,
    *,
    puja: str,
    user: str = "",
    region: str = "",
    budget: int | None = None,
    items: Sequence[str] = (),
    at_ms: int,
) -> Explanation:
    """Ask, and take the answer apart.

    Parameters
    ----------
    region
        By default that of the customer's latest booking.
    items
        Of which the signals are told, beside those of the answer's rows; without any, the twenty
        of the highest confidence.
    at_ms
        The present of the source, in milliseconds since 1970.

    Raises
    ------
    BadConfig
        If puja, user, region or an item is none of the source.
    ArtifactError
        If the version's knowledge does not fit its models.
    """
    data = lists.data
    faults = [
        f"{kind} {name!r} is not in the source"
        for kind, name, known in (
            ("puja", puja, data.pujas),
            ("user", user, data.users),
            ("region", region, data.regions),
            *(("item", each, data.items) for each in items),
        )
        if name and name not in known
    ]
    if faults:
        raise BadConfig(faults)
    who, what = data.users.index(user), data.pujas.index(puja)
    knowledge = knowledge_of(bundle)
    taste, history = _taste(data, bundle, who, at_ms)
    region = region or _latest_region(data, who)
    request = Request(
        puja=puja,
        puja_category=lists.category(what),
        region=region,
        context_month=int(np.datetime64(at_ms, "ms").astype("datetime64[M]").astype(int) % 12),
        demands=lists.demands(what, data.regions.index(region)),
        never_show=dismissed(data, at_ms).get(who, frozenset()),
        regretted=regretted(data, who, what),
        bought=bought(data, who),
        taste=taste,
        history=history,
        budget=budget,
    )
    ids = bundle.ids.get("items", data.items)
    blend = SamagriBlend(
        lists.shelf(ids), knowledge, version=_version(bundle, knowledge), params=AS_SERVED
    )
    answer = blend.recommend(request)
    confidence = blend.confidences(request)
    parts = blend.contributions(request)
    names = list(dict.fromkeys((*(row.item_id for row in answer.rows), *items)))
    if not items:
        best = np.argsort(-confidence, kind="stable")[:_MOST_ITEMS]
        names = list(dict.fromkeys((*names, *(blend.shelf.items[at].item_id for at in best))))
    at = {name: blend.shelf.index(name) for name in names}
    return Explanation(
        request,
        answer,
        signals={
            name: {
                signal: round(float(parts[signal][at[name]]), 4)
                for signal in SIGNALS
                if signal in parts
            }
            for name in names
        },
        confidences={name: round(float(confidence[at[name]]), 4) for name in names},
        history=history,
    )


def _version(bundle: Bundle, knowledge: Knowledge | None) -> str:
    return bundle.version if knowledge is not None else RULES_VERSION


def _taste(data: Dataset, bundle: Bundle, user: int, at_ms: int) -> tuple[FloatArray | None, int]:
    """The customer's vector, and from how many items it comes."""
    model = bundle.models.get("user_item")
    if user < 0 or not isinstance(model, Als):
        return None, 0
    query, ids = users_by(data, "item", now_ms=at_ms).row(user), bundle.ids_of("user_item")
    there = np.array([ids.index(name) for name in data.items.decode(query.given)], np.int32)
    known = there >= 0
    if not known.any():
        return None, 0
    order = np.argsort(there[known], kind="stable")
    vector = model.vector(Query(there[known][order], query.weights[known][order], {}))
    return vector, int(known.sum())


def _latest_region(data: Dataset, user: int) -> str:
    bookings = data.bookings
    rows = np.flatnonzero((bookings.user == user) & (bookings.region >= 0))
    if user < 0 or not len(rows):
        return ""
    latest = rows[np.argmax(bookings.ts[rows])]
    return data.regions.ids[int(bookings.region[latest])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = store_parser("explain", "Why a version lists the samagri that it lists.")
    parser.add_argument("--source", required=True, help="as of recsys.train")
    parser.add_argument("--puja", required=True, help="its id in the source")
    parser.add_argument("--user", default="", help="a customer's id; default: somebody unknown")
    parser.add_argument("--region", default="", help="default: of the customer's latest booking")
    parser.add_argument("--budget", type=int, metavar="PAISA")
    parser.add_argument("--items", nargs="+", default=[], metavar="ID", help="of which to tell")
    parser.add_argument("--version", help="default: the current one")
    parser.add_argument("--language", choices=("en", "ne"), default="en")
    options = parser.parse_args(arguments)

    def command(store: ModelStore) -> dict[str, Any]:
        version = options.version or store.current()
        bundle = Bundle("", {}, {})
        if version is not None:
            bundle = open_bundle(store.load(version))
        data, at_ms = read_source(options.source)
        found = explain(
            Lists.of(data),
            bundle,
            puja=options.puja,
            user=options.user,
            region=options.region,
            budget=options.budget,
            items=options.items,
            at_ms=at_ms,
        )
        if not options.json:
            say(*_lines(found, options.language))
        return found.as_dict(options.language)

    def refused(code: Exit, faults: Sequence[str]) -> int:
        tell(*faults)
        if options.json:
            say_json({"ok": False, "reason": "; ".join(faults)})
        return code

    try:
        return guarded(command, options)
    except BadConfig as error:
        return refused(Exit.BAD_CONFIG, error.faults)
    except BadData as error:
        return refused(Exit.BAD_DATA, [str(error)])


def _lines(found: Explanation, language: Language) -> list[str]:
    answer, request = found.answer, found.request
    who = f"a history of {found.history} items" if found.history else "no history"
    where = request.region or "anywhere"
    lines = [f"version {answer.model_version}, puja {request.puja}, {where}, {who}", ""]
    for row in answer.rows:
        amount = f"{row.quantity:f} {row.unit}, {row.price} paisa"
        lines.append(f"{row.tier.name:9} {row.confidence:.4f}  {row.item_id}  ({amount})")
        lines += [f"{'':19} {found.said(each, language)}" for each in row.reasons]
    lines += [f"left out for the budget: {row.item_id}" for row in answer.left_out]
    if answer.shortfall:
        lines.append(f"what is needed passes the budget by {answer.shortfall} paisa")
    present = [name for name in SIGNALS if any(name in each for each in found.signals.values())]
    if not present:
        return [*lines, "", "there is no model: the rules alone have answered"]
    wide = max((len(name) for name in found.signals), default=0)
    title = "  ".join(f"{name:>7}" for name in present)
    lines += ["", f"{'what each signal adds':{wide}}  confidence  {title}"]
    for name, parts in found.signals.items():
        added = "  ".join(f"{parts[each]:+7.2f}" if each in parts else " " * 7 for each in present)
        lines.append(f"{name:{wide}}  {found.confidences[name]:10.4f}  {added}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
