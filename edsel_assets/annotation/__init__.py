"""WHAT IS BOUGHT: orders of prompts, the answers to them, and the ledger of both.

``orders`` freezes picks; ``ledger`` records what was asked, answered and paid (``events``), and
``purchases`` says what that comes to; ``formats`` writes
orders for annotation tools and reads answers back; ``answers`` holds answers against the orders;
``prices`` and ``pricing`` say what a prompt costs. Each wrong input is one ``AnnotationError`` that names the
place and the remedy. Knows neither Dagster nor models.

One round::

    store = Home.at().store("mine")                          # edsel_assets.store
    ledger = Ledger(store)
    for order in list_orders(store):                         # after a crash: nothing where it is there
        ledger.ask(order_table(store, order.name))
    asked = asked_prompts(store)                             # exclude and condition on these
    picks = ...                                              # prompt_id, prompt, task, gain, why, price
    order = place_order(store, picks, study="mine", strategy="fl_rbf", budget=40, manifest={...})
    table = order_table(store, order.name)
    ledger.ask(table)
    files = export_order(table, "label-studio", Path("tasks.json"))

    rows = read_answers(Path("export.json"))                 # weeks later
    checked = enter_answers(store, rows, order=order.name)   # raises before anything is written; pays
    print(checked.counts)

    state = ledger.state()
    unwilling = [key for key, bought in state.items() if bought.rejected]
    more = place_order(store, next_best(len(unwilling)), ...)  # their replacements, an order of their own
    ledger.ask(order_table(store, more.name))
    ledger.append(Event("replaced", state[key].order, key, status=more.name) for key in unwilling)
    responses = {key: bought.response for key, bought in state.items() if bought.answered}

``answered`` counts late answers in: they may be trained on; whether they are paid is the caller's
rule. Prompts in ``order.validation`` are never trained on.
"""

from edsel_assets.annotation.answers import Answer, CheckedAnswers, check_answers
from edsel_assets.annotation.entering import enter_answers
from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.annotation.events import EVENT_SCHEMA, EVENTS, Event
from edsel_assets.annotation.formats import FORMATS, AnswerRow, export_order, read_answers
from edsel_assets.annotation.ledger import Ledger
from edsel_assets.annotation.orders import (
    ORDER_SCHEMA,
    SHOWN_SCHEMA,
    Order,
    asked_prompts,
    list_orders,
    order_table,
    place_order,
    read_order,
    standing_orders,
)
from edsel_assets.annotation.prices import column_prices, constant_prices, expected_lengths, length_prices
from edsel_assets.annotation.pricing import pool_prices, rule_prices, with_prices
from edsel_assets.annotation.purchases import Purchase, by_day

__all__ = [
    "EVENTS",
    "EVENT_SCHEMA",
    "FORMATS",
    "ORDER_SCHEMA",
    "SHOWN_SCHEMA",
    "AnnotationError",
    "Answer",
    "AnswerRow",
    "CheckedAnswers",
    "Event",
    "Ledger",
    "Order",
    "Purchase",
    "asked_prompts",
    "by_day",
    "check_answers",
    "column_prices",
    "constant_prices",
    "enter_answers",
    "expected_lengths",
    "export_order",
    "length_prices",
    "list_orders",
    "order_table",
    "place_order",
    "pool_prices",
    "read_answers",
    "read_order",
    "rule_prices",
    "standing_orders",
    "with_prices",
]
