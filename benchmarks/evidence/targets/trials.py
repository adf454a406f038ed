"""Train and score: one file a trial, so that a killed run goes on where it was."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.evidence.targets.design import RANDOM, Data, Trial, budgets_inside
from benchmarks.evidence.targets.picks import picks
from edsel_assets.llm import (
    Example,
    adapted,
    finetune,
    format_prompt,
    forward_pool,
    load_model,
    log_likelihoods,
)
from edsel_assets.store import atomic_path, read_table, write_table

_TOKENS = 4096  # read at once
BASE = "base"


def run(data: Data, model_path: str, state: Path) -> None:
    """Make every trial that is not there, seed by seed."""
    import torch

    torch.set_num_threads(1)
    model, tokenizer = load_model(model_path, device="cpu", dtype="float32")
    own = data.minilm
    if "fl_rbf_own" in data.design.strategies:
        own = _own_embeddings(data, model, tokenizer, state / "own.npy")
    if not (state / f"{BASE}.parquet").is_file():
        _score(data, model, tokenizer, data.items, state / f"{BASE}.parquet")
    inside = {target: budgets_inside(data, target, data.design.seeds) for target in data.design.targets}
    for seed in data.design.seeds:
        chosen = _picks(data, own, seed, state)
        todo = data.design.trials(seed)
        for number, trial in enumerate(todo, 1):
            place = trial_file(state, trial)
            if place.is_file() or (trial.strategy == "inside" and trial.budget not in inside[trial.target]):
                continue
            began = time.perf_counter()
            _trial(data, model, tokenizer, chosen[trial.target, trial.strategy][: trial.budget], trial, place)
            took = time.perf_counter() - began
            print(
                f"{time.strftime('%H:%M')} seed {seed}, {number} of {len(todo)}: {trial.name}, {took:.1f} s"
            )


def trial_file(state: Path, trial: Trial) -> Path:
    return state / "trials" / str(trial.seed) / f"{trial.name}.parquet"


def complete(data: Data, state: Path) -> list[int]:
    """The seeds of which every trial is there."""
    inside = {target: budgets_inside(data, target, data.design.seeds) for target in data.design.targets}
    return [
        seed
        for seed in data.design.seeds
        if all(
            trial_file(state, trial).is_file()
            for trial in data.design.trials(seed)
            if trial.strategy != "inside" or trial.budget in inside[trial.target]
        )
    ]


def _picks(data: Data, own: np.ndarray, seed: int, state: Path) -> dict[tuple[str, str], np.ndarray]:
    place = state / "picks" / f"{seed}.parquet"
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        write_table(place, picks(data, own, seed))
        print(f"seed {seed}: chosen in {time.perf_counter() - began:.0f} s")
    frame = read_table(place).to_pandas()
    return {key: rows["row"].to_numpy() for key, rows in frame.groupby(["target", "strategy"])}


def _trial(data: Data, model: Any, tokenizer: Any, rows: np.ndarray, trial: Trial, place: Path) -> None:
    assert len(rows) == trial.budget, f"{trial.name} has {len(rows)} picks"
    chosen = data.frame.iloc[rows]
    examples = [
        Example(format_prompt(data.design.template, prompt), response)
        for prompt, response in zip(chosen["prompt"], chosen["response"], strict=True)
    ]
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trained"
        finetune(model, tokenizer, examples, data.design.settings, seed=trial.seed, output_dir=path)
        with adapted(model, path) as trained:
            _score(data, trained, tokenizer, data.scored(trial), place)


def _score(data: Data, model: Any, tokenizer: Any, rows: np.ndarray, place: Path) -> None:
    """Write ``item, nll, tokens``: the loss of each response given its prompt, in nats, and its tokens."""
    asked = data.frame.iloc[rows]
    prompts = [format_prompt(data.design.template, prompt) for prompt in asked["prompt"]]
    found = log_likelihoods(model, tokenizer, prompts, asked["response"].tolist(), batch_tokens=_TOKENS)
    columns = {
        "item": np.searchsorted(data.items, rows).astype(np.int32),
        "nll": -np.asarray(found.total, dtype=np.float32),
        "tokens": np.asarray(found.tokens, dtype=np.int32),
    }
    write_table(place, pa.table(columns))


def _own_embeddings(data: Data, model: Any, tokenizer: Any, place: Path) -> np.ndarray:
    """(N, d) float32: the last hidden state of each prompt's last token."""
    if not place.is_file():
        prompts = [format_prompt(data.design.template, prompt) for prompt in data.frame["prompt"]]
        records = forward_pool(
            model, tokenizer, prompts,
            max_new_tokens=0, max_prompt_tokens=240, batch_tokens=_TOKENS, prompt_likelihood=False,
        )  # fmt: skip
        with atomic_path(place) as temporary, open(temporary, "wb") as file:
            np.save(file, np.stack([record.embedding for record in records]))
    return np.load(place)


def read_losses(data: Data, state: Path, seeds: list[int]) -> pd.DataFrame:
    """``seed, target, strategy, budget, item, nll, tokens`` of the trials of ``seeds``, and of the base."""
    base = read_table(state / f"{BASE}.parquet").to_pandas()
    parts = [base.assign(seed=0, target="all", strategy=RANDOM, budget=0)]
    for trial in (trial for seed in seeds for trial in data.design.trials(seed)):
        place = trial_file(state, trial)
        if place.is_file():
            names = {"seed": trial.seed, "target": trial.target, "strategy": trial.strategy}
            parts.append(read_table(place).to_pandas().assign(**names, budget=trial.budget))
    return pd.concat(parts, ignore_index=True)
