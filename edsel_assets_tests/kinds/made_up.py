"""The function of a made-up kind, named in its row."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.kinds.checks import FINITE
from edsel_assets.kinds.making import Made, Making
from edsel_assets.stages.checks.tables import finite


def lengths(making: Making, pool: pa.Table, uncertainty_scores: Any) -> Made:
    """Uncertainty for each character of a prompt."""
    size = pc.utf8_length(pool["prompt"]).cast(pa.float64())
    score = pc.divide(uncertainty_scores["score"], size)
    table = pa.table({"prompt_id": pool["prompt_id"], "score": score})
    shown = {"measure": making.at.keys["measure"], "longest": pc.max(size).as_py()}
    return Made(table, shown, {FINITE: finite(table)})
