"""Group ``pool``: the prompts, and what is annotated already."""

from edsel_assets.kinds.checks import UNIQUE_IDS
from edsel_assets.kinds.kind import Kind, Parent
from edsel_assets.kinds.sources import ANNOTATION_FILES, POOL_FILES

#: What decides which prompts are read, and which of them are held out.
POOL_SETTINGS = (
    "pool.format",
    "pool.columns",
    "pool.split",
    "pool.revision",
    "pool.limit",
    "pool.seed",
    "pool.annotated_only",
    "pool.max_characters",
    "evaluation.held_out",
    "evaluation.held_out_seed",
)

ROWS = (
    Kind(
        name="pool",
        group="pool",
        settings=POOL_SETTINGS,
        external=(POOL_FILES,),
        # 2: more pairs of columns are read, and chats that are stored as text; a reply is its own question's
        code="2",
        checks=(UNIQUE_IDS,),
        before=("pool files",),
        tags=frozenset({"parquet"}),
    ),
    Kind(
        name="annotations",
        group="pool",
        parents=(Parent("pool", lazy=True), Parent("purchases")),
        external=(ANNOTATION_FILES,),
        code="2",  # 2: answers in any layout; numbers are text
        before=("annotation files",),
        tags=frozenset({"parquet"}),
    ),
)
