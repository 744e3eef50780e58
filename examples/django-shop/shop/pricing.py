"""Prices: discounts, tax and shipping. Functions on cents; no database."""
from collections import namedtuple

from django.conf import settings

TAX_PERCENT = {"DE": 19, "FR": 20, "GB": 20, "NL": 21}
# (from this many pieces on, percent off), largest first.
QUANTITY_DISCOUNTS = [(50, 15), (20, 10), (5, 5)]
SHIPPING_STEPS = [(2000, 590), (5000, 390)]

Total = namedtuple("Total", "goods shipping tax total")


class UnknownCountry(ValueError):
    """We do not deliver there."""


def round_half_up(numerator, denominator):
    return (2 * numerator + denominator) // (2 * denominator)


def price_after_discount(cents, percent):
    return cents - round_half_up(cents * percent, 100)


def quantity_discount(quantity, steps):
    for least, percent in steps:
        if quantity >= least:
            return percent
    return 0


def discount_steps(country, steps=list(QUANTITY_DISCOUNTS)):
    """The steps for a cart: those for everybody, then what is on offer where it goes."""
    steps += settings.OFFERS.get(country, [])
    return steps


def line_total(cents, quantity, steps=QUANTITY_DISCOUNTS):
    percent = quantity_discount(quantity, steps)
    return price_after_discount(cents * quantity, percent)


def shipping_cost(goods):
    for below, cost in SHIPPING_STEPS:
        if goods < below:
            return cost
    return 0


def tax_percent(country):
    try:
        return TAX_PERCENT[country]
    except KeyError:
        raise UnknownCountry(f"no delivery to {country}") from None


def cart_totals(lines, country):
    """The total of (cents, quantity) pairs. Raises UnknownCountry."""
    steps = discount_steps(country)
    goods = sum(line_total(cents, quantity, steps) for cents, quantity in lines)
    shipping = shipping_cost(goods)
    tax = round_half_up((goods + shipping) * tax_percent(country), 100)
    return Total(goods, shipping, tax, goods + shipping + tax)


def format_money(cents):
    return f"{cents // 100:,}.{cents % 100:02d} €"
