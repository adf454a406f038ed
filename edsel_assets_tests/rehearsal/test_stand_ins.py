"""What a rehearsal reads, and the judge that stands in."""

import json

import numpy as np
import pytest

from edsel_assets.llm import ChatClient, EndpointJudge, preferences, rate_responses
from edsel_assets.planning import preflight
from edsel_assets.pools import PoolError
from edsel_assets.rehearsal.judge_server import judge_server
from edsel_assets.rehearsal.pool import far_away, few_prompts, read_facts
from edsel_assets.rehearsal.sizes import Size
from edsel_assets.rehearsal.stand_ins import STUDY_FILE, _reward_model, set_up
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets.study.inputs import PoolSettings
from edsel_assets_tests.defs.conftest import tiny_study


def test_the_judge_speaks_the_protocol(tmp_path) -> None:
    asked = [f"question {n}" for n in range(12)]
    with judge_server() as address:
        judge = EndpointJudge(ChatClient("any", tmp_path, base_url=address))
        liked = preferences(judge, asked, ["one"] * 12, ["other"] * 12)
        rated = rate_responses(judge, asked, ["one"] * 12)
        again = preferences(judge, asked, ["one"] * 12, ["other"] * 12)
    assert liked.invalid == rated.invalid == 0
    assert ((liked.value > 0) & (liked.value < 1)).all()
    assert len(set(rated.value)) > 3
    np.testing.assert_array_equal(liked.value, again.value)


def write_pool(tmp_path, rows) -> str:
    file = tmp_path / "own.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(file)


def test_a_pools_own_prompts_are_used_and_answered(tmp_path) -> None:
    rows = [{"prompt": f"say {n} " + "x" * 300, "response": "ok" if n % 2 else None} for n in range(30)]
    facts = read_facts(PoolSettings(path=write_pool(tmp_path, rows)))
    assert (facts.prompts, facts.answered, facts.response_characters) == (30, 15, 2.0)
    few = few_prompts(facts, 10)
    assert few.num_rows == 10
    assert few["response"].null_count == 0
    assert {len(prompt) for prompt in few["prompt"].to_pylist()} == {200}
    whole = facts.table.sort_by("prompt_id")["prompt"].to_pylist()[:10]
    assert few["prompt"].to_pylist() == [prompt[:200] for prompt in whole]


def test_places_that_need_a_network_are_told_and_missing_ones_are_errors(tmp_path) -> None:
    assert far_away(PoolSettings(path="somebody/prompts")) == ["somebody/prompts"]
    assert far_away(PoolSettings(path=["s3://bucket/a.jsonl", "builtin:demo"])) == ["s3://bucket/a.jsonl"]
    assert far_away(PoolSettings(path=write_pool(tmp_path, [{"prompt": "say"}]))) == []
    with pytest.raises(PoolError, match=r"no file or directory .*absent\.jsonl"):
        far_away(PoolSettings(path=str(tmp_path / "absent.jsonl")))


def test_the_rehearsal_is_a_study_file_that_loads(tmp_path) -> None:
    rows = [{"prompt": f"say {n}", "response": f"{n}", "cost": n} for n in range(60)]
    annotated = tmp_path / "known.jsonl"
    annotated.write_text(json.dumps(rows[0]), encoding="utf-8")
    pool = {"path": write_pool(tmp_path, rows), "limit": None, "annotations": str(annotated)}
    columns = {"prompt": "prompt", "response": "response", "price": "cost"}
    study = tiny_study(pool={**pool, "columns": columns})
    made = set_up(study, tmp_path / "home", Size(prompts=40), None, None)
    assert Study.load(tmp_path / "home" / STUDY_FILE) == made.study
    assert read_facts(made.study.pool).prompts == 40
    assert "price" in read_facts(made.study.pool).table.column_names
    assert made.study.pool.annotations is not None
    assert made.tasks.own == ["edsel_demo_choice"]
    set_up(study, tmp_path / "home", Size(prompts=44), None, None)
    assert read_facts(Study.load(tmp_path / "home" / STUDY_FILE).pool).prompts == 44, "made anew"


def test_a_study_without_tasks_has_no_folder_of_data(tmp_path) -> None:
    evaluation = {"tasks": [], "include_path": None, "data_directory": "/unset/EDSEL_DATA/hub"}
    made = set_up(tiny_study(evaluation=evaluation), tmp_path / "home", Size(), None, None)
    assert made.study.evaluation.data_directory is None
    wrong = list(preflight.problems(made.study, Home.at(tmp_path / "home"), {"benchmark_scores"}))
    assert wrong == []


def test_the_reward_model_gives_a_text_one_number(tmp_path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    path = _reward_model(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(path)
    with torch.no_grad():
        logits = model(**AutoTokenizer.from_pretrained(path)("some text", return_tensors="pt")).logits
    assert logits.shape == (1, 1)


def test_a_rehearsal_that_was_cut_short_goes_on_and_one_that_ended_begins_anew(tmp_path) -> None:
    home, size = tmp_path / "home", Size(prompts=40)
    first = set_up(tiny_study(), home, size, None, None)
    files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    made = home / "store" / first.study.name / "pool.parquet"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"a cell")
    again = set_up(tiny_study(), home, size, None, None)
    assert again.study == first.study
    assert {path: path.read_bytes() for path in files} == files, "so what was made of them is fresh"
    assert made.read_bytes() == b"a cell"
    again.finish()
    set_up(tiny_study(), home, size, None, None)
    assert not made.exists()
