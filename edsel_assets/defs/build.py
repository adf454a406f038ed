"""One study's Dagster definitions, assembled."""

import warnings
from pathlib import Path

import dagster as dg

from edsel_assets.store import Home
from edsel_assets.study import Study

warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


def build_definitions(study: Study, *, home: Home | Path | None = None) -> dg.Definitions:
    """Assets, checks, jobs, schedules, sensors and resources of ``study``.

    Args:
        home: where results lie; ``$EDSEL_HOME``, or ``.edsel`` in the working directory.

    Imports neither torch nor transformers.
    """
    from edsel_assets.defs import answer_sensors, checks, jobs, order_jobs, triggers
    from edsel_assets.defs.assets import (
        annotation,
        by_rows,
        evaluation,
        finetuning,
        judging,
        pool,
        report,
        rounds,
        selection,
        signals,
        targets,
    )
    from edsel_assets.defs.graph import Graph
    from edsel_assets.defs.io_managers import study_store
    from edsel_assets.defs.resources import Annotator, BaseModel
    from edsel_assets.running.dagster_internals import STORE

    graph = Graph(study, Home.at(home))
    modules = (
        pool,
        annotation,
        signals,
        targets,
        selection,
        rounds,
        finetuning,
        evaluation,
        judging,
        by_rows,
    )
    every_job = jobs.build(graph)
    assets = [asset for module in (*modules, report) for asset in module.build(graph)]
    schedules, sensors = triggers.build(graph, every_job[-1], assets)
    paid_jobs = order_jobs.build(graph)
    definitions = dg.Definitions(
        assets=assets,
        asset_checks=checks.build(graph),
        jobs=[*every_job, *paid_jobs],
        schedules=schedules,
        sensors=[*sensors, *answer_sensors.build(graph, paid_jobs[-1])],
        # One process a run: the next step finds the libraries and the model loaded.
        executor=dg.in_process_executor,
        resources={
            "io_manager": study_store(study, graph.home),
            "base_model": BaseModel.of(study),
            "selecting_model": BaseModel.of(study.selecting),
            "annotator": Annotator.of(study, graph.store),
        },
        metadata={STORE: str(graph.store)},
    )
    graph.definitions = definitions
    return definitions
