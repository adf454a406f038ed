"""The table of memory and hours by size of model is that of the formulas."""

from edsel_assets.llm.reading.way import DECODE_MULTIPLE
from edsel_assets.planning.estimates import GPU_RATE
from edsel_assets.selection.facility.engines import needs
from scripts.by_size import SHAPES, stages

GIB = 2**30


def test_the_figures_of_a_7b_by_hand() -> None:
    table = {row[0]: row[1 + list(SHAPES).index("7B")] for row in stages()}
    weights, width, layers, vocabulary = 6.74e9, 4096, 32, 32_000
    cache = 2 * layers * width * 2 * DECODE_MULTIPLE * 16_384
    reading = 2 * weights + 4 * vocabulary * width + cache
    hours = 100_000 * (200 + 64) * 2 * weights / GPU_RATE / 3600
    assert (
        table["the pass over 100,000 prompts, 64 tokens decoded"] == f"{reading / GIB:.0f} GiB, {hours:.2g} h"
    )
    tokens = 10_000 * 5 * 350
    for name, each, share in (
        ("a trial by LoRA of rank 64", 4, 1),
        ("the same, `gradient_checkpointing`", 4 * 4 / 3, 1),
        ("a trial of all weights (`full`)", 6, 1),
        ("the same on 8 GPUs with `fsdp`, each", 6, 8),
    ):
        assert table[name].endswith(f", {tokens * each * weights / share / GPU_RATE / 3600:.2g} h")
    activations = 16_384 * (34 * width * layers + 8 * vocabulary)
    full = 2 * weights + 16 * weights + activations
    assert table["a trial of all weights (`full`)"].startswith(f"{full / GIB:.0f} GiB")
    dense = needs(100_000, width)["dense"]
    assert table["facility location of 100,000 prompts, dense"] == f"{dense / GIB:.0f} GiB"


def test_every_stage_takes_more_with_a_larger_model() -> None:
    for _, *takes in stages():
        sizes = [int(each.partition(" ")[0]) for each in takes]
        assert sizes == sorted(sizes)
