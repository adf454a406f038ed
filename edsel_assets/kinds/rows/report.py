"""Group ``report``: what each strategy saves against the control."""

from typing import Any

from edsel_assets.kinds.kind import Kind, Parent
from edsel_assets.study import Study


def _metrics(study: Study, partition: str | None) -> dict[str, Any]:
    return {f"evaluation.tasks.{task.shown}.metric": task.metric for task in study.evaluation.tasks}


ROWS = (
    Kind(
        name="label_efficiency",
        group="report",
        parents=(
            Parent("base_scores"),
            Parent("benchmark_scores", optional=True),
            Parent("orders"),
            Parent("purchases"),
            Parent("win_rates", optional=True),
        ),
        settings=(_metrics, "report.control", "report.average"),
        # 2: what was bought is a section of it; 3: one task has no average, a judge's reference no win rate;
        # 4: intervals by Welch; 5: a task at two shot counts counts once in the average
        code="5",
        before=("metrics",),
        tags=frozenset({"pandas", "matplotlib"}),
    ),
)
