from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from edsel_assets.llm.scoring.evaluation import Score, check_tasks, evaluate, sampled_ids
from edsel_assets_tests.llm.tiny import byte_model, byte_tokenizer

CHOICE = """
task: edsel_test_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
fewshot_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}} Answer:"
doc_to_choice: ["yes", "no", "perhaps"]
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
metadata: {{version: 1.0}}
"""
CODE = """
task: edsel_test_code
unsafe_code: true
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["x"], max_gen_toks: 4}}
metadata: {{version: 1.0}}
"""
GROUP = """
group: edsel_test_group
task: [edsel_test_choice, edsel_test_code]
"""
ANSWERS = ["yes", "no", "perhaps"]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of task definitions over thirty questions of our own."""
    root = tmp_path_factory.mktemp("evaluation")
    data = root / "data.jsonl"
    rows = [{"question": f"Is {i} even?", "answer": i % 3} for i in range(30)]
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    folder = root / "tasks"
    folder.mkdir()
    (folder / "choice.yaml").write_text(CHOICE.format(data=data), encoding="utf-8")
    (folder / "code.yaml").write_text(CODE.format(data=data), encoding="utf-8")
    (folder / "group.yaml").write_text(GROUP, encoding="utf-8")
    return folder


def run(folder: Path, **changes: Any) -> list[Score]:
    arguments = {"tasks": ["edsel_test_choice"], "include_path": folder} | changes
    return evaluate(byte_model(), byte_tokenizer(), **arguments)


def test_accuracy_is_that_of_a_plain_loop(tasks: Path) -> None:
    model, tokenizer = byte_model(), byte_tokenizer()
    right = []
    for i in range(30):
        values = []
        for answer in ANSWERS:
            context = tokenizer(f"Is {i} even? Answer:")["input_ids"]
            tail = tokenizer(" " + answer)["input_ids"]
            logprobs = model(torch.tensor([context + tail])).logits[0].double().log_softmax(-1)
            values.append(sum(logprobs[len(context) + j - 1, t].item() for j, t in enumerate(tail)))
        right.append(max(range(3), key=lambda c: values[c]) == i % 3)
    share = sum(right) / 30
    accuracy = next(score for score in run(tasks) if score.metric == "acc")
    assert accuracy.value == pytest.approx(share)
    # The sample standard deviation of zeros and ones over the root of their number.
    assert accuracy.stderr == pytest.approx(math.sqrt(share * (1 - share) / 29))
    assert accuracy.n == 30


def test_repeats_and_does_not_depend_on_batches(tasks: Path) -> None:
    first = run(tasks, num_fewshot=2)
    assert first == run(tasks, num_fewshot=2)
    assert first == run(tasks, num_fewshot=2, batch_tokens=150)
    assert [score.metric for score in first] == ["acc", "acc_norm"]


def test_few_shot_examples_reach_the_prompt(tasks: Path, tmp_path: Path) -> None:
    run(tasks, num_fewshot={"edsel_test_choice": 1}, limit=2, samples_path=tmp_path)
    run(tasks, limit=2, samples_path=tmp_path / "zero")
    line = (tmp_path / "edsel_test_choice.jsonl").read_text().splitlines()[0]
    plain = (tmp_path / "zero" / "edsel_test_choice.jsonl").read_text().splitlines()[0]
    assert json.loads(line)["arguments"][0][0].count("Answer:") == 2
    assert json.loads(plain)["arguments"][0][0].count("Answer:") == 1


def test_limit_and_share_take_that_many_items(tasks: Path, tmp_path: Path) -> None:
    assert {score.n for score in run(tasks, limit=7)} == {7}
    assert {score.n for score in run(tasks, sample_share=0.2, samples_path=tmp_path)} == {6}
    picks = sampled_ids(["edsel_test_choice"], sample_share=0.2, include_path=tasks)["edsel_test_choice"]
    lines = (tmp_path / "edsel_test_choice.jsonl").read_text().splitlines()
    assert [json.loads(line)["doc_id"] for line in lines] == picks
    assert [json.loads(line)["doc"]["question"] for line in lines] == [f"Is {i} even?" for i in picks]
    other = sampled_ids(["edsel_test_choice"], sample_share=0.2, sample_seed=1, include_path=tasks)
    assert other["edsel_test_choice"] != picks


def test_tasks_are_checked_without_a_model(tasks: Path) -> None:
    check_tasks(["edsel_test_choice"], tasks)
    with pytest.raises(ValueError, match=r"'edsel_test_choise'.*near matches: edsel_test_choice"):
        check_tasks(["edsel_test_choise"], tasks)
    for name in ("edsel_test_code", "edsel_test_group"):
        with pytest.raises(ValueError, match="runs code that the model writes"):
            check_tasks([name], tasks)
    check_tasks(["edsel_test_code"], tasks, allow_code_execution=True)
    with pytest.raises(ValueError, match="runs code"):
        check_tasks(["humaneval"], tasks)
    with pytest.raises(ValueError, match="no tasks"):
        check_tasks([])
    with pytest.raises(ValueError, match="no folder of task definitions"):
        check_tasks(["edsel_test_choice"], tasks / "missing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 0}, "limit must be a whole number"),
        ({"sample_share": 1.5}, r"sample_share must lie in \(0, 1\]"),
        ({"limit": 3, "sample_share": 0.5}, "not both"),
        ({"num_fewshot": {"other": 1}}, r"num_fewshot names \['other'\]"),
        ({"data_directory": "/missing"}, "no data directory"),
        ({"tasks": ["edsel_test_choice", "edsel_test_choice"]}, "asked for twice"),
    ],
)
def test_bad_arguments_are_refused(tasks: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(tasks, **changes)


def test_dropout_is_off_meanwhile(tasks: Path) -> None:
    model = byte_model("gpt2")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.9
    arguments: dict[str, Any] = {"tasks": ["edsel_test_choice"], "include_path": tasks}
    expected = evaluate(model, byte_tokenizer(), **arguments)
    model.train()
    assert evaluate(model, byte_tokenizer(), **arguments) == expected
    assert all(module.training for module in model.modules())


def test_the_working_directory_is_given_back(tasks: Path, tmp_path: Path) -> None:
    before = Path.cwd()
    run(tasks, limit=1, data_directory=tmp_path)
    assert Path.cwd() == before


STOCK = ["arc_challenge", "truthfulqa_mc2", "mmlu_astronomy", "mmlu_anatomy"]


@pytest.mark.parametrize(
    ("names", "limit"),
    [(STOCK, 8), pytest.param(["gsm8k"], 5, marks=pytest.mark.slow)],
    ids=["choice", "gsm8k"],
)
def test_stock_tasks_equal_lm_eval_s_own_model(names: list[str], limit: int, tasks: Path, data: Path) -> None:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from edsel_assets.llm.scoring import tasks as stock

    path = data / "models" / "tinystories-260k"
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path)
    shots = {"mmlu_astronomy": 1, "gsm8k": 1}
    wanted = {name: count for name, count in shots.items() if name in names}
    settings = {"data_directory": data / "hub", "limit": limit, "num_fewshot": wanted}
    ours = evaluate(model, tokenizer, tasks=names, include_path=tasks, **settings)
    manager = stock.task_index(names, tasks)
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8)
    with stock.quiet(), stock.in_directory(data / "hub"):
        for name in names:
            results = lm_eval.simple_evaluate(
                lm,
                tasks=[name],
                limit=limit,
                num_fewshot=shots.get(name),
                task_manager=manager,
                log_samples=False,
            )
            theirs = results["results"][name]
            for score in (score for score in ours if score.task == name):
                key = score.metric if "," in score.metric else f"{score.metric},none"
                assert score.value == pytest.approx(theirs[key], rel=1e-4)
                assert score.n == limit
