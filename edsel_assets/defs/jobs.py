"""Jobs named for what a person wants. Each makes what is missing or stale of a part of the graph.

A Dagster asset job holds assets of one partitioning only, so these are ordinary jobs whose one
step does what ``edsel run`` does; every cell is a run of its own, under the job's tag.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import dagster as dg
from pydantic import Field

from edsel_assets.defs.graph import Graph
from edsel_assets.planning.cells import Scope
from edsel_assets.running.dagster_internals import named
from edsel_assets.study import Study

TARGETS_OP = "make_what_is_stale"
PARTS = {
    "select": ("pool", "signals", "diagnostics", "selection"),
    "train_on_answers": ("annotation",),
    "rounds": ("rounds",),
    "finetune_and_score": ("finetuning", "evaluation"),
    "report": ("report",),
}
_WORDS = {
    "select": "Choose prompts with every strategy and budget: pool, signals, diagnostics, selections.",
    "train_on_answers": "Train on all that was answered, score it, and draw the curve against the money.",
    "rounds": "Run iterative kMQ: select, finetune, reweight, round by round.",
    "finetune_and_score": "Finetune and score every trial.",
    "report": "Bring the report up to date, with everything that it needs.",
}


class TargetsForm(dg.Config):
    targets: list[str] = Field(["selections"], description="Assets to bring up to date, with what they need.")


def build(graph: Graph) -> list[dg.JobDefinition]:
    return [*(_job(graph, name) for name in PARTS), _by_name(graph)]


def scope_of(graph: Graph, part: str) -> Scope:
    """The cells that a job brings up to date, without what they need."""
    nodes = graph.lineage.nodes.values()
    return Scope(groups=frozenset(node.group for node in nodes if _part_of(node.group) in PARTS[part]))


def _part_of(group: str) -> str:
    """Each round has a group of its own, ``round_1``, and no job."""
    return "rounds" if group.startswith("round_") else group


def _job(graph: Graph, name: str) -> dg.JobDefinition:
    @dg.op(name=graph.named(f"{name}_what_is_stale"))
    def step(context: dg.OpExecutionContext) -> None:
        _bring_up_to_date(graph, context, scope_of(graph, name))

    @dg.job(name=graph.named(name), description=_WORDS[name], executor_def=dg.in_process_executor)
    def chosen() -> None:
        step()

    return chosen


def _by_name(graph: Graph) -> dg.JobDefinition:
    """The job that the triggers start."""

    @dg.op(name=graph.named(TARGETS_OP))
    def step(context: dg.OpExecutionContext, config: TargetsForm) -> None:
        _bring_up_to_date(graph, context, Scope(assets=frozenset(config.targets)))

    about = "Make what is stale of the assets named."

    @dg.job(name=graph.named("bring_up_to_date"), description=about, executor_def=dg.in_process_executor)
    def bring_up_to_date() -> None:
        step()

    return bring_up_to_date


def run_config(study: Study, targets: Iterable[str]) -> dict[str, Any]:
    """What the launchpad of ``bring_up_to_date`` takes for these assets."""
    return {"ops": {named(study, TARGETS_OP): {"config": {"targets": sorted(targets)}}}}


def _bring_up_to_date(graph: Graph, context: dg.OpExecutionContext, scope: Scope) -> None:
    from edsel_assets.running.instance import by_job
    from edsel_assets.running.local import Listener, materialize

    assert graph.definitions is not None, "a job ran before its definitions were assembled"
    listener = Listener(
        finished=lambda cell, seconds: context.log.info(f"{cell}: {'fresh' if seconds is None else 'made'}"),
        waiting=context.log.info,
    )
    with graph.launcher(graph.study, graph.home) if graph.launcher else nullcontext() as pool:
        outcome = materialize(
            graph.study,
            graph.definitions,
            context.instance,
            graph.home,
            scope,
            listener,
            pool=pool,
            cause=by_job(context.job_name, context.run_id),
        )
    lacking = "; ".join(f"{cell} lacks {count}" for cell, count in sorted(outcome.lacking.items()))
    shown = {"made": len(outcome.made), "fresh": len(outcome.fresh), "waiting": len(outcome.waiting)}
    context.add_output_metadata({**shown, **({"lacking_answers": lacking} if lacking else {})})
