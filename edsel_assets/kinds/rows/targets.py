"""Group ``targets``: whom the model must serve, as weights of the pool's prompts."""

from collections.abc import Iterator
from typing import Any

from edsel_assets.kinds.checks import ENOUGH_QUERIES, FINITE, QUERIES_NOT_KEPT_BACK, TOLD_APART
from edsel_assets.kinds.deciding import of_each
from edsel_assets.kinds.dimensions import TARGET, TARGET_WITH_QUERIES, with_queries
from edsel_assets.kinds.kept import EMBEDDER, FORWARD_PASS
from edsel_assets.kinds.kind import At, Kind, Parent, device
from edsel_assets.kinds.rows.signals import embedding_files, embedding_libraries, embedding_settings
from edsel_assets.kinds.sources import target_place
from edsel_assets.study import Study


def _by_prompts(study: Study, at: At) -> bool:
    return study.targets[at.keys["target"]].prompts is not None


def _keeps_back(study: Study) -> bool:
    return bool(study.targets) and bool(study.evaluation.held_out or study.annotation.validation)


def _query_settings(study: Study, target: str | None) -> dict[str, Any]:
    def settings(of: Study, name: str) -> dict[str, Any]:
        return _of_target(of, name, "format", "columns")

    return embedding_settings(study) | of_each(with_queries(study), settings, study, target)


def _demand_settings(study: Study, target: str | None) -> dict[str, Any]:
    def settings(of: Study, name: str) -> dict[str, Any]:
        by_prompts = of.targets[name].prompts is not None
        return _of_target(of, name, "strength", "seed" if by_prompts else "tasks")

    return of_each(study.targets, settings, study, target)


def _of_target(study: Study, name: str, *fields: str) -> dict[str, Any]:
    return {f"targets.{name}.{field}": getattr(study.targets[name], field) for field in fields}


def _own_settings(study: Study, target: str | None) -> dict[str, Any]:
    """Of a target alone: scores are taken on it, whatever its strength."""
    found = _demand_settings(study, target)
    by_prompts = bool(_fitted(study, target))
    return {k: v for k, v in found.items() if not k.endswith(".strength")} | (
        embedding_settings(study) if by_prompts else {}
    )


def _held_out_files(study: Study, target: str | None) -> list[str]:
    return embedding_files(study, None) if _fitted(study, target) else []


def _query_files(study: Study, target: str | None) -> Iterator[str]:
    yield from (target_place(name) for name in ([target] if target else with_queries(study)))
    yield from embedding_files(study, None)


def _fitted(study: Study, target: str | None) -> tuple[str, ...]:
    by_prompts = with_queries(study) if target is None else [target] * (target in with_queries(study))
    return ("scikit-learn",) if by_prompts else ()


ROWS = (
    Kind(
        name="target_queries",
        group="targets",
        selecting=True,
        dimensions=(TARGET_WITH_QUERIES,),
        parents=(Parent("pool", lazy=True), Parent("held_out", lazy=True)),
        settings=(_query_settings,),
        libraries=(embedding_libraries,),
        external=(_query_files,),
        keeps=(FORWARD_PASS, EMBEDDER),
        checks=(ENOUGH_QUERIES, QUERIES_NOT_KEPT_BACK),
        there=lambda study: bool(with_queries(study)),
        device=device,
        before=("embedder", "targets"),
        tags=frozenset({"pytorch"}),
    ),
    Kind(
        name="demand",
        group="targets",
        dimensions=(TARGET,),
        parents=(
            Parent("pool", lazy=True),
            Parent("embeddings", when=_by_prompts, lazy=True),
            Parent("target_queries", when=_by_prompts, lazy=True),
        ),
        settings=(_demand_settings,),
        libraries=(_fitted,),
        checks=(FINITE, TOLD_APART),
        before=("target tasks",),
        there=lambda study: bool(study.targets),
    ),
    Kind(
        name="held_out_weights",
        group="targets",
        dimensions=(TARGET,),
        parents=(
            Parent("pool", lazy=True),
            Parent("held_out"),
            Parent("embeddings", when=_by_prompts, lazy=True),
            Parent("target_queries", when=_by_prompts, lazy=True),
        ),
        settings=(_own_settings,),
        libraries=(_fitted, embedding_libraries),
        external=(_held_out_files,),
        keeps=(FORWARD_PASS, EMBEDDER),
        checks=(FINITE,),
        there=_keeps_back,
        device=lambda study: bool(with_queries(study)),
        before=("embedder", "target tasks"),
    ),
)
