"""Task definitions of a rehearsal: the study's own but for data and lengths."""

import json
from pathlib import Path
from typing import Any

import pytest

from edsel_assets.llm.scoring.tasks import in_directory, load_tasks, quiet
from edsel_assets.rehearsal.definitions import Tasks, write_tasks
from edsel_assets.rehearsal.sizes import Size
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.rehearsal.test_scaled import shipped

CHOICE = """
task: {name}
dataset_path: {data}
output_type: multiple_choice
test_split: test
fewshot_split: test
doc_to_text: "{{{{strange}}}}"
doc_to_choice: options
doc_to_target: key
metric_list:
  - metric: acc
  - metric: acc_norm
"""
SCORED_BY_CODE = "process_results: !function own.score\n"
ROLLING = """
task: rolling
dataset_path: nobody/has
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{page}}"
metric_list:
  - metric: word_perplexity
"""


def study_of(*tasks: Any, **evaluation: Any) -> Study:
    return tiny_study(evaluation={"tasks": list(tasks), **evaluation})


def loaded(folder: Path, *names: str, shots: int | None = None, data: Path | None = None) -> dict[str, Any]:
    with quiet(), in_directory(data):
        return load_tasks(names, str(folder), data and str(data), (shots,) * len(names)).tasks


@pytest.fixture(scope="module")
def papers(tmp_path_factory) -> tuple[Path, Tasks]:
    """The definitions of both papers' tasks, on made-up items."""
    study = shipped("yu2024")
    both = [*study.evaluation.tasks, *shipped("bhatt2024").evaluation.tasks[1:]]
    folder = tmp_path_factory.mktemp("tasks")
    found = write_tasks(
        study.model_copy(update={"evaluation": study.evaluation.model_copy(update={"tasks": both})}),
        Size(),
        None,
        folder,
    )
    return folder, found


def test_the_papers_tasks_are_all_made_up_where_no_data_is(papers) -> None:
    _, found = papers
    names = ["mmlu", "gsm8k", "hellaswag", "arc_challenge", "truthfulqa_mc2", "bbh_cot_fewshot"]
    assert found.made_up == names
    assert not found.own
    assert not found.left_out
    assert found.data_sets == dict.fromkeys(
        [
            "cais/mmlu",
            "openai/gsm8k",
            "Rowan/hellaswag",
            "allenai/ai2_arc",
            "truthfulqa/truthful_qa",
            "SaylorTwift/bbh",
        ]
    )


def test_definitions_are_the_tasks_own_but_for_data_and_length(papers) -> None:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    folder, _ = papers
    whole = TaskManager().task_index
    differs = {"dataset_kwargs", "custom_dataset", "generation_kwargs"}
    for file in folder.glob("*.yaml"):
        made = load_yaml(file, resolve_func=False)
        name = made.get("task") if "group" not in made else made["group"]
        own = load_yaml(whole[name].yaml_path, resolve_func=False)
        if "group" in made:
            assert made["aggregate_metric_list"] == own["aggregate_metric_list"]
            assert len(made["task"]) == 2
            continue
        assert {key: value for key, value in made.items() if key not in differs} == {
            key: value for key, value in own.items() if key not in differs
        }
        if own["output_type"] == "generate_until":
            assert made["generation_kwargs"]["until"] == own["generation_kwargs"]["until"]
            assert made["generation_kwargs"]["max_gen_toks"] == 8


@pytest.mark.parametrize(
    ("name", "shots", "holds"),
    [
        ("hellaswag", 10, "Sums: What is 1 + 2? The sum"),
        ("arc_challenge", 25, "Question: What is 1 + 2?\nAnswer:"),
        ("gsm8k", 5, "Question: What is 1 + 2?\nAnswer:"),
        ("truthfulqa_mc2", 0, "Q: What is 1 + 2?\nA:"),
    ],
)
def test_made_up_items_are_put_by_the_tasks_own_prompts(papers, name, shots, holds) -> None:
    task = loaded(papers[0], name, shots=shots)[name]
    first = next(iter(task.eval_docs))
    text = task.fewshot_context(first, shots)
    assert text.rstrip().endswith(holds.rstrip())
    assert text.count("What is ") == shots + 1 + (name == "truthfulqa_mc2") * 2  # two in its own examples


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_data_at_hand_is_read(tmp_path) -> None:
    own = write(tmp_path / "own", "mine", CHOICE.format(name="mine", data="some/where"))
    place = tmp_path / "hub" / "some" / "where"
    place.mkdir(parents=True)
    rows = [{"strange": f"say {n}", "options": ["a", "b"], "key": n % 2} for n in range(4)]
    (place / "test.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    study = study_of("mine", include_path=str(own))
    found = write_tasks(study, Size(), tmp_path / "hub", tmp_path / "made")
    assert found.own == ["mine"]
    assert found.data_sets == {"some/where": str(place)}
    task = loaded(tmp_path / "made", "mine", data=tmp_path / "hub")["mine"]
    assert [doc["strange"] for doc in task.eval_docs] == ["say 0", "say 1", "say 2", "say 3"]


def test_a_task_of_unknown_columns_reads_plain_items(tmp_path) -> None:
    own = write(tmp_path / "own", "mine", CHOICE.format(name="mine", data="nobody/has"))
    study = study_of({"name": "mine", "num_fewshot": 3}, include_path=str(own))
    found = write_tasks(study, Size(), None, tmp_path / "made")
    assert found.made_up == ["mine"]
    task = loaded(tmp_path / "made", "mine", shots=3)["mine"]
    doc = next(iter(task.eval_docs))
    assert (task.doc_to_text(doc), task.doc_to_choice(doc)) == (
        "What is 1 + 2?\nAnswer:",
        ["3", "4", "5", "6"],
    )
    assert [entry["metric"] for entry in task.get_config("metric_list")] == ["acc", "acc_norm"]


def test_what_cannot_be_made_up_is_left_out_with_the_reason(tmp_path) -> None:
    own = write(tmp_path / "own", "coded", CHOICE.format(name="coded", data="nobody/has") + SCORED_BY_CODE)
    (own / "own.py").write_text("def score(doc, results):\n    return {}\n", encoding="utf-8")
    write(own, "rolling", ROLLING)
    found = write_tasks(study_of("coded", "rolling", include_path=str(own)), Size(), None, tmp_path / "made")
    assert not found.names
    assert "scores are computed by code of its own" in found.left_out["coded"]
    assert "loglikelihood_rolling has no made-up items" in found.left_out["rolling"]
