"""Group ``evaluation``: scores of the base model and of every trial, its answers, a judge's word on them."""

from collections.abc import Mapping, Sequence
from typing import Any

from edsel_assets.keys import key_parts, partition_key
from edsel_assets.kinds.checks import FINITE, NO_BENCHMARK_ITEM
from edsel_assets.kinds.deciding import ADAPTED, MODEL, PASS, TEMPLATED, flat
from edsel_assets.kinds.dimensions import BUDGET, TRIAL
from edsel_assets.kinds.kind import At, Kind, Parent, device
from edsel_assets.kinds.rows.pool import POOL_SETTINGS
from edsel_assets.kinds.sources import (
    INSTRUCTION_FILES,
    JUDGE_FILES,
    MODEL_FILES,
    POOL_FILES,
    TASK_FILES,
    is_asked,
)
from edsel_assets.kinds.work import Lengths, Work
from edsel_assets.llm.scoring.backends import PACKAGES
from edsel_assets.study import Study

_ANSWERS = ("evaluation.held_out_answers", "evaluation.held_out_max_new_tokens", "forward.max_prompt_tokens")


# -- scores


def _task_settings(study: Study, partition: str | None) -> dict[str, Any]:
    """How tasks are scored; which metric the report reads is not among it."""
    settings = study.evaluation
    names = ["max_length", "seed", "chat_template", "backend", "backend_arguments"]
    if settings.chat_template:
        names.append("fewshot_as_multiturn")
    if any(task.share for task in settings.tasks):
        names.append("share_seed")
    found = {f"evaluation.{name}": getattr(settings, name) for name in names}
    if settings.held_out_answers:
        found |= flat(study, *_ANSWERS)
    for task in settings.tasks:
        for name, value in task.model_dump(exclude={"metric", "label"}).items():
            found[f"evaluation.tasks.{task.shown}.{name}"] = value
    if settings.humaneval is not None:
        programs = settings.humaneval.model_dump(exclude={"problems", "workers"})
        found |= {f"evaluation.humaneval.{name}": value for name, value in programs.items()}
    return found


def _task_libraries(study: Study, partition: str | None) -> tuple[str, ...]:
    package = PACKAGES.get(study.evaluation.backend)
    words = ("rouge-score",) if "rouge_l" in study.evaluation.held_out_answers else ()
    return ("lm-eval", *((package,) if package else ()), *words)


def scored(libraries: tuple[str, ...]) -> dict[str, Any]:
    """What all kinds have in common that score a model on the study's tasks."""
    return {
        "settings": (*TEMPLATED, _task_settings),
        "libraries": (*libraries, _task_libraries),
        "external": (MODEL_FILES, TASK_FILES),
        # 2: values by item lie in a table, with their numbers
        "code": "3",  # 3: models are read as they read themselves
        "device": device,
        "scores": True,
        "before": ("tasks",),
        "tags": frozenset({"pytorch"}),
    }


# -- a judge's word


def _with_instructions(study: Study) -> bool:
    return study.evaluation.judge is not None


def judges(study: Study) -> bool:
    """Whether a judge reads the trials' answers."""
    judge = study.evaluation.judge
    return judge is not None and judge.model is not None


def _compares(study: Study) -> bool:
    return judges(study) and study.reference is not None


def _judged_here(study: Study) -> bool:
    judge = study.evaluation.judge
    return judge is not None and judge.by == "local"


def _judge_settings(study: Study, names: tuple[str, ...]) -> dict[str, Any]:
    judge = study.evaluation.judge
    return {} if judge is None else {f"evaluation.judge.{name}": getattr(judge, name) for name in names}


def _judged(study: Study, at: At) -> bool:
    """Of a trial that a judge reads: all, or those at the budgets that the study names, and the reference."""
    judge = study.evaluation.judge
    budgets = judge.budgets if judge is not None else []
    named = partition_key(at.keys["budget"], at.keys["trial"])
    return not budgets or int(at.keys["budget"]) in budgets or named == study.reference


def _judge_is_asked(study: Study, at: At) -> bool:
    named = partition_key(at.keys["budget"], at.keys["trial"])
    return is_asked(study, "evaluation.judge") and named != study.reference


