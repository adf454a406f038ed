"""HumanEval (Chen et al. 2021, "Evaluating Large Language Models Trained on Code"): programs, and pass@k.

A model completes the head of a function; a completion passes if the problem's own tests pass on it. Programs
run in :mod:`.sandbox` alone, and only if the caller says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..models.templates import format_prompt
from .sandbox import Limits, Result, SandboxError, run_program, sandbox_refusal

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where a completion ends (Chen et al. 2021, Section 2.2): the function is over."""

PROGRAM_LIMITS = Limits(wall=10.0, cpu=5)
"""Of one completion with its tests."""

COLUMNS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


@dataclass(frozen=True)
class Problem:
    """``prompt``: imports, signature and docstring. ``test`` defines ``check(candidate)``, for the function
    named ``entry_point``."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    def program(self, completion: str) -> str:
        """The function with its tests, which raise unless all pass."""
        return f"{self.prompt}{completion}\n\n{self.test}\n\ncheck({self.entry_point})\n"


@dataclass(frozen=True)
class Sample:
    """One completion, cut at the first stop, and how its program ended."""

    task_id: str
    completion: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class HumanEval:
    """``value``: mean pass@k over ``n`` problems, in [0, 1]; higher is better. ``stderr`` over problems.

    ``samples``: of each problem its completions, in their order.
    """

    value: float
    stderr: float
    n: int
    samples: list[Sample]


def load_problems(folder: str | os.PathLike[str]) -> list[Problem]:
    """The problems of a Parquet file, or of a folder as the hub's ``openai/openai_humaneval``, in order.

    Raises ``ValueError`` where there is no Parquet file, or one without the columns.
    """
    import pyarrow.parquet as pq

    path = Path(folder)
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise ValueError(f"HumanEval's problems are not in {folder}: no Parquet file. Give its folder.")
    problems = []
    for file in files:
        missing = sorted(set(COLUMNS) - set(pq.read_schema(file).names))
        if missing:
            raise ValueError(f"{file} has no column {missing[0]!r}; HumanEval needs {', '.join(COLUMNS)}.")
        problems += [Problem(**row) for row in pq.read_table(file, columns=list(COLUMNS)).to_pylist()]
    return problems


def truncate(completion: str, stops: Sequence[str] = STOPS) -> str:
    """``completion`` up to the first place where any of ``stops`` begins."""
    found = [place for place in (completion.find(stop) for stop in stops) if place >= 0]
    return completion[: min(found)] if found else completion


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased estimate of P(at least one of k draws passes) from n draws, of which ``correct`` passed.

    1 - C(n - c, k) / C(n, k), as the product 1 - prod over i in (n - c, n] of (1 - k / i), which neither
    overflows nor cancels (Chen et al. 2021, Equation 1 and Figure 3).

    Raises ``ValueError`` unless 1 <= k <= n and 0 <= correct <= n.
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ValueError(
            f"pass@k needs 1 <= k <= n and 0 <= correct <= n; got k {k}, n {n}, correct {correct}."
        )
    if n - correct < k:
        return 1.0
    return 1.0 - float(np.prod(1.0 - k / np.arange(n - correct + 1, n + 1)))


def sample_completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[Problem],
    n: int,
    *,
    temperature: float = 0.8,
    seed: int = 0,
    max_new_tokens: int = 512,
    max_prompt_tokens: int = 2048,
    batch_tokens: int = 8192,
    template: str | None = None,
    stops: Sequence[str] = STOPS,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[str]]:
    """``n`` completions of each problem, cut at the first stop.

    Args:
        temperature: of the sampling; 0 is greedy, where all n are the same.
        seed, max_new_tokens, max_prompt_tokens, batch_tokens, progress: as in ``generate``.
        template: what the model reads around the prompt, which it holds as ``{prompt}``; the prompt alone
            without it.

    Raises ``ValueError`` for n under 1, or as ``generate`` does.
    """
    from ..reading.generation import generate

    if n < 1:
        raise ValueError(f"n must be at least 1 completion per problem; got {n}.")
    texts = [format_prompt(template or "{prompt}", problem.prompt) for problem in problems]
    answers = generate(
        model,
        tokenizer,
        [text for text in texts for _ in range(n)],
        max_new_tokens=max_new_tokens,
        max_prompt_tokens=max_prompt_tokens,
        batch_tokens=batch_tokens,
        temperature=temperature,
        seed=seed,
        progress=progress,
    )
    cut = [truncate(answer, stops) for answer in answers]
    return [cut[first : first + n] for first in range(0, len(cut), n)]


def run_completions(
    problems: Sequence[Problem],
    completions: Sequence[Sequence[str]],
    *,
    allow_code_execution: bool = False,
    limits: Limits = PROGRAM_LIMITS,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Run every completion of each problem against its tests, each in a sandbox of its own.

    Args:
        completions: as many per problem as one likes.
        workers: programs at a time; as many as there are processors without it.
        progress: called with (programs done, programs in all).

    Raises:
        ValueError: unless ``allow_code_execution``, or where problems and completions do not match.
        SandboxError: where the system does not give the isolation; nothing ran then.
    """
    check_code_execution(allow_code_execution)
    if len(problems) != len(completions):
        raise ValueError(
            f"{len(problems)} problems need as many lists of completions; got {len(completions)}."
        )
    pairs = [(problem, text) for problem, some in zip(problems, completions, strict=True) for text in some]

    def run(pair: tuple[Problem, str]) -> Result:
        return run_program(pair[0].program(pair[1]), limits=limits)

    samples = []
    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        for (problem, text), result in zip(pairs, pool.map(run, pairs), strict=True):
            samples.append(Sample(problem.task_id, text, result.passed, result.reason))
            if progress is not None:
                progress(len(samples), len(pairs))
    return samples


