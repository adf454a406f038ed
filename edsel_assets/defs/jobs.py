"""Jobs named for what a person wants. Each makes what is missing or stale of a part of the graph.

A Dagster asset job holds assets of one partitioning only, so these are ordinary jobs whose one
step does what ``edsel run`` does; every cell is a run of its own, under the job's tag.
"""

import dagster as dg

from edsel_assets.defs.graph import Graph

PARTS = {
    "select": ("pool", "signals", "diagnostics", "selection"),
    "rounds": ("rounds",),
    "finetune_and_score": ("finetuning", "evaluation"),
    "report": ("report",),
}
_WORDS = {
    "select": "Choose prompts with every strategy and budget: pool, signals, diagnostics, selections.",
    "rounds": "Run iterative kMQ: select, finetune, reweight, round by round.",
    "finetune_and_score": "Finetune and score every trial.",
    "report": "Bring the report up to date, with everything that it needs.",
}


def build(graph: Graph) -> list[dg.JobDefinition]:
    return [_job(graph, name) for name in PARTS]


def _job(graph: Graph, name: str) -> dg.JobDefinition:
    @dg.op(name=f"{name}_what_is_stale")
    def step(context: dg.OpExecutionContext) -> None:
        from edsel_assets.defs.cells import Scope
        from edsel_assets.defs.materialize import Listener, materialize

        assert graph.definitions is not None, "a job ran before its definitions were assembled"
        names = {
            key.to_user_string()
            for key in graph.asset_graph.materializable_asset_keys
            if graph.asset_graph.get(key).group_name in PARTS[name]
        }
        listener = Listener(
            finished=lambda cell, was_fresh: context.log.info(f"{cell}: {'fresh' if was_fresh else 'made'}")
        )
        scope = Scope(assets=frozenset(names))
        outcome = materialize(graph.study, graph.definitions, context.instance, graph.store, scope, listener)
        context.add_output_metadata({"made": len(outcome.made), "fresh": len(outcome.fresh)})

    @dg.job(name=name, description=_WORDS[name], executor_def=dg.in_process_executor)
    def chosen() -> None:
        step()

    return chosen
