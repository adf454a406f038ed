"""Expected seconds of a cell that was never made: from ledgers of its like, else from tokens.

From tokens: the operations of ``kinds.work``, at a stated rate of the device. That is coarse, and meant to
tell minutes from days.
"""

import json
import os
from functools import cached_property
from pathlib import Path

from edsel_assets.kinds import study_of
from edsel_assets.kinds.work import CHARACTERS_PER_TOKEN, Lengths, operations_per_weight
from edsel_assets.machine import has_gpu
from edsel_assets.planning.cells import Cell, Lineage
from edsel_assets.planning.external import model_path
from edsel_assets.store import Store, StoreError
from edsel_assets.study import Study

#: Operations a second that are reached in practice: a core of a CPU, and one GPU of the A100's kind.
CORE_RATE, GPU_RATE = 5e10, 1.2e14
_BYTES_PER_WEIGHT = 4  # of a file whose type is not known


class FromTokens:
    """Seconds of the cells of a study by the work of their rows; texts and model are looked at once."""

    def __init__(self, study: Study, store: Store, lineage: Lineage) -> None:
        self._study, self._store, self._lineage = study, store, lineage
        self._weights: dict[str, float | None] = {}

    def of(self, cell: Cell) -> float | None:
        """What reading or training takes; None for other cells, or where the tokens are not known."""
        row = cell.row
        if row.seconds is not None:
            return row.seconds(self._study, self._lengths)
        if row.work is None:
            return None
        work = row.work(self._study, self._lengths, self._lineage.table.assets[cell.asset].at(cell.partition))
        weights = self._weights_of(model_path(study_of(self._study, cell.kind)))
        if work is None or weights is None:
            return None
        gpu = has_gpu() and self._study.model.device != "cpu"
        rate = GPU_RATE if gpu else CORE_RATE * (os.cpu_count() or 1)
        return operations_per_weight(self._study, work) * weights / rate

    def _weights_of(self, path: str) -> float | None:
        if path not in self._weights:
            self._weights[path] = model_weights(path)
        return self._weights[path]

    @cached_property
    def _lengths(self) -> Lengths:
        texts = _instructions(self._study)
        tokens = [len(text) / CHARACTERS_PER_TOKEN for text in texts or ()]
        prompts, prompt, response = _mean_lengths(self._store) or (None, 0.0, 0.0)
        return Lengths(
            prompts,
            prompt,
            response,
            instructions=None if texts is None else len(texts),
            instruction=sum(tokens) / max(1, len(tokens)),
        )


def _instructions(study: Study) -> list[str] | None:
    from edsel_assets.stages.evaluation.answers import read_instructions

    try:
        return None if study.evaluation.judge is None else read_instructions(study.evaluation.judge)
    except ValueError:
        return None  # the plan says what is wrong with the file


def _mean_lengths(store: Store) -> tuple[int, float, float] | None:
    """Prompts of the stored pool, and the mean tokens of a prompt and of a response."""
    import pyarrow.compute as pc

    from edsel_assets.store import read_table

    try:
        pool = read_table(store.table(Cell("pool")), ["prompt", "response"])
    except StoreError:
        return None  # it was not read yet
    prompt, response = (pc.mean(pc.utf8_length(pool[name])).as_py() or 0.0 for name in pool.column_names)
    return pool.num_rows, prompt / CHARACTERS_PER_TOKEN, response / CHARACTERS_PER_TOKEN


def model_weights(path: str) -> float | None:
    """Number of weights of a local model, by its files' headers or sizes."""
    folder = Path(path)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    return float(sum(_header_weights(file) for file in files))


def _header_weights(file: Path) -> int:
    """Weights in a safetensors file: its header is JSON after eight bytes that hold its length."""
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if length > 100 << 20:
            return file.stat().st_size // _BYTES_PER_WEIGHT
        header = json.loads(handle.read(length))
    total = 0
    for name, entry in header.items():
        if name != "__metadata__":
            size = 1
            for side in entry["shape"]:
                size *= side
            total += size
    return total
