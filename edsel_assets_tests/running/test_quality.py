"""Scorers of quality that load a model, through the graph: a reward model, and Deita's two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from edsel_assets.demo import DEMO, model_folder
from edsel_assets.llm import deita_complexity, deita_quality, load_model
from edsel_assets.llm.judging.reward import load_reward_model, reward_scores
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.running.test_rounds import make
from edsel_assets_tests.stages.scoring.models import reward_folder


def test_a_reward_model_and_deitas_scorers_choose_prompts(tmp_path: Path) -> None:
    reward = reward_folder(tmp_path / "reward")
    deita = {"model": DEMO, "dtype": "float32"}
    study = tiny_study(
        pool={"annotated_only": True},
        selection={
            "strategies": ["kmq", "qdit"],
            "variants": {
                "kmq_deita": {"strategy": "kmq", "quality": "deita"},
                "deita_own": {"strategy": "deita", "quality": "deita"},
            },
            "budgets": [9],
        },
        quality={
            "scorer": "reward",
            "input": "prompt_response",
            "reward": {"model": str(reward), "dtype": "float32"},
            "deita": {"quality": deita, "complexity": deita},
        },
    )
    store = make(study, tmp_path, "selections").folder
    pool = pq.read_table(store / "pool.parquet").to_pydict()
    prompts, responses = pool["prompt"], pool["response"]

    by_reward = pq.read_table(store / "quality_scores" / "reward.parquet").to_pydict()
    assert by_reward["prompt_id"] == pool["prompt_id"]
    wanted = reward_scores(*load_reward_model(reward, device="cpu"), prompts, responses)
    np.testing.assert_allclose(by_reward["reward"], wanted, atol=1e-4)

    by_deita = pq.read_table(store / "quality_scores" / "deita.parquet").to_pydict()
    model, tokenizer = load_model(model_folder(DEMO), dtype="float32", device="cpu")
    quality = np.asarray(deita_quality(model, tokenizer, prompts, responses))
    complexity = np.asarray(deita_complexity(model, tokenizer, prompts))
    np.testing.assert_allclose(by_deita["quality"], quality, atol=1e-4)
    np.testing.assert_allclose(by_deita["complexity"], complexity, atol=1e-4)

    chosen = {
        name: pq.read_table(store / "selections" / "00009" / f"{name}.parquet")["prompt_id"].to_pylist()
        for name in study.selection.names
    }
    assert all(len(set(picks)) == 9 for picks in chosen.values())
    assert set(chosen["kmq"]) != set(chosen["kmq_deita"]), "the scorer decides"
    best = pool["prompt_id"][int(np.argmax(quality * complexity))]
    assert chosen["deita_own"][0] == best
