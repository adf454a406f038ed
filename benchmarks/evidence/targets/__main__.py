"""When choosing pays: ``EDSEL_DATA=path/to/data python -m benchmarks.evidence.targets --state FOLDER``.

Killed, it goes on where it was.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks.evidence.targets.design import Data, Design, Target
from benchmarks.evidence.targets.finish import finish
from benchmarks.evidence.targets.trials import run
from edsel_assets.llm import FinetuneSettings

#: To time a trial before the plan is made: none of the plan's targets or seeds.
PILOT = Design(
    targets={"samsum": Target(("samsum",), 40), "gigaword": Target(("gigaword",), 40)},
    seeds=(101,),
    curve=(50, 100),
    others=("gigaword", "samsum"),
)
#: The same question with a real model: ``plan_smollm2.md``.
SMOLLM2 = Design(
    targets={"dream": Target(("dream",), 40), "sciq": Target(("sciq",), 40)},
    seeds=(1, 2, 3),
    curve=(25, 50, 100, 200),
    budgets=(50,),
    rest=60,
    shared=(),
    strategies=("fl_rbf", "random_target", "inside"),
    others=("sciq", "dream"),
    template=(
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    ),
    settings=FinetuneSettings(rank=16, alpha=32, dropout=0.0, batch_size=8, epochs=2, max_length=256),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--state", type=Path, required=True, help="folder of trials; any that are there are kept"
    )
    parser.add_argument("--smollm2", metavar="MODEL", help="the real model's folder or name: its experiment")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the tables")
    parser.add_argument("--finish", action="store_true", help="only make the tables of what is there")
    parser.add_argument("--pilot", action="store_true", help="two other targets, one other seed")
    options = parser.parse_args()
    folder = Path(os.environ["EDSEL_DATA"])
    design = PILOT if options.pilot else SMOLLM2 if options.smollm2 else Design()
    data = Data.read(design, folder)
    options.state.mkdir(parents=True, exist_ok=True)
    if not options.finish:
        run(data, options.smollm2 or str(folder / design.model), options.state)
    finish(data, options.state, options.out)


if __name__ == "__main__":
    main()
