from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edsel_assets.llm import forward_pool
from edsel_assets.stages.kept_rows import PassSettings, PoolEmbeddings, PoolSignals, UnusableEmbedding
from edsel_assets.store import Home, MissingRows
from edsel_assets_tests.llm import tiny
from edsel_assets_tests.llm.tiny import STEPS, prompts

SETTINGS = PassSettings("Q: {prompt}\n", max_new_tokens=4, max_prompt_tokens=60)
MODEL = {"name": "tiny", "revision": None}
PROMPTS = prompts(30)
IDS = [f"p{i:02d}" for i in range(30)]


def compute(root, count=30, settings=SETTINGS, opened=None, **changes):
    def open_model():
        if opened is not None:
            opened.append(True)
        return tiny.model("llama"), tiny.tokenizer()

    arguments = {"open_model": open_model, "batch_tokens": 300, "shard_rows": 7} | changes
    return PoolSignals(Home.at(root), MODEL, settings).compute(IDS[:count], PROMPTS[:count], **arguments)


def shards(root: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(root.rglob("shard-*.parquet"))}


def test_rows_are_those_of_one_pass_in_pool_order(tmp_path) -> None:
    counts = compute(tmp_path)
    records = list(
        forward_pool(
            tiny.model("llama"),
            tiny.tokenizer(),
            [f"Q: {prompt}\n" for prompt in PROMPTS],
            max_new_tokens=4,
            max_prompt_tokens=60,
            batch_tokens=300,
        )
    )
    assert (counts.rows_new, counts.rows_reused) == (30, 0)
    assert 0 < counts.truncated == sum(record.truncated for record in records) < 30
    order = np.random.default_rng(0).permutation(30)
    ids = [IDS[i] for i in order]
    kept = PoolSignals(Home.at(tmp_path), MODEL, SETTINGS)
    expected = np.stack([records[i].embedding for i in order])
    assert kept.embeddings(ids).dtype == np.float32
    np.testing.assert_allclose(kept.embeddings(ids), expected, rtol=1e-5, atol=1e-5)
    table = kept.token_probabilities(ids).to_pandas()
    assert table["prompt_id"].tolist() == ids
    for place, i in enumerate(order):
        assert table["token_id"][place].tolist() == records[i].token_id.tolist()
        for name in STEPS[1:]:
            np.testing.assert_allclose(
                table[name][place], getattr(records[i], name), rtol=1e-5, atol=1e-5, err_msg=name
            )
        assert table["prompt_tokens"][place] == records[i].prompt_tokens
        assert table["truncated"][place] == records[i].truncated
        assert table["prompt_logprob"][place] == pytest.approx(records[i].prompt_logprob, rel=1e-5)


def test_a_grown_pool_computes_its_new_prompts_and_a_whole_one_loads_no_model(tmp_path) -> None:
    opened: list[bool] = []
    compute(tmp_path, 12, opened=opened)
    before = shards(tmp_path)
    seen: list[tuple[int, int]] = []
    grown = compute(tmp_path, opened=opened, progress=lambda *at: seen.append(at))
    assert (grown.rows_new, grown.rows_reused) == (18, 12)
    assert seen[0][0] > 12
    assert seen[-1] == (30, 30)
    assert before.items() <= shards(tmp_path).items()
    again = compute(tmp_path, opened=opened)
    assert (again.rows_new, again.rows_reused, again.truncated) == (0, 30, grown.truncated)
    assert len(opened) == 2


def test_embeddings_alone_are_kept_too(tmp_path) -> None:
    settings = replace(SETTINGS, max_new_tokens=0, prompt_likelihood=False)
    compute(tmp_path, 9, settings=settings)
    kept = PoolSignals(Home.at(tmp_path), MODEL, settings)
    assert kept.embeddings(IDS[:9]).shape == (9, 32)
    table = kept.token_probabilities(IDS[:9]).to_pandas()
    assert [len(steps) for steps in table["entropy"]] == [0] * 9
    assert table["prompt_logprob"].isna().all()


