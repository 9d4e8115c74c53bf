"""What hosted services ask for the family's models: a shipped table, each price with source and date."""

from __future__ import annotations

import json
from datetime import date
from functools import cache

from hardware_db.records import frozen
from planner.cost.hosted import HostedPrice
from planner.shipped import read_bytes

WHOLE = ("all", "base tier")
"""Tiers that are asked whatever the prompt's length, or first of all."""


_SELLERS = {
    "alibaba": "Alibaba Cloud",
    "cerebras": "Cerebras",
    "chutes": "Chutes",
    "cloudflare": "Cloudflare",
    "deepinfra": "DeepInfra",
    "digitalocean": "DigitalOcean",
    "doubleword": "Doubleword",
    "fireworks": "Fireworks AI",
    "fireworks-ai": "Fireworks AI",
    "gmi": "GMI Cloud",
    "groq": "Groq",
    "huggingface": "Hugging Face",
    "modal": "Modal",
    "nebius": "Nebius",
    "novita": "Novita AI",
    "novita-ai": "Novita AI",
    "nscale": "Nscale",
    "openrouter": "OpenRouter",
    "ovhcloud": "OVHcloud",
    "scaleway": "Scaleway",
    "siliconflow": "SiliconFlow",
    "together": "Together AI",
    "together-ai": "Together AI",
    "togetherai": "Together AI",
    "venice": "Venice",
    "vercel": "Vercel",
    "wandb": "Weights & Biases",
}
"""Services by what the lists call them, as they write their own names."""


def seller(provider: str) -> str:
    """Return a service as people call it: ``Novita AI through Hugging Face``; as listed where unknown."""
    first, _, other = provider.partition("_")
    if first == "huggingface" and other:
        return f"{seller(other)} through Hugging Face"
    return _SELLERS.get(provider.replace("_", "-"), provider.replace("_", " "))


@frozen
class ListedPrice:
    """One price of one service.

    Attributes:
        sold_as: what the service calls the model.
        model: repository of the published weights; None where there are none.
        provider: who sells it.
        tier: for which prompts: "all", "<= 256000 input tokens", ...
        mode: "thinking", "standard"; None where there is one price.
        price: per million tokens, without any discount for cached prompts.
        cached_input: per million cached prompt tokens; None: not offered, or not listed.
        date: when it was listed, ISO; parts that are not known are left out.
        source: which list.
        grade: "A": the provider's own list; "B": an aggregator's.
        superseded: a later price is known.
    """

    sold_as: str
    model: str | None
    provider: str
    tier: str
    mode: str | None
    price: HostedPrice
    cached_input: float | None
    date: str
    source: str
    grade: str
    superseded: bool

    @property
    def for_any_prompt(self) -> bool:
        """It holds for short prompts, at least: no surcharge for long ones."""
        return self.tier in WHOLE or self.tier.startswith(("<=", "0-"))


@cache
def listed_prices() -> tuple[ListedPrice, ...]:
    """Every price of the table."""
    document = json.loads(read_bytes("cost", "data", "hosted_prices.json"))
    sources = document["sources"]
    return tuple(
        ListedPrice(
            sold_as=sold_as,
            model=f"Qwen/{model}" if model else None,
            provider=provider,
            tier=tier,
            mode=mode,
            price=HostedPrice(per_million_input=prompt, per_million_output=output),
            cached_input=cached,
            date=day,
            source=sources[source],
            grade=grade,
            superseded=superseded,
        )
        for (
            sold_as,
            model,
            provider,
            tier,
            mode,
            prompt,
            cached,
            output,
            day,
            source,
            grade,
            superseded,
        ) in document["prices"]
    )


def prices_of(model: str, *, since: date | None = None) -> tuple[ListedPrice, ...]:
    """Return what services ask for a model's published weights, the cheapest output first.

    Superseded prices, prices that are asked for long prompts only, and free offers are left out.

    Args:
        model: bundled id.
        since: only prices listed on that day or later.
    """
    day = since.isoformat() if since is not None else ""
    found = [
        row
        for row in listed_prices()
        if row.model == model
        and not row.superseded
        and row.for_any_prompt
        and row.price.per_million_output > 0
        and row.date >= day
    ]
    return tuple(
        sorted(
            found,
            key=lambda row: (
                row.price.per_million_output,
                row.price.per_million_input,
                row.grade,
                row.provider,
            ),
        )
    )


def usual_price(model: str, *, since: date | None = None) -> ListedPrice | None:
    """Return the price to compare with: the middle one of what services ask; None if none is listed.

    The cheapest is often an offer that is not kept up; half of the services ask no more than this.

    Args:
        model: bundled id.
        since: only prices listed on that day or later.
    """
    found = prices_of(model, since=since)
    return found[(len(found) - 1) // 2] if found else None
