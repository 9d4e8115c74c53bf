"""What a deployment costs: per hour, per million tokens, against a hosted service, over its life.

Pure functions over stated assumptions. Money keeps the currency that it came in; nothing is
converted.
"""

from planner.cost.expense import Expense, Purchase, Rental, expense
from planner.cost.hosted import BreakEven, HostedPrice, break_even
from planner.cost.listed import ListedPrice, listed_prices, prices_of, seller, usual_price
from planner.cost.power import Power, power_of
from planner.cost.prices import RECENT_DAYS, PriceOption, cheapest, price_options
from planner.cost.tokens import TokenCost, Traffic, token_cost, traffic_of

__all__ = [
    "RECENT_DAYS",
    "BreakEven",
    "Expense",
    "HostedPrice",
    "ListedPrice",
    "Power",
    "PriceOption",
    "Purchase",
    "Rental",
    "TokenCost",
    "Traffic",
    "break_even",
    "cheapest",
    "expense",
    "listed_prices",
    "power_of",
    "price_options",
    "prices_of",
    "seller",
    "token_cost",
    "traffic_of",
    "usual_price",
]