def _writing_settings(study: Study, partition: str | None) -> dict[str, Any]:
    return _judge_settings(study, ("limit", "max_new_tokens"))


def _word_settings(study: Study, partition: str | None) -> dict[str, Any]:
    """What decides what a judge says; a rating is a free reply, a preference one token."""
    judge = study.evaluation.judge
    names: tuple[str, ...] = ()
    if judge is not None:
        names = ("by", "kind", "model", "question", "system")
        names += ("reply_tokens",) if judge.kind == "rating" else ("labels",)
        if judge.by == "local":
            names += ("revision", "dtype", "template")
        else:
            names += ("base_url", *(("logprobs", "top_logprobs") if judge.kind == "preference" else ()))
    return {**_judge_settings(study, names), "evaluation.judge.reference": study.reference}


def _word_libraries(study: Study, partition: str | None) -> tuple[str, ...]:
    return MODEL if _judged_here(study) else ()


def _judge_files(study: Study, partition: str | None) -> tuple[str, ...]:
    return (JUDGE_FILES,) if _judged_here(study) else ()


def _reference(study: Study, at: At) -> Mapping[str, Sequence[str]]:
    budget, trial = key_parts(study.reference)
    return {"budget": [budget], "trial": [trial]}


def _writing_work(study: Study, lengths: Lengths, at: At) -> Work | None:
    """At the most: answers as long as they may be."""
    judge = study.evaluation.judge
    if judge is None or lengths.instructions is None:
        return None
    return Work(lengths.instructions * (lengths.instruction + judge.max_new_tokens))


def _asking_seconds(study: Study, lengths: Lengths) -> float | None:
    """Of the requests that a judge's limit of requests lets through; None where there is no limit."""
    judge = study.evaluation.judge
    if judge is None or judge.by != "openai" or judge.requests_per_minute is None:
        return None
    if lengths.instructions is None:
        return None
    return 60 * lengths.instructions * (2 if judge.kind == "preference" else 1) / judge.requests_per_minute


ROWS = (
    Kind(
        name="held_out",
        group="evaluation",
        parents=(Parent("orders"), Parent("purchases")),
        settings=POOL_SETTINGS,
        external=(POOL_FILES,),
        code="2",  # as the pool
        tags=frozenset({"parquet"}),
    ),
    Kind(
        name="base_scores",
        group="evaluation",
        parents=(Parent("held_out"),),
        checks=(FINITE, NO_BENCHMARK_ITEM),
        **scored(MODEL),
    ),
    Kind(
        name="benchmark_scores",
        group="evaluation",
        dimensions=(BUDGET, TRIAL),
        parents=(Parent("held_out"), Parent("lora_adapters")),
        checks=(FINITE,),
        **scored(ADAPTED),
    ),
    Kind(
        name="generations",
        group="evaluation",
        dimensions=(BUDGET, TRIAL),
        parents=(Parent("lora_adapters"),),
        settings=(_writing_settings, *PASS),
        libraries=ADAPTED,
        external=(MODEL_FILES, INSTRUCTION_FILES),
        code="2",  # 2: models are read as they read themselves
        there=_with_instructions,
        part=_judged,
        device=device,
        before=("instructions",),
        work=_writing_work,
        tags=frozenset({"pytorch"}),
    ),
    Kind(
        name="reference_answers",
        group="evaluation",
        parents=(Parent("generations", keys=_reference),),
        there=_compares,
        tags=frozenset({"parquet"}),
    ),
    Kind(
        name="win_rates",
        group="evaluation",
        dimensions=(BUDGET, TRIAL),
        parents=(Parent("generations"), Parent("reference_answers")),
        settings=(_word_settings,),
        libraries=(_word_libraries,),
        external=(_judge_files,),
        code="2",  # 2: a judge's word on answers, no more a comparison of likelihoods
        there=judges,
        part=_judged,
        paid=_judge_is_asked,
        device=_judged_here,
        before=("instructions", "judge"),
        seconds=_asking_seconds,
        tags=frozenset({"parquet"}),
    ),
)
