"""Tasks found in the few folders that they need are those that lm-eval finds among all."""

import pytest

from edsel_assets.llm.scoring import task_files
from edsel_assets.llm.scoring.definitions import leaves
from edsel_assets.llm.scoring.tasks import check_tasks, task_index


@pytest.fixture(scope="module")
def whole():
    """lm-eval's own index of all of its files."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def test_every_name_of_lm_eval_is_found_in_its_folder(whole) -> None:
    from lm_eval.tasks._index import Kind

    root, missed = task_files._tasks_folder(), []
    for name, entry in whole.task_index.items():
        members = [whole.task_index[member] for member in entry.tags] if entry.kind == Kind.TAG else [entry]
        for member in members:
            if str(root / member.yaml_path.relative_to(root).parts[0]) not in task_files.folders_of([name]):
                missed.append(name)
    assert len(whole.task_index) > 10_000
    assert missed == []


@pytest.mark.parametrize(
    "name",
    [
        "mmlu",
        "mmlu_stem",
        "bbh_cot_fewshot",
        "gsm8k",
        "leaderboard",
        "openllm",
        "mgsm_direct",
        "mmlu_generative",
    ],
)
def test_what_is_below_a_name_is_the_same(name, whole) -> None:
    narrow = task_index([name])
    assert len(narrow.task_index) < 1000
    assert dict(leaves(narrow, name)) == dict(leaves(whole, name))
    paths = {leaf: narrow.task_index[leaf].yaml_path for leaf, _ in leaves(narrow, name)}
    assert paths == {leaf: whole.task_index[leaf].yaml_path for leaf in paths}


def test_a_name_near_a_task_of_lm_eval_is_told() -> None:
    with pytest.raises(ValueError, match=r"no task 'gsm8kk' in lm-eval; near matches: gsm8k, "):
        check_tasks(["mmlu", "gsm8kk"])


def test_words_that_name_nothing_are_in_no_folder() -> None:
    assert task_files.folders_of(["no_such_task_at_all"]) == set()
