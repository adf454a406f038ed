from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from edsel_assets.llm.scoring import humaneval as module
from edsel_assets.llm.scoring.humaneval import (
    Problem,
    humaneval,
    load_problems,
    mean_pass_at_k,
    pass_at_k,
    run_completions,
    sample_completions,
    truncate,
)
from edsel_assets.llm.scoring.sandbox import SandboxError, sandbox_refusal
from edsel_assets_tests.llm import tiny

REFUSAL = sandbox_refusal()
runs_programs = pytest.mark.skipif(REFUSAL is not None, reason=str(REFUSAL))
TWICE = Problem(
    "t/0",
    'def twice(x):\n    """2 x."""\n',
    "twice",
    "    return 2 * x\n",
    "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-1) == -2\n",
)
SQUARE = Problem(
    "t/1", "def square(x):\n", "square", "    return x * x\n", "def check(f):\n    assert f(3) == 9\n"
)


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_draws_that_hold_a_success(n: int) -> None:
    for correct in range(n + 1):
        outcomes = [True] * correct + [False] * (n - correct)
        for k in range(1, n + 1):
            share = np.mean([any(draw) for draw in combinations(outcomes, k)])
            assert pass_at_k(n, correct, k) == pytest.approx(share, abs=1e-12)


def test_pass_at_k_is_stable_for_many_draws() -> None:
    # 1 - C(99999, 100) / C(100000, 100) = 100 / 100000
    assert pass_at_k(100_000, 1, 100) == pytest.approx(1e-3, rel=1e-9)


@pytest.mark.parametrize(("n", "correct", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 6), (5, 1, 0)])
def test_pass_at_k_refuses_what_has_no_meaning(n: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="1 <= k <= n"):
        pass_at_k(n, correct, k)


def test_a_completion_ends_where_the_function_ends() -> None:
    assert truncate("    return 1\n\ndef other():\n    pass\nprint(1)") == "    return 1\n"
    assert truncate("    # inside\n    return 1") == "    # inside\n    return 1"
    assert truncate("    a\nprint(1)\ndef f") == "    a"
    assert truncate("abc", stops=["b", "a"]) == ""


def test_problems_are_read_from_the_hubs_layout(data: Path, tmp_path: Path) -> None:
    folder = data / "hub" / "openai" / "openai_humaneval"
    if not folder.is_dir():
        pytest.skip(f"no HumanEval in {folder}")
    problems = load_problems(folder)
    assert len(problems) == 164
    assert [problem.task_id for problem in problems] == [f"HumanEval/{i}" for i in range(164)]
    with pytest.raises(ValueError, match="no Parquet file"):
        load_problems(tmp_path)


@runs_programs
def test_reference_solutions_pass_and_empty_ones_fail(data: Path) -> None:
    folder = data / "hub" / "openai" / "openai_humaneval"
    if not folder.is_dir():
        pytest.skip(f"no HumanEval in {folder}")
    problems = load_problems(folder)[::40]
    completions = [[problem.canonical_solution, "    pass\n"] for problem in problems]
    samples = run_completions(problems, completions, allow_code_execution=True)
    assert [sample.passed for sample in samples] == [True, False] * len(problems)
    assert all(sample.reason for sample in samples if not sample.passed)
    assert mean_pass_at_k(samples, 1).value == 0.5
    assert mean_pass_at_k(samples, 2).value == 1.0


@runs_programs
def test_the_mean_is_over_problems_with_its_standard_error() -> None:
    right = [TWICE.canonical_solution, SQUARE.canonical_solution]
    completions = [[right[0], "    return 4\n", "    exit()\n", right[0]], ["    return 1\n"] * 4]
    samples = run_completions([TWICE, SQUARE], completions, allow_code_execution=True, workers=2)
    assert [sample.passed for sample in samples] == [True, False, False, True] + [False] * 4
    # Problem 0 has 2 of 4, so that pass@2 = 1 - 1/6; problem 1 has none.
    found = mean_pass_at_k(samples, 2)
    assert found.value == pytest.approx(5 / 12)
    assert found.stderr == pytest.approx(5 / 12)  # |5/6 - 0| / sqrt(2) / sqrt(2)
    assert found.n == 2


def test_nothing_runs_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_program", lambda *a, **k: pytest.fail("a program ran"))
    monkeypatch.setattr(module, "sandbox_refusal", lambda: "no sandbox here.")
    with pytest.raises(ValueError, match="Set allow_code_execution"):
        run_completions([TWICE], [["    pass\n"]])
    with pytest.raises(ValueError, match="Set allow_code_execution"):
        humaneval(None, None, [TWICE])  # type: ignore[arg-type]
    with pytest.raises(SandboxError, match="no sandbox here"):
        run_completions([TWICE], [["    pass\n"]], allow_code_execution=True)


@runs_programs
def test_a_model_is_sampled_and_scored() -> None:
    model, tokenizer = tiny.byte_model(), tiny.byte_tokenizer()
    settings = {"max_new_tokens": 8, "max_prompt_tokens": 64, "batch_tokens": 512}
    found = sample_completions(model, tokenizer, [TWICE, SQUARE], 3, **settings)
    assert [len(some) for some in found] == [3, 3]
    assert len(set(found[0])) > 1
    assert found == sample_completions(model, tokenizer, [TWICE, SQUARE], 3, **settings)
    score = humaneval(model, tokenizer, [TWICE, SQUARE], n=3, k=2, allow_code_execution=True, **settings)
    assert [sample.completion for sample in score.samples] == found[0] + found[1]
    assert score.value == 0.0  # random weights write no Python
