"""One study's Dagster definitions, assembled."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from edsel_assets.defs.graph import Graph, Launcher
from edsel_assets.running.dagster_internals import STORE
from edsel_assets.store import Home
from edsel_assets.study import Study

warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


def build_definitions(
    study: Study,
    *,
    home: Home | Path | None = None,
    executor: dg.ExecutorDefinition | None = None,
    resources: Mapping[str, Any] | None = None,
    launcher: Launcher | None = None,
) -> dg.Definitions:
    """Assets, checks, jobs, schedules, sensors and resources of ``study``, under its prefix if it has one.

    Args:
        home: where results lie; ``$EDSEL_HOME``, or ``.edsel`` in the working directory.
        executor: carries out the steps of a run; by default the run's own process, where the next step finds
            the libraries and the model loaded.
        resources: in place of the study's own: ``io_manager``, ``base_model``, ``selecting_model``,
            ``annotator``.
        launcher: (study, home) -> a context that gives the ``Pool`` in which jobs make their cells; by
            default the process of the job, one cell after the other.

    Raises:
        ValueError: a resource that the study has not, or a trigger whose target is no asset.

    Imports neither torch nor transformers.
    """
    graph = Graph(study, Home.at(home), launcher=launcher)
    parts = _parts(graph, resources or {})
    # A job makes its cells in a process that has the definitions at hand, so by the plain executor.
    graph.definitions = dg.Definitions(**parts, executor=dg.in_process_executor)
    return graph.definitions if executor is None else dg.Definitions(**parts, executor=executor)


def _parts(graph: Graph, resources: Mapping[str, Any]) -> dict[str, Any]:
    """All of the definitions but the executor."""
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
    schedules, sensors = triggers.build(graph, every_job[-1])
    paid_jobs = order_jobs.build(graph)
    return {
        "assets": assets,
        "asset_checks": checks.build(graph),
        "jobs": [*every_job, *paid_jobs],
        "schedules": schedules,
        "sensors": [*sensors, *answer_sensors.build(graph, paid_jobs[-1])],
        "resources": _resources(graph, resources),
        "metadata": {STORE: str(graph.store)},
    }


def _resources(graph: Graph, given: Mapping[str, Any]) -> dict[str, Any]:
    from edsel_assets.defs.io_managers import study_store
    from edsel_assets.defs.resources import Annotator, BaseModel

    own = {
        "io_manager": study_store(graph.study, graph.home),
        "base_model": BaseModel.of(graph.study),
        "selecting_model": BaseModel.of(graph.study.selecting),
        "annotator": Annotator.of(graph.study, graph.store),
    }
    unknown = sorted(set(given) - set(own))
    if unknown:
        raise ValueError(f"No resource {', '.join(unknown)}; those of a study are {', '.join(own)}.")
    return {graph.named(name): value for name, value in {**own, **given}.items()}
