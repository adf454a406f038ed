"""The pool's own responses answer an order at once."""

import pyarrow as pa

from edsel_assets.annotation import Ledger
from edsel_assets.annotators import PoolAnnotator, answer
from edsel_assets_tests.annotation.conftest import placed
from edsel_assets_tests.annotators.conftest import events, states


def pool_of(ids, responses) -> PoolAnnotator:
    return PoolAnnotator(lambda: pa.table({"prompt_id": ids, "response": pa.array(responses, pa.string())}))


def test_what_the_pool_knows_is_answered_and_paid_and_the_rest_stays_open(store, order) -> None:
    name, ids = order
    annotator = pool_of(ids, ["yes"] * 7 + [None, " ", "no"])
    found = answer(annotator, store, name)
    assert (found.answered, found.rejected, found.open, found.paid) == (8, 0, 2, 4.0)
    assert found.remarks == ("The pool has no response to 2 prompts, which stay open.",)
    assert states(store) == ["answered"] * 7 + ["asked"] * 2 + ["answered"]
    assert {event.who for event in events(store, "answered")} == {"pool"}
    again = answer(annotator, store, name)
    assert (again.answered, again.paid, again.open) == (0, 0.0, 2)
    assert len(events(store, "paid")) == 8


def test_only_the_named_order_is_answered(store, order) -> None:
    second, more = placed(store, 3, start=10)
    found = answer(pool_of([*order[1], *more], ["yes"] * 13), store, second)
    assert found.answered == 3
    assert states(store) == ["asked"] * 10 + ["answered"] * 3
    assert answer(pool_of([*order[1], *more], ["yes"] * 13), store).answered == 10
    assert Ledger(store).state()[order[1][0]].response == "yes"
