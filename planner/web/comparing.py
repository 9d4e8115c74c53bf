"""What several deployments have in common and where they differ; what each costs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import parse_qsl, urlencode

from hardware_db import System
from hardware_db.records import frozen
from planner.cost import PriceOption, cheapest, seller
from planner.costing import Bill, Cost
from planner.engines.yarn import short_tokens
from planner.errors import InputError
from planner.held import held_words
from planner.model import catalog
from planner.planning import Plan
from planner.recommending import Choice
from planner.registry import classes, get_use, rank_of
from planner.speed import speed_of
from planner.throughput import SpeedEstimate
from planner.throughput.answer import duration, two_digits
from planner.units import capital, format_gib
from planner.web import address, choices
from planner.web.asked import Asked
from planner.web.palette import LOOKS
from planner.web.stored import short_name
from planner.web.tables import escape
from planner.web.wording import layout_words, part_sizes, served_by

MOST = 4
"""Deployments side by side."""

LONGEST = 2000
"""Characters of one deployment in an address."""


@frozen
class Side:
    """One deployment of the comparison.

    Attributes:
        asked: the question that it answers.
        plan: its plan.
        choice: the plan as a candidate, where its checkpoint is in the registry.
        why: what it is better in, or why it is shown.
        kept: the visitor kept it, so that it can be removed.
        held: the plan of as many users as it holds at once, where they are fewer: bars and parts are
            theirs.
    """

    asked: Asked
    plan: Plan
    choice: Choice | None
    why: str
    kept: bool = False
    held: Plan | None = None

    @property
    def title(self) -> tuple[str, str]:
        """Its model and, in few words, its checkpoint."""
        checkpoint = self.plan.deployment.checkpoint
        model = checkpoint.model.name.rpartition("/")[2]
        return model, checkpoint.scheme.name if self.choice is None else short_name(
            self.choice.entry
        )


def written(asked: Asked) -> str:
    """Return a question as one value of an address."""
    return urlencode(address.words_of(asked))


def read(text: str) -> Asked:
    """Return the question that one value of an address holds, whatever it says."""
    query = dict(parse_qsl(text[:LONGEST], max_num_fields=60))
    return address.read(query, Asked(**choices.defaults()))[0]


def facts(side: Side) -> dict[str, str]:
    """Return what the comparison shows of a deployment: name of the row -> words."""
    plan, choice = side.plan, side.choice
    asked = plan.deployment
    rows = {
        "Machine": asked.system.short_name,
        "Engine": served_by(side.asked.engine, plan, plan.server),
        "Stored as": asked.checkpoint.scheme.title,
        **_scores(side),
        "Quality": choice.said.text if choice is not None else "not known",
        **({"Layout": layout_words(asked.layout)} if asked.system.count > 1 else {}),
        "Context": f"{choices.tokens_label(asked.context)} tokens",
        "Users": f"{asked.concurrency:,}",
        "KV format": plan.allocation.kv_cache_dtype if plan.allocation else asked.kv_cache_dtype,
    }
    if not plan.ranks or plan.capacity is None:
        return rows
    held = side.held or plan
    rank, fewer = held.ranks[0], held_words(plan, held)
    speed = speed_of(plan)
    if isinstance(speed, SpeedEstimate):
        rate = speed.per_user
        low, high = two_digits(rate.low), two_digits(rate.high)
        rows["tok/s each"] = f"{two_digits(rate.value)} ({low}–{high})"
        if asked.concurrency > 1:
            rows["tok/s in all"] = two_digits(speed.total.value)
        if speed.prefill is not None:
            rows["Prompt"] = duration(speed.prefill.seconds.value)
    rows |= {
        "Reaches": _reach(plan.capacity.longest_context),
        "Held at once": f"{plan.capacity.sequences:,}",
        **({"Memory of": fewer} if fewer else {}),
        "Spare" if rank.headroom >= 0 else "Missing": format_gib(abs(rank.headroom)),
    }
    return rows | {capital(name): words or "none" for name, words in part_sizes(rank).items()}


SCORES = "Model's scores"


def _scores(side: Side) -> dict[str, str]:
    """In which class the model's published scores put it; "Quality" is what storing it in fewer bits loses."""
    known = catalog.entry_for(side.plan.deployment.checkpoint)
    try:
        every = len(classes(side.asked.use))
        place = rank_of(known.id, side.asked.use) if known is not None else None
    except InputError:
        return {}
    return {SCORES: f"class {place + 1} of {every}" if place is not None else "not known"}


