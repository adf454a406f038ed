"""A study with a judge and HumanEval through the graph, and what is known to be wrong before it runs."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.llm.scoring.sandbox import sandbox_refusal
from edsel_assets.planning import preflight
from edsel_assets.running.local import RunFailed
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.llm.judging.server import completion, serving
from edsel_assets_tests.running.test_local import Desk, desk

__all__ = ["desk"]
REFUSAL = sandbox_refusal()
PROBLEM = {
    "task_id": "t/0",
    "prompt": "def one():\n",
    "entry_point": "one",
    "canonical_solution": "    return 1\n",
    "test": "def check(f):\n    assert f() == 1\n",
}


def prefers_by_text(body: dict[str, Any]) -> str:
    digest = hashlib.sha256(body["messages"][-1]["content"].encode()).digest()
    first = 0.1 + 0.8 * digest[0] / 255
    return completion("m", [{"m": math.log(first), "M": math.log(1 - first)}])


def judged_study(folder: Path, judge: dict[str, Any], **evaluation: Any) -> Study:
    file = folder / "instructions.jsonl"
    file.write_text("\n".join(json.dumps({"instruction": f"Say {i}."}) for i in range(4)))
    settings = {"instructions": str(file), "max_new_tokens": 6, "model": "judge", **judge}
    return tiny_study(
        selection={"strategies": ["random", "k_center"], "budgets": [6, 10]},
        finetuning={"learning_rate": 0.05},  # so that trials answer differently
        evaluation={"judge": settings, **evaluation},
    )


def test_trials_are_judged_against_one_reference_and_nothing_is_asked_twice(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(prefers_by_text) as server:
        study = judged_study(tmp_path, {"base_url": server.url, "attempts": 1})
        desk.run(study)
        asked = len(server.asked)
        store = desk.store(study)
        rows = {
            f"{path.parent.name}|{path.stem}": pq.read_table(path).to_pylist()[0]
            for path in (store.folder / "win_rates").glob("*/*.parquet")
        }
        assert len(rows) == 4
        assert {row["reference"] for row in rows.values()} == {"00010|random.s0"}
        assert rows["00010|random.s0"]["value"] == 0.5
        assert rows["00010|random.s0"]["cost"] == 0
        answers = {
            path: pq.read_table(path)["answer"].to_pylist()
            for path in (store.folder / "generations").glob("*/*.parquet")
        }
        assert len({tuple(found) for found in answers.values()}) > 1, "the trials must answer differently"
        for key, row in rows.items():
            if key != "00010|random.s0":
                items = pq.read_table(
                    store.folder / "win_rates" / key.split("|")[0] / "items" / f"{key[6:]}.parquet"
                )
                values = items["value"].to_pylist()
                assert row["value"] == pytest.approx(sum(values) / len(values))
        assert "Win rate against the reference trial" in (store.folder / "label_efficiency.txt").read_text()
        assert desk.run(study).made == []
        # The win rates are lost, the replies are not: the same values come back without a request.
        for path in (store.folder / "win_rates").rglob("*.json"):
            path.unlink()
        again = desk.run(study)
        assert {cell.asset for cell in again.made} == {"win_rates"}
        assert len(server.asked) == asked


def test_a_judge_that_fails_ends_the_run_and_everything_else_is_kept(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(prefers_by_text) as server:
        study = judged_study(tmp_path, {"base_url": server.url, "attempts": 1, "concurrency": 1})
        server.script = [(200, {}, prefers_by_text({"messages": [{"content": "x"}]})), (400, {}, "no")]
        with pytest.raises(RunFailed, match=r"win_rates.*answers 400.*What was paid for is kept"):
            desk.run(study)
        store = desk.store(study).folder
        assert (store / "label_efficiency.html").is_file(), "a stop leaves the report"
        assert len([*(store / "benchmark_scores").glob("*/*.parquet")]) == 4
        paid = len(server.asked) - 1
        finished = desk.run(study)
        assert {cell.asset for cell in finished.made} <= {"win_rates", "label_efficiency"}
        assert paid >= 1
        bodies = [json.dumps(body, sort_keys=True) for body in server.asked]
        assert len(bodies) - len(set(bodies)) == 1, "only the refused request is sent again"


def test_a_judge_is_asked_in_the_studys_own_words(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def second(body: dict[str, Any]) -> str:
        return completion("B", [{"A": math.log(0.25), "B": math.log(0.75)}])

    words = "Q: ${instruction} ${first}: ${first_answer} ${second}: ${second_answer} Which?"
    asked = {"question": words, "system": "You compare.", "labels": ["A", "B"], "budgets": [6]}
    with serving(second) as server:
        study = judged_study(tmp_path, {"base_url": server.url, **asked})
        desk.run(study, assets=["win_rates"], strategies=["k_center"], budgets=[6])
        for body in server.asked:
            system, question = body["messages"]
            assert system == {"role": "system", "content": "You compare."}
            assert question["content"].startswith("Q: Say ")
            assert " A: " in question["content"]
            assert question["content"].endswith(" Which?")
    (row,) = pq.read_table(
        desk.store(study).folder / "win_rates" / "00006" / "k_center.s0.parquet"
    ).to_pylist()
    assert row["value"] == pytest.approx(0.5)  # 1/4 as the first and 3/4 as the second
    with pytest.raises(ValueError, match="must hold each of"):
        judged_study(tmp_path, {"question": "Which is better?"})


def test_a_local_judge_serves_too(desk: Desk, tmp_path: Path) -> None:
    study = judged_study(tmp_path, {"by": "local", "model": "builtin:demo", "template": "{prompt}"})
    desk.run(study, assets=["win_rates"], strategies=["k_center"], budgets=[6])
    path = desk.store(study).folder / "win_rates" / "00006" / "k_center.s0.parquet"
    (row,) = pq.read_table(path).to_pylist()
    assert 0 < row["value"] < 1
    assert (row["n"], row["cost"]) == (4, 0)


@pytest.mark.skipif(REFUSAL is not None, reason=str(REFUSAL))
def test_programs_are_scored_with_the_tasks_and_every_verdict_is_kept(desk: Desk, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([PROBLEM]), tmp_path / "problems.parquet")
    programs = {"problems": str(tmp_path / "problems.parquet"), "n": 3, "k": 2, "max_new_tokens": 6}
    study = tiny_study(evaluation={"humaneval": programs})
    desk.run(study, assets=["base_scores"])
    store = desk.store(study)
    rows = {row["task"]: row for row in pq.read_table(store.folder / "base_scores.parquet").to_pylist()}
    assert (rows["humaneval"]["metric"], rows["humaneval"]["n"]) == ("pass@2", 1)
    items = pq.read_table(store.folder / "items" / "base_scores.parquet").to_pylist()
    samples = [row for row in items if row["task"] == "humaneval" and row["sample"] is not None]
    assert [row["sample"] for row in samples] == [0, 1, 2]
    assert all(row["text"] is not None for row in samples)
    assert all(row["note"] for row in samples if not row["value"])
    (by_problem,) = (r for r in items if r["task"] == "humaneval" and r["sample"] is None)
    assert by_problem["value"] == rows["humaneval"]["value"]
    tasks = [row for row in items if row["task"] == "edsel_demo_choice"]
    assert [row["item"] for row in tasks] == [str(i) for i in range(8)]


# -- what is said before any model is loaded


def problems(study: Study, home: Path) -> str:
    kinds = {"benchmark_scores", "generations", "win_rates"}
    return "\n".join(preflight.problems(study, Home.at(home), kinds))


@pytest.mark.parametrize(
    ("judge", "evaluation", "message"),
    [
        ({}, {}, "the server needs a key in the environment: set OPENAI_API_KEY"),
        ({"key_variable": "MINE"}, {}, "set MINE"),
        ({"base_url": "http://127.0.0.1:9"}, {}, ""),
        ({"instructions": "absent.json"}, {}, "evaluation.judge.instructions: absent.json cannot be read"),
        ({"by": "local", "model": "./nowhere"}, {}, "evaluation.judge.model: there is no folder"),
        ({}, {"humaneval": {"problems": "absent.parquet"}}, "evaluation.humaneval.problems: "),
        ({}, {"backend": "vllm"}, "evaluation.backend: the backend vllm needs the package vllm"),
        ({}, {"backend": "other"}, "evaluation.backend: there is no backend 'other'"),
        ({}, {"tasks": ["humaneval"]}, "evaluation.humaneval scores programs in a sandbox"),
        (
            {},
            {"tasks": [{"name": "edsel_demo_choice", "metric": "exact_match"}]},
            "Task edsel_demo_choice has the metrics acc; exact_match is not one",
        ),
        ({}, {"tasks": [{"name": "gsm8k"}]}, "name one in evaluation.tasks.metric"),
        ({}, {"tasks": ["arc_challenge", "ai2_arc"]}, "ai2_arc is a group that has no score of its own"),
        ({}, {"tasks": [{"name": "truthfulqa_mc2", "num_fewshot": 5}]}, "is defined with 0 examples"),
    ],
)
def test_what_is_missing_or_wrong_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: Any, evaluation: Any, message: str
) -> None:
    for name in ("OPENAI_API_KEY", "MINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("edsel_assets.llm.scoring.backends.find_spec", lambda name: None)
    found = problems(judged_study(tmp_path, judge, **evaluation), tmp_path)
    assert message in found
    assert bool(found) == bool(message)


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ({"max_cost": 3}, "max_cost needs price_prompt and price_reply"),
        ({"kind": "rating", "reference": "6|random.s0"}, "a rating has no reference"),
        ({"by": "local", "base_url": "http://a"}, "base_url is of a server"),
        ({"reference": "7|random.s0"}, "is no trial of this study"),
        ({"reference": "6|random.s9"}, "is no trial of this study"),
        ({"reference": "nonsense"}, "is no trial of this study"),
        ({"template": "no field"}, "exactly once"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, judge: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judged_study(tmp_path, judge)


def test_a_study_without_a_control_has_to_name_the_reference(tmp_path: Path) -> None:
    settings = {"instructions": "x.json", "model": "judge"}
    selection = {"strategies": ["k_center"]}
    with pytest.raises(ValueError, match="the study has no control"):
        tiny_study(selection=selection, evaluation={"judge": settings})
    named = tiny_study(selection=selection, evaluation={"judge": settings | {"reference": "10|k_center.s0"}})
    assert named.reference == "00010|k_center.s0"
    assert tiny_study(evaluation={"judge": settings}).reference == "00010|random.s0"


def test_a_task_with_two_numbers_of_shots_has_two_labels(desk: Desk) -> None:
    task = {"name": "edsel_demo_choice", "limit": 3}
    with pytest.raises(ValueError, match="edsel_demo_choice is there twice; give one of them another label"):
        tiny_study(evaluation={"tasks": [task, task]})
    study = tiny_study(evaluation={"tasks": [task, task | {"label": "again", "limit": 5}]})
    desk.run(study, assets=["base_scores"])
    table = pq.read_table(desk.store(study).folder / "base_scores.parquet").to_pylist()
    assert [(row["task"], row["n"]) for row in table[:2]] == [("edsel_demo_choice", 3), ("again", 5)]
