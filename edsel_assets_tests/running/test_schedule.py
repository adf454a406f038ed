"""The order in which cells are given out: never more of those that hold a model than there are places."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edsel_assets.kinds.assets import Cells
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.freshness import State
from edsel_assets.running.local import Listener, _Schedule
from edsel_assets.store import Store
from edsel_assets_tests.defs.conftest import tiny_study

MODELS = [Cell("lora_adapters", f"0000{n}|random.s0") for n in range(4)]
PLAIN = [Cell("selections", f"0000{n}|random") for n in range(3)]


class Slots:
    """As many slots as there are cells; the batch that has run longest ends first."""

    slots = len(MODELS) + len(PLAIN)

    def __init__(self) -> None:
        self.running: deque[Sequence[Cell]] = deque()
        self.most = 0
        self.first: list[Cell] = []

    def start(self, batch: Sequence[Cell]) -> None:
        self.running.append(batch)
        self.most = max(self.most, sum(cell in MODELS for each in self.running for cell in each))
        self.first += batch

    def wait(self) -> tuple[Sequence[Cell], Sequence[Cell]]:
        batch = self.running.popleft()
        return batch, batch


def judged(folder: Path) -> Any:
    """Cells that need nothing and are all stale."""
    nodes = {cell.asset: SimpleNamespace(optional=(), continues=()) for cell in (*MODELS, *PLAIN)}
    return SimpleNamespace(
        study=tiny_study(),
        store=Store(folder),
        lineage=SimpleNamespace(nodes=nodes, parents=lambda cell: (), table=Cells(tiny_study())),
        verdict=lambda cell: SimpleNamespace(state=State.STALE),
        forget=lambda cells: None,
    )


@pytest.mark.parametrize("models", [1, 2, 9])
def test_cells_that_would_only_wait_for_a_model_leave_their_slots_to_others(
    models: int, tmp_path: Path
) -> None:
    pool = Slots()
    schedule = _Schedule([*MODELS, *PLAIN], judged(tmp_path), pool, models, Listener())
    outcome = schedule.run(lambda: None)
    assert sorted(outcome.made) == sorted([*MODELS, *PLAIN])
    assert pool.most == min(models, len(MODELS))
    assert set(pool.first[: models + len(PLAIN)]) >= set(PLAIN), "they need no model and begin at once"
