"""When choosing pays: ``EDSEL_DATA=path/to/data python -m benchmarks.evidence.targets --state FOLDER``.

Killed, it goes on where it was.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks.evidence.targets.design import Data, Design, Target
from benchmarks.evidence.targets.trials import run

#: To time a trial before the plan is made: none of the plan's targets or seeds.
PILOT = Design(
    targets={"samsum": Target(("samsum",), 40), "gigaword": Target(("gigaword",), 40)},
    seeds=(101,),
    curve=(50, 100),
    others=("gigaword", "samsum"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--state", type=Path, required=True, help="folder of trials; any that are there are kept"
    )
    parser.add_argument("--pilot", action="store_true", help="two other targets, one other seed")
    options = parser.parse_args()
    folder = Path(os.environ["EDSEL_DATA"])
    data = Data.read(PILOT if options.pilot else Design(), folder)
    options.state.mkdir(parents=True, exist_ok=True)
    run(data, folder / "models" / "tinystories-260k", options.state)


if __name__ == "__main__":
    main()
