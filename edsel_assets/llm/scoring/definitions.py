"""What the YAML files of lm-eval's tasks say, read without their data and without running their functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def leaves(manager: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each task below a task, group or tag, once: its name and its definition."""
    from lm_eval.tasks._index import Kind

    for below in names_below(manager, name):
        if below in manager.task_index and manager.task_index[below].kind not in (Kind.TAG, Kind.GROUP):
            yield below, definition(manager, below)


def names_below(manager: Any, name: str) -> Iterator[str]:
    """``name`` and each name below it in the index, once; a name that the index lacks has none below it."""
    from lm_eval.tasks._index import Kind

    index, seen, waiting = manager.task_index, set(), [name]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        kind = index[name].kind if name in index else None
        if kind == Kind.TAG:
            waiting += [other for other, found in index.items() if name in found.tags]
        elif kind == Kind.GROUP:
            waiting += named_in(definition(manager, name).get("task"))


def named_in(members: Any) -> list[str]:
    """Names of the tasks and groups that a group lists; those of a group that is written inside it."""
    if isinstance(members, str):
        return [members]
    if isinstance(members, dict):
        return named_in(members.get("task"))
    return [name for member in members or [] for name in named_in(member)]


def definition(manager: Any, name: str) -> dict[str, Any]:
    """The definition of a task or group, with those that it includes; functions are left as text."""
    from lm_eval.tasks._yaml_loader import load_yaml

    entry = manager.task_index[name]
    if entry.yaml_path is None:
        return entry.cfg or {}
    return load_yaml(entry.yaml_path, resolve_func=False, recursive=True)


def runs_code(manager: Any, name: str) -> bool:
    """Whether a task, or any task below this group or tag, is marked as unsafe in its definition."""
    return any(config.get("unsafe_code") for _, config in leaves(manager, name))


def declared_metrics(manager: Any, name: str) -> set[str] | None:
    """The metrics of a task or group as in ``Score``; None where only running its Python would tell.

    Raises ``ValueError`` for a group or tag that lm-eval gives no score of its own.
    """
    from lm_eval.tasks._index import Kind

    kind = manager.task_index[name].kind
    if kind == Kind.PY_TASK:
        return None
    config = definition(manager, name)
    if kind == Kind.TAG or (kind == Kind.GROUP and not config.get("aggregate_metric_list")):
        members = sorted(leaf for leaf, _ in leaves(manager, name))
        raise ValueError(
            f"{name} is a group that has no score of its own. Name its tasks: {', '.join(members[:5])}"
            f"{', ...' if len(members) > 5 else ''}."
        )
    if kind == Kind.GROUP:
        listed = config["aggregate_metric_list"]
        return _named(
            (entry["metric"], filtered)
            for entry in ([listed] if isinstance(listed, dict) else listed)
            for filtered in _as_list(entry.get("filter_list", "none"))
        )
    metrics = _task_metrics(config)
    if None in metrics:
        return None
    filters = [entry["name"] for entry in config.get("filter_list") or [{"name": "none"}]]
    return _named((metric, filtered) for metric in metrics for filtered in filters)


def lower_metrics(manager: Any, name: str) -> set[str]:
    """Metrics, without filters, of a task or of the tasks below a group, of which a lower value is better."""
    from lm_eval.api.registry import is_higher_better

    found = set()
    for _, config in leaves(manager, name):
        listed = config.get("metric_list") or []
        declared = {_metric_name(e["metric"]): e.get("higher_is_better") for e in listed}
        for metric in _task_metrics(config):
            higher = declared.get(metric)
            if metric is not None and (is_higher_better(metric) if higher is None else higher) is False:
                found.add(metric)
    return found


def _task_metrics(config: dict[str, Any]) -> list[str | None]:
    """Names of the metrics; None for one that does not say its name."""
    from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY

    listed = config.get("metric_list")
    if listed:
        return [_metric_name(entry["metric"]) for entry in listed]
    return list(DEFAULT_METRIC_REGISTRY.get(config.get("output_type", "generate_until"), []))


def _metric_name(metric: Any) -> str | None:
    """How lm-eval calls a metric; one given by ``!function`` by the function's own name.

    Such a one stands here as a path, ``FOLDER/MODULE.FUNCTION``, and the name is read from the module's text.
    None where that does not tell: the function is made otherwise, or returns values under names of its own.
    """
    text = str(metric)
    if "/" not in text:
        return text
    module, _, name = text.rpartition(".")
    try:
        tree = ast.parse(Path(f"{module}.py").read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
            return None if any(isinstance(value, (ast.Dict, ast.DictComp)) for value in returned) else name
    return None


def _named(pairs: Any) -> set[str]:
    """As in ``Score``: the filter after a comma, but for the filter ``none``."""
    return {metric if filtered == "none" else f"{metric},{filtered}" for metric, filtered in pairs}


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