def check_code_execution(allow_code_execution: bool) -> None:
    """Raise ``ValueError`` unless allowed, and ``SandboxError`` where the sandbox cannot be had."""
    if not allow_code_execution:
        raise ValueError(
            "HumanEval runs programs that the model writes. Set allow_code_execution if you want that; "
            "they run in a sandbox."
        )
    refusal = sandbox_refusal()
    if refusal is not None:
        raise SandboxError(refusal)


def humaneval(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[Problem],
    *,
    k: int = 10,
    n: int = 20,
    temperature: float = 0.8,
    seed: int = 0,
    max_new_tokens: int = 512,
    max_prompt_tokens: int = 2048,
    batch_tokens: int = 8192,
    template: str | None = None,
    stops: Sequence[str] = STOPS,
    allow_code_execution: bool = False,
    limits: Limits = PROGRAM_LIMITS,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> HumanEval:
    """pass@k of ``model``, from ``n`` completions per problem; n = 20, k = 10, T = 0.8 in Yu et al. 2024.

    Arguments and errors are those of :func:`sample_completions` and :func:`run_completions`. Whether
    programs may run is asked before anything is generated.
    """
    check_code_execution(allow_code_execution)
    pass_at_k(n, 0, k)
    if not problems:
        raise ValueError("HumanEval needs at least one problem.")
    completions = sample_completions(
        model,
        tokenizer,
        problems,
        n,
        temperature=temperature,
        seed=seed,
        max_new_tokens=max_new_tokens,
        max_prompt_tokens=max_prompt_tokens,
        batch_tokens=batch_tokens,
        template=template,
        stops=stops,
        progress=progress,
    )
    samples = run_completions(
        problems, completions, allow_code_execution=True, limits=limits, workers=workers
    )
    return mean_pass_at_k(samples, k)


def mean_pass_at_k(samples: Sequence[Sample], k: int) -> HumanEval:
    """Mean of pass@k over the problems that ``samples`` are of; ``stderr`` is NaN for a single one."""
    passed: dict[str, list[bool]] = {}
    for sample in samples:
        passed.setdefault(sample.task_id, []).append(sample.passed)
    values = np.array([pass_at_k(len(some), sum(some), k) for some in passed.values()])
    if not len(values):
        raise ValueError("pass@k needs at least one sample.")
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return HumanEval(float(values.mean()), float(error), len(values), list(samples))
