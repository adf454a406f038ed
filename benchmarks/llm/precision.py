"""What a model in bfloat16 says of the demo's prompts, against the same model in float32.

python -m benchmarks.llm precision

Per measure of uncertainty, the rank correlation (Spearman) of its scores with those of the float32 model; and
how many prompts have a smallest margin of exactly 0, where the two largest probabilities tie and the order of
the prompts is left to chance. ``head in bfloat16`` multiplies by the head in the model's own dtype, as
``generate`` does; ``head in float32`` is what edsel does. Settings are those of the demo's study.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
KINDS = {
    "bfloat16, head in bfloat16": ("bfloat16", True),
    "bfloat16, head in float32": ("bfloat16", False),
    "float32": ("float32", False),
}


@contextmanager
def head_in_own_dtype() -> Iterator[None]:
    """In the block, logits are products of the model's own head in the model's own dtype."""
    from edsel_assets.llm.models.split import SplitModel

    def logits(split: Any, hidden: Any) -> Any:
        return split.model.get_output_embeddings()(hidden).float()

    with mock.patch.object(SplitModel, "logits", logits):
        yield


def scores_of(dtype: str, own_head: bool, prompts: list[str]) -> dict[str, np.ndarray]:
    """(N,) per measure."""
    from edsel_assets.demo import DEMO, local_path
    from edsel_assets.llm import forward_pool, load_model, uncertainty
    from edsel_assets.llm.reading.measures import Measure
    from edsel_assets.study import Study

    settings = Study.load("demo").forward
    model, tokenizer = load_model(local_path(DEMO, "model"), dtype=dtype, device="cpu")
    with head_in_own_dtype() if own_head else nullcontext():
        records = list(
            forward_pool(
                model,
                tokenizer,
                prompts,
                max_new_tokens=settings.max_new_tokens,
                max_prompt_tokens=settings.max_prompt_tokens,
                batch_tokens=settings.batch_tokens,
                prompt_likelihood=False,
            )
        )
    return {measure: uncertainty(records, measure) for measure in get_args(Measure)}


def compare(count: int | None) -> dict[str, dict[str, float]]:
    """Per kind: prompts, exact ties, ties that float32 does not have, and rank correlations by measure."""
    from scipy.stats import spearmanr

    from edsel_assets.llm import DEFAULT_TEMPLATE, format_prompt
    from edsel_assets.pools import PoolSource, read_pool

    texts = read_pool(PoolSource("builtin:demo")).table["prompt"].to_pylist()[:count]
    prompts = [format_prompt(DEFAULT_TEMPLATE, text) for text in texts]
    found = {kind: scores_of(*given, prompts) for kind, given in KINDS.items()}
    exact = found["float32"]
    rows = {}
    for kind, scores in found.items():
        ties = scores["min_margin"] == 0
        rows[kind] = {
            "prompts": len(prompts),
            "ties": int(ties.sum()),
            "new ties": int((ties & (exact["min_margin"] != 0)).sum()),
            **{name: float(spearmanr(scores[name], exact[name]).statistic) for name in exact},
        }
    return rows


def table(rows: dict[str, dict[str, float]]) -> str:
    """The results as Markdown."""
    measures = [name for name in rows["float32"] if name not in ("prompts", "ties", "new ties")]
    count = rows["float32"]["prompts"]
    lines = [
        "# The demo's model in bfloat16 against float32",
        "",
        f"{count:,} prompts of the demo's pool; rank correlation of each measure with the float32 model's.",
        "",
        f"| | smallest margin exactly 0 | of these, not in float32 | {' | '.join(measures)} |",
        "| --- | ---: | ---: |" + " ---: |" * len(measures),
    ]
    for kind, row in rows.items():
        ties = f"{row['ties']} ({row['ties'] / count:.0%}) | {row['new ties']}"
        lines.append(f"| {kind} | {ties} | {' | '.join(f'{row[name]:.4f}' for name in measures)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.llm precision", description=__doc__)
    parser.add_argument("--prompts", type=int, help="the first so many of the pool; all without")
    rows = compare(parser.parse_args().prompts)
    (HERE / "precision.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "precision.md").write_text(table(rows) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
