"""HumanEval for a study: problems from a local file, programs in a sandbox, pass@k."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from edsel_assets.stages.evaluation.items import program_items
from edsel_assets.study import HumanEvalSettings, Study
from edsel_assets.study.trials import HUMANEVAL


def metric_of(settings: HumanEvalSettings) -> str:
    """``pass@10``."""
    return f"pass@{settings.k}"


def problems_of(settings: HumanEvalSettings) -> list[Any]:
    """The problems of the study's file, the first ``limit`` of them.

    Raises:
        ValueError, OSError: no such file, not Parquet, a column missing, or no problem in it.
    """
    from edsel_assets.llm import load_problems

    found = load_problems(Path(settings.problems))[: settings.limit]
    if not found:
        raise ValueError(f"{settings.problems} holds no problem.")
    return found


def score_programs(model: Any, tokenizer: Any, study: Study) -> tuple[dict[str, Any], pa.Table]:
    """(row of scores, table of items) of a model's programs.

    Raises:
        SandboxError: where the system does not give the isolation; nothing was generated then.
    """
    from edsel_assets.llm import humaneval
    from edsel_assets.llm.scoring.humaneval import PROGRAM_LIMITS, pass_at_k

    settings = study.evaluation.humaneval
    assert settings is not None, "asked for without a section evaluation.humaneval"
    found = humaneval(
        model,
        tokenizer,
        problems_of(settings),
        k=settings.k,
        n=settings.n,
        temperature=settings.temperature,
        seed=settings.seed,
        max_new_tokens=settings.max_new_tokens,
        max_prompt_tokens=study.forward.max_prompt_tokens,
        batch_tokens=study.evaluation.batch_tokens,
        template=settings.template,
        allow_code_execution=True,
        limits=replace(PROGRAM_LIMITS, wall=settings.seconds, cpu=math.ceil(settings.seconds)),
        workers=settings.workers,
    )
    passed: dict[str, list[bool]] = {}
    for sample in found.samples:
        passed.setdefault(sample.task_id, []).append(sample.passed)
    by_problem = {name: pass_at_k(len(some), sum(some), settings.k) for name, some in passed.items()}
    metric = metric_of(settings)
    row = {"task": HUMANEVAL, "metric": metric, "value": found.value, "stderr": found.stderr, "n": found.n}
    return row, program_items(found, by_problem, metric)
