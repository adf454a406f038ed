"""Expected seconds of a cell that was never made: from ledgers of its like, else from tokens.

From tokens: the operations of ``kinds.work``, at the rate of the device: a GPU's is stated, a CPU's measured.
That is coarse, and meant to tell minutes from days.
"""

import json
import re
import time
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

from edsel_assets.kinds import study_of
from edsel_assets.kinds.work import CHARACTERS_PER_TOKEN, Lengths, operations_per_weight
from edsel_assets.machine import has_gpu
from edsel_assets.planning.cells import Cell, Lineage
from edsel_assets.planning.external import model_path
from edsel_assets.store import Store, StoreError
from edsel_assets.study import Study

#: Operations a second that are reached in practice on one GPU of the A100's kind.
GPU_RATE = 1.2e14
_REACHED = 0.5  # of the rate of one large product of matrices, by a model on a CPU
_SIDE = 768  # of that product
_BYTES_PER_WEIGHT = 4  # of a file whose type is not known
#: Tokens of a prompt and of a response where there is no pool to tell.
_ASSUMED_PROMPT, _ASSUMED_RESPONSE = 200, 150
_ASSUMED_ITEMS, _ITEM_READINGS = 1000, 4  # of a task, each with its choices
_ASSUMED_WIDTH = 768  # of embeddings
_RUN_SECONDS = 1.0  # of a cell that reads and writes tables alone


@cache
def cpu_rate() -> float:
    """Operations a second of this machine's CPU, measured in some hundredths of a second."""
    import numpy as np

    matrix = np.ones((_SIDE, _SIDE), dtype=np.float32)
    matrix @ matrix
    start = time.perf_counter()
    matrix @ matrix
    return _REACHED * 2 * _SIDE**3 / (time.perf_counter() - start)


class FromTokens:
    """Seconds of the cells of a study by the work of their rows; texts and model are looked at once."""

    def __init__(self, study: Study, store: Store, lineage: Lineage) -> None:
        self._study, self._store, self._lineage = study, store, lineage
        self._weights: dict[str, float | None] = {}

    def of(self, cell: Cell) -> float | None:
        """What a cell takes; None where the size of the model or a limit of requests is not known."""
        row = cell.row
        if row.seconds is not None:
            return row.seconds(self._study, self._lengths)
        if row.work is not None:
            return self._by_model(cell, self._worked(cell))
        if row.scores:
            return self._by_model(cell, 2 * self._scored_tokens())
        return _RUN_SECONDS + self._by_distances(cell) / cpu_rate()

    def _by_model(self, cell: Cell, operations_per_weight: float | None) -> float | None:
        weights = self._weights_of(study_of(self._study, cell.kind))
        if operations_per_weight is None or weights is None:
            return None
        gpu = has_gpu() and self._study.model.device != "cpu"
        return operations_per_weight * weights / (GPU_RATE if gpu else cpu_rate())

    def _weights_of(self, study: Study) -> float | None:
        path = model_path(study)
        if path not in self._weights:
            self._weights[path] = model_weights(path) or size_in_name(study.model.path)
        return self._weights[path]

    def _worked(self, cell: Cell) -> float | None:
        assert cell.row.work is not None
        at = self._lineage.table.assets[cell.asset].at(cell.partition)
        work = cell.row.work(self._study, self._lengths, at)
        return None if work is None else operations_per_weight(self._study, work)

    def _scored_tokens(self) -> float:
        """Of the items of tasks, each with its choices, and of the held-out prompts with their responses."""
        evaluation, lengths = self._study.evaluation, self._lengths
        items = sum(task.limit or _ASSUMED_ITEMS * (task.share or 1) for task in evaluation.tasks)
        share = evaluation.held_out < 1
        held = evaluation.held_out * ((lengths.prompts or 0) if share else 1)
        return items * _ITEM_READINGS * lengths.prompt + held * (lengths.prompt + lengths.response)

    def _by_distances(self, cell: Cell) -> float:
        """Operations of k-means, and of a ranking that compares all prompts."""
        prompts = self._lengths.prompts or 0
        if cell.kind == "clusters":
            count = int((cell.partition or "0").rpartition(".")[2])
            return 2.0 * prompts * count * _ASSUMED_WIDTH * self._study.clustering.iterations
        return 2.0 * prompts**2 * _ASSUMED_WIDTH if cell.kind == "rankings" else 0.0

    @cached_property
    def _lengths(self) -> Lengths:
        texts = _instructions(self._study)
        tokens = [len(text) / CHARACTERS_PER_TOKEN for text in texts or ()]
        mean = _mean_lengths(self._store) or assumed_lengths(self._study)
        return replace(
            mean,
            instructions=None if texts is None else len(texts),
            instruction=sum(tokens) / max(1, len(tokens)),
        )


def _instructions(study: Study) -> list[str] | None:
    from edsel_assets.stages.evaluation.answers import read_instructions

    try:
        return None if study.evaluation.judge is None else read_instructions(study.evaluation.judge)
    except ValueError:
        return None  # the plan says what is wrong with the file


def assumed_lengths(study: Study) -> Lengths:
    """Of a pool that is not here, or was not read yet."""
    return Lengths(assumed_pool(study), _ASSUMED_PROMPT, _ASSUMED_RESPONSE, assumed=True)


def assumed_pool(study: Study) -> int:
    """How many prompts a pool that is not there is taken to have.

    As many as ``pool.limit`` keeps; without a limit a tenth more than the study asks for.
    """
    if study.pool.limit is not None:
        return study.pool.limit
    return max(round(1.1 * study.selection.every_budget[-1]), *study.clustering.counts)


def _mean_lengths(store: Store) -> Lengths | None:
    """Prompts of the stored pool, and the mean tokens of a prompt and of a response."""
    import pyarrow.compute as pc

    from edsel_assets.store import read_table

    try:
        pool = read_table(store.table(Cell("pool")), ["prompt", "response"])
    except StoreError:
        return None  # it was not read yet
    prompt, response = (pc.mean(pc.utf8_length(pool[name])).as_py() or 0.0 for name in pool.column_names)
    return Lengths(pool.num_rows, prompt / CHARACTERS_PER_TOKEN, response / CHARACTERS_PER_TOKEN)


def model_weights(path: str) -> float | None:
    """Number of weights of a local model, by its files' headers or sizes."""
    folder = Path(path)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    return float(sum(_header_weights(file) for file in files))


def size_in_name(name: str) -> float | None:
    """Number of weights that a model's name says, as in ``7b`` or ``135M``."""
    found = re.search(r"(?<![\d.])(\d+(?:\.\d+)?)([bm])(?![a-z])", name.lower())
    return None if found is None else float(found[1]) * (1e9 if found[2] == "b" else 1e6)


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