def scores_rest_on(use: str, names: Collection[str]) -> str:
    """Return what the classes are; empty where none is shown."""
    if SCORES not in names:
        return ""
    return (
        f"{SCORES}: published tests of {escape(get_use(use).title)}, class 1 the best; models of one"
        " class are level. Quality: what storing it in fewer bits loses."
    )


def _reach(longest: int) -> str:
    return f"{short_tokens(longest)} tokens" if longest else "no context"


def split(rows: Sequence[dict[str, str]]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return what is the same for all, then each one's own rows.

    Args:
        rows: facts by deployment.
    """
    if len(rows) < 2:
        return {}, list(rows)
    same = {
        name: words
        for name, words in rows[0].items()
        if all(row.get(name) == words for row in rows)
    }
    names = [name for name in dict.fromkeys(n for row in rows for n in row) if name not in same]
    if "Price" in names and {"Rent", "Buy"} & {*names}:
        names.remove("Price")  # that there is none is a dash where others have theirs
    return same, [{name: row.get(name, "—") for name in names} for row in rows]


def verdict(plan: Plan) -> tuple[str, str, str]:
    """Return icon, word and colour of a plan's badge."""
    look = LOOKS[plan.outcome]
    return look.icon, look.word, look.colour


def costs(cost: Cost, context: int) -> dict[str, str]:
    """Return what a deployment costs: name of the row -> words.

    Args:
        cost: what it costs.
        context: tokens of a request: what is no answer is the prompt.
    """
    rows: dict[str, str] = {}
    for bill in cost.bills:
        offer = bill.offer
        if bill.kind == "rent":
            rows["Rent"] = f"{_money(offer.value)} {offer.currency}/h{_asked_on(offer)}"
        else:
            rows["Buy"] = f"{offer.value:,.0f} {offer.currency}{_asked_on(offer)}"
            power = ", with power" if cost.watts is not None else ""
            rows["Own"] = (
                f"{_money(bill.expense.per_hour)} {offer.currency}/h: bought, over {cost.years:g}"
                f" years{power}"
            )
        kind = capital(bill.kind)
        if bill.tokens is not None:
            rows[f"{kind}, per 1M"] = f"{_money(bill.tokens.per_million)} {offer.currency}"
            rows[f"{kind} breaks even"] = _even(bill)
    if not rows:
        rows["Price"] = "no recent one is known"
    if cost.hosted is not None:
        price, answer = cost.hosted.price, cost.output_tokens
        mixed = price.per_million(prompt_tokens=context - answer, output_tokens=answer)
        rows["Hosted, per 1M"] = (
            f"{_money(mixed)} {price.currency} at {seller(cost.hosted.provider)}"
        )
    return rows


def rent(system: System) -> str:
    """Return what renting a machine costs and when that was asked; empty where no recent price is known."""
    offer = cheapest(system, "hourly")
    if offer is None:
        return ""
    price = f"{_money(offer.value)} {offer.currency} per hour{_asked_on(offer)}"
    return f"To rent: {price}; more under Compare"


def _asked_on(offer: PriceOption) -> str:
    return f" ({offer.date})" if offer.date is not None else ""


def costs_rest_on(busy: float, names: Collection[str]) -> str:
    """Return what the cards' costs are for, in a sentence or two; empty where they have none.

    Args:
        busy: share of the day in which the machine serves.
        names: of the rows.
    """
    if not any(name.endswith("per 1M") for name in names):
        return ""
    own = any(name.endswith("breaks even") for name in names)
    what = "Per 1M: for a million tokens of prompts and answers"
    return (
        f"{what}, with the machine busy {busy:.0%} of the day. It breaks even where it costs what the"
        " hosted service asks; busier, it costs less."
        if own
        else f"{what}."
    )


def _money(price: float) -> str:
    """A price in cents; below ten of them in two digits."""
    return f"{price:,.2f}" if price >= 0.1 else two_digits(price)


def _even(bill: Bill) -> str:
    even = bill.even
    if even is None:
        return "no hosted price known"
    if even.utilization is None or not even.reachable:
        return "never"
    return f"at {even.utilization:.0%} busy"