def embeddings_alone(root, count=30, **changes) -> tuple[np.ndarray, int]:
    """Embeddings of the first prompts, and how many of them were computed."""
    kept = PoolSignals(Home.at(root), MODEL, SETTINGS, alone=True)

    def open_model():
        return tiny.model("llama", **changes), tiny.tokenizer()

    made = kept.compute(IDS[:count], PROMPTS[:count], open_model=open_model, batch_tokens=300, shard_rows=7)
    return kept.embeddings(IDS[:count]), made.rows_new


def test_embeddings_alone_are_those_of_the_whole_pass_also_where_prompts_are_cut(tmp_path) -> None:
    """Positions for 30 tokens: the whole pass leaves room for its 4, and so must the other."""

    def open_model():
        return tiny.model("llama", max_position_embeddings=30), tiny.tokenizer()

    counts = compute(tmp_path / "whole", open_model=open_model)
    assert counts.truncated > 5
    whole = PoolSignals(Home.at(tmp_path / "whole"), MODEL, SETTINGS).embeddings(IDS)
    alone, made = embeddings_alone(tmp_path / "alone", max_position_embeddings=30)
    assert made == 30
    np.testing.assert_allclose(alone, whole, rtol=1e-5, atol=1e-5)


def test_embeddings_alone_reuse_the_rows_of_the_whole_pass_and_compute_the_others(tmp_path) -> None:
    compute(tmp_path, 12)
    assert embeddings_alone(tmp_path, 12)[1] == 0
    mixed, made = embeddings_alone(tmp_path)
    assert made == 18
    assert embeddings_alone(tmp_path)[1] == 0
    compute(tmp_path / "other")
    expected = PoolSignals(Home.at(tmp_path / "other"), MODEL, SETTINGS).embeddings(IDS)
    np.testing.assert_allclose(mixed, expected, rtol=1e-5, atol=1e-5)
    assert compute(tmp_path).rows_new == 18  # what is decoded needs the whole pass


@pytest.mark.parametrize(
    "change",
    [{"template": "A: {prompt}"}, {"max_new_tokens": 3}, {"pooling": "mean"}, {"prompt_likelihood": False}],
)
def test_whatever_decides_the_values_computes_afresh(tmp_path, change) -> None:
    first = compute(tmp_path)
    other = compute(tmp_path, settings=replace(SETTINGS, **change))
    assert other.rows_new == 30
    assert other.fingerprint != first.fingerprint


def test_what_is_not_computed_is_missing(tmp_path) -> None:
    compute(tmp_path, 5)
    with pytest.raises(MissingRows, match="25 of 30"):
        PoolSignals(Home.at(tmp_path), MODEL, SETTINGS).embeddings(IDS)


def test_mistakes_are_named(tmp_path) -> None:
    kept = PoolSignals(Home.at(tmp_path), MODEL, SETTINGS)
    with pytest.raises(ValueError, match="unique"):
        kept.compute(["a", "a"], ["x", "y"], open_model=lambda: None, batch_tokens=9)
    with pytest.raises(ValueError, match="1 ids, 2 texts"):
        kept.compute(["a"], ["x", "y"], open_model=lambda: None, batch_tokens=9)
    with pytest.raises(ValueError, match="exactly once"):
        PoolSignals(Home.at(tmp_path), MODEL, PassSettings("no field", 1, 1))


class Vectors:
    """An embedder whose second text has another vector than (1, 2)."""

    def __init__(self, second: list[float]) -> None:
        self._second = second

    def embed(self, texts):
        yield np.array([self._second if text == PROMPTS[1] else [1, 2] for text in texts], dtype=np.float32)


UNUSABLE = [
    ([1.0, np.nan], "holds NaN or infinity"),
    ([-np.inf, 0.0], "holds NaN or infinity"),
    ([0.0, 0.0], "is a zero vector, which has no direction"),
]


