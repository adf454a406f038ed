"""What a plan says of lacking answers: how many, and what they are expected to cost."""

from pathlib import Path

import pyarrow as pa
import pytest

from edsel_assets.planning.answers import Answers
from edsel_assets.planning.cells import Cell
from edsel_assets.store import Store, write_table
from edsel_assets_tests.defs.conftest import tiny_study

TRAINING = Cell("training_sets", "00003|fl_rbf")
CHOSEN = (Cell("selections", "00003|fl_rbf"),)


def stored(root: Path, prices: list[float | None]) -> Store:
    """A pool of four prompts, of which the first has a response and the second is annotated."""
    ids = list("abcd")
    pool = {
        "prompt_id": ids,
        "prompt": ["x" * 1000] * 4,
        "response": pa.array(["y" * 200, None, None, None], pa.string()),
        "task": pa.array([None] * 4, pa.string()),
        "price": pa.array(prices, pa.float64()),
    }
    write_table(root / "pool.parquet", pa.table(pool))
    write_table(root / "annotations.parquet", pa.table({"prompt_id": ["b"], "response": ["z"]}))
    write_table(root / "selections" / "00003" / "fl_rbf.parquet", pa.table({"prompt_id": ids}))
    return Store(root)


@pytest.mark.parametrize(
    ("rule", "cost"),
    [
        ({"price": 2.5}, 5.0),
        ({"price_by": "column"}, 7.0),
        # 1,000 characters at 1 per 1,000, and 200 expected at 10 per 1,000: 3 for each of two prompts
        ({"price_by": "length", "per_thousand_prompt": 1.0, "per_thousand_response": 10.0}, 6.0),
    ],
)
def test_lacking_answers_are_counted_and_priced(tmp_path, rule, cost) -> None:
    answers = Answers(stored(tmp_path, [1.0, 2.0, 3.0, 4.0]))
    assert answers.lacking(TRAINING, CHOSEN) == 2  # c and d
    found = answers.cost(TRAINING, CHOSEN, tiny_study(annotation=rule).annotation)
    assert found == pytest.approx(cost)


def test_what_is_not_known_is_not_guessed(tmp_path) -> None:
    answers = Answers(stored(tmp_path, [1.0, 2.0, None, 4.0]))
    rule = tiny_study(annotation={"price_by": "column"}).annotation
    assert answers.cost(TRAINING, CHOSEN, rule) is None
    assert answers.cost(Cell("pool"), (), rule) is None
