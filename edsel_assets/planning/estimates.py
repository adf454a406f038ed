"""Expected seconds of a cell that was never made: from ledgers of its like, else from tokens.

From tokens: 2 operations per weight and token read, 6 per token trained on, at a stated rate of the device.
That is coarse, and meant to tell minutes from days.
"""

import json
import os
from pathlib import Path

from edsel_assets.machine import has_gpu
from edsel_assets.planning.cells import Cell, Lineage, cell_path, with_suffix
from edsel_assets.planning.external import model_path
from edsel_assets.store import StoreError
from edsel_assets.study import Study

#: Operations a second that are reached in practice: a core of a CPU, and one GPU of the A100's kind.
CORE_RATE, GPU_RATE = 5e10, 1.2e14
_CHARACTERS_PER_TOKEN = 4
_FORWARD, _TRAINING = 2, 6
_BYTES_PER_WEIGHT = 4  # of a file whose type is not known


def seconds_from_tokens(study: Study, root: Path, lineage: Lineage, cell: Cell) -> float | None:
    """What reading or training takes by its tokens; None for other cells, or where the tokens are not known.

    Args:
        root: the study's store, whose pool tells the mean length of a prompt.
    """
    if cell.kind == "win_rates":
        return _asking_seconds(study)
    tokens = _tokens(study, root, lineage, cell)
    weights = model_weights(model_path(study))
    if tokens is None or weights is None:
        return None
    per_token = _TRAINING if cell.kind in _TRAINED else _FORWARD
    rate = GPU_RATE if has_gpu() and study.model.device != "cpu" else CORE_RATE * (os.cpu_count() or 1)
    return per_token * weights * tokens / rate


_TRAINED = {"lora_adapters", "round_checkpoint"}
_READ = {"embeddings", "token_probabilities"}


def _tokens(study: Study, root: Path, lineage: Lineage, cell: Cell) -> float | None:
    if cell.kind == "generations":
        return _answer_tokens(study)
    if cell.kind not in _TRAINED | _READ:
        return None
    lengths = _mean_lengths(root)
    if lengths is None:
        return None
    rows, prompt, response = lengths
    if cell.kind in _READ:
        return rows * (prompt / _CHARACTERS_PER_TOKEN + study.forward.max_new_tokens)
    if study.selection.by_price:
        return None  # how many prompts the money buys is known once they are selected
    budget = int(lineage.dimensions(cell)["budget"])
    epochs = study.rounds.epochs if cell.kind == "round_checkpoint" else study.finetuning.epochs
    return budget * epochs * min((prompt + response) / _CHARACTERS_PER_TOKEN, study.finetuning.max_length)


def _answer_tokens(study: Study) -> float | None:
    """At the most: answers as long as they may be."""
    judge, texts = study.evaluation.judge, _instructions(study)
    if judge is None or texts is None:
        return None
    return sum(len(text) / _CHARACTERS_PER_TOKEN + judge.max_new_tokens for text in texts)


def _asking_seconds(study: Study) -> float | None:
    """Of the requests that a judge's limit of requests lets through; None where there is no limit."""
    judge, texts = study.evaluation.judge, _instructions(study)
    if judge is None or texts is None or judge.by != "openai" or judge.requests_per_minute is None:
        return None
    requests = len(texts) * (2 if judge.kind == "preference" else 1)
    return 60 * requests / judge.requests_per_minute


def _instructions(study: Study) -> list[str] | None:
    from edsel_assets.stages.evaluation.answers import read_instructions

    try:
        return None if study.evaluation.judge is None else read_instructions(study.evaluation.judge)
    except ValueError:
        return None  # the plan says what is wrong with the file


def _mean_lengths(root: Path) -> tuple[int, float, float] | None:
    """Prompts of the stored pool, and the mean characters of a prompt and of a response."""
    import pyarrow.compute as pc

    from edsel_assets.store import read_table

    try:
        pool = read_table(with_suffix(cell_path(root, Cell("pool")), ".parquet"), ["prompt", "response"])
    except StoreError:
        return None  # it was not read yet
    prompt, response = (pc.mean(pc.utf8_length(pool[name])).as_py() or 0.0 for name in pool.column_names)
    return pool.num_rows, prompt, response


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
