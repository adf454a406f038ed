"""Studies that cannot be: each ends the command with one line of file, setting and remedy."""

import subprocess
import sys
from typing import Any

import pytest

from edsel_assets_tests.malformed.conftest import assert_says

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

#: what: (the sections that are changed, what the line says)
STUDIES: dict[str, tuple[dict[str, Any], str]] = {
    "a name with a slash": (
        {"name": "a/b"},
        "line 26: name: should be letters, digits, '_', '.', '-', with ",
    ),
    "a name that climbs": (
        {"name": "../../etc"},
        "line 26: name: should be letters, digits, '_', '.', '-', with ",
    ),
    "a name that is hidden": (
        {"name": ".edsel"},
        "line 26: name: should be letters, digits, '_', '.', '-', with ",
    ),
    "a name that is an option": (
        {"name": "-rf"},
        "line 26: name: should be letters, digits, '_', '.', '-', with ",
    ),
    "an empty name": ({"name": ""}, "line 26: name: should be letters, digits, '_', '.', '-', with "),
    "a name with a space": (
        {"name": "my study"},
        "line 26: name: should be letters, digits, '_', '.', '-', with ",
    ),
    "a name in another script": (
        {"name": "étude"},
        "line 26: name: should be letters, digits, '_', '.', '-', with ",
    ),
    "a name longer than a file's": ({"name": "x" * 300}, "line 26: name: should have at most 100 characters"),
    "a name that is a list": ({"name": ["x"]}, "line 26: name: should be text (put it in quotes)"),
    "no gammas": ({"selection": {"gammas": []}}, "line 38: selection.gammas: should have at least 1"),
    "a gamma of 0": (
        {"selection": {"gamma": 0}},
        "line 37: selection.gamma: should be greater than 0 or should b",
    ),
    "a gamma below 0 among gammas": (
        {"selection": {"gammas": [1.0, -0.5]}},
        "line 40: selection.gammas.1: should be greater than 0",
    ),
    "a gamma in words": (
        {"selection": {"gamma": "wide"}},
        "line 37: selection.gamma: should be a number or should be 'aut",
    ),
    "a gamma that overflows": (
        {"selection": {"gammas": [1e308 * 10]}},
        "line 39: selection.gammas.0: should be a finite number;",
    ),
    "no budgets": ({"selection": {"budgets": []}}, "line 34: selection.budgets: should have at least 1"),
    "a budget of 0": (
        {"selection": {"budgets": [0, 10]}},
        "line 35: selection.budgets.0: should be greater than or equal ",
    ),
    "a budget below 0": (
        {"selection": {"budgets": [-5]}},
        "line 35: selection.budgets.0: should be greater than or equal ",
    ),
    "half a prompt": (
        {"selection": {"budgets": [10.5]}},
        "line 35: selection.budgets.0: should be a whole number",
    ),
    "a budget in words": (
        {"selection": {"budgets": ["ten"]}},
        "line 35: selection.budgets.0: should be a whole number",
    ),
    "a budget twice": (
        {"selection": {"budgets": [10, 10]}},
        "line 34: selection.budgets: must not repeat a value;",
    ),
    "one number for budgets": (
        {"selection": {"budgets": 10}},
        "line 34: selection.budgets: should be a list",
    ),
    "no strategies": (
        {"selection": {"strategies": []}},
        "line 41: selection.strategies: should have at least 1",
    ),
    "a strategy twice": (
        {"selection": {"strategies": ["random", "random"]}},
        "line 41: selection.strategies: must not repeat a value;",
    ),
    "an unknown strategy": (
        {"selection": {"strategies": ["best"]}},
        "line 42: selection.strategies.0: no strategy 'best';",
    ),
    "budgets of a strategy that is not there": (
        {"selection": {"budgets_of": {"kmeans": [5]}}},
        "line 33: selection: budgets_of names kmeans, which is not amon",
    ),
    "a variant of nothing": (
        {"selection": {"variants": {"mine": {"strategy": "best"}}}},
        "line 50: selection.variants.mine.strategy: no strategy 'best';",
    ),
    "a variant named as a strategy": (
        {"selection": {"variants": {"random": {"strategy": "k_center"}}}},
        "line 33: selection: random is a strategy's own name;",
    ),
    "no counts of clusters": (
        {"clustering": {"counts": []}},
        "line 1: clustering: clustering.counts must be distinct and not",
    ),
    "no cluster": (
        {"clustering": {"counts": [0], "count": 0}},
        "line 4: clustering.counts.0: should be greater than or equal t",
    ),
    "a count that is not among the counts": (
        {"clustering": {"count": 5}},
        "line 1: clustering: clustering.count must be one of clustering",
    ),
    "a limit of 0": ({"pool": {"limit": 0}}, "line 28: pool.limit: should be greater than or equal to 1"),
    "a limit below 0": ({"pool": {"limit": -1}}, "line 28: pool.limit: should be greater than or equal to 1"),
    "an unknown format": (
        {"pool": {"format": "xml"}},
        "line 28: pool.format: should be 'auto', 'parquet', 'arrow', 'jsonl', 'j",
    ),
    "a column that is none": (
        {"pool": {"columns": {"promt": "text"}}},
        "line 29: pool.columns.promt: should be 'prompt', 'context', 'r",
    ),
    "a path that is a number": (
        {"pool": {"path": 7}},
        "line 29: pool.path: should be text (put it in quotes) or shoul",
    ),
    "an unknown precision": (
        {"model": {"dtype": "float7"}},
        "line 25: model.dtype: should be 'auto', 'float32', 'bfloat16' ",
    ),
    "an unknown device": ({"model": {"device": "tpu"}}, "model.device: should be auto, cpu, mps, cuda or "),
    "no rank": (
        {"finetuning": {"rank": 0}},
        "line 18: finetuning.rank: should be greater than or equal to 1",
    ),
    "no epoch": (
        {"finetuning": {"epochs": 0}},
        "line 15: finetuning.epochs: should be greater than or equal to",
    ),
    "a rate of 0": (
        {"finetuning": {"learning_rate": 0}},
        "line 16: finetuning.learning_rate: should be greater than 0",
    ),
    "a rate in words": (
        {"finetuning": {"learning_rate": "small"}},
        "line 16: finetuning.learning_rate: should be a number",
    ),
    "a batch of none": (
        {"finetuning": {"batch_size": 0}},
        "line 14: finetuning.batch_size: should be greater than or equa",
    ),
    "no trial": (
        {"finetuning": {"seeds": 0}},
        "line 19: finetuning.seeds: should be greater than or equal to ",
    ),
    "a task without a name": (
        {"evaluation": {"tasks": [{"limit": 8}]}},
        "line 11: evaluation.tasks.0.name: is required",
    ),
    "a task twice": (
        {"evaluation": {"tasks": [{"name": "edsel_demo_choice"}] * 2}},
        "line 10: evaluation.tasks: edsel_demo_choice is there twice;",
    ),
    "no round": ({"rounds": {"rounds": 0}}, "line 32: rounds.rounds: should be greater than or equal to 2"),
    "a section that is text": (
        {"forward": "fast"},
        "line 20: forward: should be a section of settings (name: value",
    ),
    "an unknown section": (
        {"training": {"epochs": 3}},
        "line 48: training: no such setting (check the spelling)",
    ),
    "an unknown setting": (
        {"forward": {"batchsize": 3}},
        "line 21: forward.batchsize: no such setting (check the spellin",
    ),
    "a key in an address": (
        {"embeddings": {"base_url": "https://u:secretsecret1@host/v1"}},
        "line 8: embeddings.base_url is an address with a password or k",
    ),
    "an address without a scheme": (
        {"embeddings": {"source": "openai", "base_url": "host/v1", "name": "m"}},
        "line 8: embeddings.base_url: should begin with http:// or http",
    ),
    "a trigger without a clock": (
        {"triggers": {"nightly": {"cron": "never"}}},
        "line 48: triggers: should be a list",
    ),
    "a price below 0": (
        {"annotation": {"price": -1}},
        "line 2: annotation.price: should be greater than or equal to 0",
    ),
}


@pytest.mark.parametrize("case", STUDIES)
def test_a_wrong_study_is_one_line_of_file_setting_and_remedy(case, edsel, study_with) -> None:
    sections, message = STUDIES[case]
    study = study_with(**sections)
    said = edsel.refuses("run", "--study", study, "--only", "embeddings")
    assert_says(said, message)
    assert study in said
    assert "secretsecret1" not in said
    assert len(said) < 1000


def test_an_alias_bomb_is_refused_within_a_second_and_takes_no_memory(tmp_path) -> None:
    """In a process of its own, so that its largest memory is what the study took."""
    (tmp_path / "bomb.yaml").write_text(BOMB + "name: *i\nselection: *h\n", encoding="utf-8")
    script = (
        "import re, sys, time\n"
        "from edsel_assets.study import Study, StudyError\n"
        "start = time.process_time()\n"
        "try:\n    Study.load(sys.argv[1])\nexcept StudyError as error:\n    print(str(error))\n"
        "print(time.process_time() - start)\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "bomb.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    said, seconds, megabytes = done.stdout.splitlines()
    assert "grows to more than 20000 values" in said
    assert float(seconds) < 1
    assert int(megabytes) < 300