@pytest.mark.parametrize(("vector", "what"), UNUSABLE)
def test_an_embedders_unusable_vector_is_named_by_prompt_and_nothing_is_kept(tmp_path, vector, what) -> None:
    kept = PoolEmbeddings(Home.at(tmp_path), {"name": "x"})
    message = rf"The embedding of prompt p01 {what} \(1 of 3 are unusable\)\. Leave such prompts out"
    row_ids = [f"{name}.response" for name in IDS[:3]]
    for ids in (IDS[:3], row_ids):
        with pytest.raises(UnusableEmbedding, match=message):
            kept.compute(ids, PROMPTS[:3], open_embedder=lambda: Vectors(vector))
    assert shards(tmp_path) == {}
    assert kept.compute(IDS[:3], PROMPTS[:3], open_embedder=lambda: Vectors([3, 4])).rows_new == 3
    np.testing.assert_array_equal(kept.embeddings(IDS[:3]), [[1, 2], [3, 4], [1, 2]])


@pytest.mark.parametrize(("value", "what"), [(np.nan, UNUSABLE[0][1]), (0.0, UNUSABLE[2][1])])
def test_a_models_unusable_vector_is_named_by_prompt_and_its_shard_is_not_kept(
    tmp_path, monkeypatch, value, what
) -> None:
    from edsel_assets import llm

    real = forward_pool

    def broken(*arguments, **options):
        for number, record in enumerate(real(*arguments, **options)):
            embedding = np.full_like(record.embedding, value) if number == 9 else record.embedding
            yield replace(record, embedding=embedding)

    monkeypatch.setattr(llm, "forward_pool", broken)
    with pytest.raises(UnusableEmbedding, match=rf"prompt p09 {what} .*Set model\.dtype to float32"):
        compute(tmp_path)
    whole = shards(tmp_path)  # 7 prompts a shard: the first was whole before
    monkeypatch.setattr(llm, "forward_pool", real)
    assert (len(whole), compute(tmp_path).rows_new) == (1, 23)


_CHILD = """
import sys, time
import torch
torch.set_num_threads(1)
from edsel_assets.llm.reading import decode
from edsel_assets_tests import test_kept_rows
real = decode.read
def slowly(*arguments):
    time.sleep(0.02)  # so that a kill can fall anywhere
    return real(*arguments)
decode.read = slowly
test_kept_rows.compute(sys.argv[1], progress=lambda done, total: print(done, flush=True))
"""


def kill_and_resume(root: Path, seed: int) -> list[int]:
    """Start, kill -9 at a random moment after the first prompts, go on: prompts computed by each process."""
    import torch

    rng = np.random.default_rng(seed)
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(root)],
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    )
    stop_after = int(rng.integers(1, 30))
    assert child.stdout is not None
    assert any(int(line) >= stop_after for line in child.stdout), "the child ended on its own"
    time.sleep(float(rng.uniform(0, 0.02)))
    child.send_signal(signal.SIGKILL)
    child.wait()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        counts = compute(root)
    finally:
        torch.set_num_threads(threads)
    assert counts.rows_reused >= stop_after // 7 * 7 - 7, "at most the shard at work is lost"
    return [counts.rows_reused, counts.rows_new]


def check_resumed(tmp_path: Path, seeds: range) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    compute(tmp_path / "whole")
    torch.set_num_threads(threads)
    expected = shards(tmp_path / "whole")
    assert len(expected) == 5
    for seed in seeds:
        root = tmp_path / f"killed{seed}"
        reused, new = kill_and_resume(root, seed)
        assert reused % 7 == 0 or reused == 30  # whole shards only
        assert new == 30 - reused
        assert shards(root) == expected
        assert compute(root).rows_new == 0


def test_killed_at_a_random_shard_and_resumed_the_files_are_the_same(tmp_path) -> None:
    check_resumed(tmp_path, range(2))


@pytest.mark.slow
def test_killed_ten_times(tmp_path) -> None:
    check_resumed(tmp_path, range(2, 12))
