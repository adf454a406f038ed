"""Group ``annotation``: what was asked, answered and paid, and the model that all of it yields."""

from edsel_assets.kinds.checks import ADAPTER_LOADS, FINITE, LOSS_FELL, NONE_ORDERED_TWICE
from edsel_assets.kinds.deciding import ADAPTED, TEMPLATED, tuning
from edsel_assets.kinds.dimensions import ORDER
from edsel_assets.kinds.kind import Kind, Parent, device
from edsel_assets.kinds.rows.evaluation import scored
from edsel_assets.kinds.sources import MODEL_FILES, ORDER_FILES, PURCHASE_FILES

ROWS = (
    Kind(
        name="orders",
        group="annotation",
        external=(ORDER_FILES,),
        code="2",  # 2: says which prompts were replaced, and what the others count for
        checks=(NONE_ORDERED_TWICE,),
        tags=frozenset({"parquet"}),
    ),
    Kind(
        name="purchases",
        group="annotation",
        external=(PURCHASE_FILES,),
        tags=frozenset({"parquet", "matplotlib"}),
    ),
    Kind(
        name="purchased_training_set",
        group="annotation",
        dimensions=(ORDER,),
        parents=(
            Parent("pool", lazy=True),
            Parent("annotations"),
            Parent("orders"),
            Parent("held_out", lazy=True),
        ),
        code="2",  # 2: what is held out is not trained on
        waits="order",
        tags=frozenset({"parquet"}),
    ),
    Kind(
        name="purchased_adapter",
        group="annotation",
        dimensions=(ORDER,),
        parents=(Parent("purchased_training_set"),),
        settings=(*TEMPLATED, tuning),
        libraries=ADAPTED,
        external=(MODEL_FILES,),
        checks=(ADAPTER_LOADS, LOSS_FELL),
        device=device,
        trains=True,
        before=("finetuning",),
        tags=frozenset({"pytorch", "huggingface"}),
    ),
    Kind(
        name="purchased_scores",
        group="annotation",
        dimensions=(ORDER,),
        parents=(Parent("held_out"), Parent("purchased_adapter")),
        checks=(FINITE,),
        **scored(ADAPTED),
    ),
    Kind(
        name="spend_curve",
        group="annotation",
        parents=(
            Parent("annotations", lazy=True),
            Parent("orders"),
            Parent("purchases"),
            Parent("base_scores"),
            Parent("purchased_scores", optional=True),
        ),
        code="2",  # 2: answers trained on are counted
        tags=frozenset({"pandas", "matplotlib"}),
    ),
)
