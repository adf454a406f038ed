"""Asset checks: which an asset has, and how a run tells their outcome.

Those that block are found by the asset itself, before its value is stored (``checked``). The others look at
what was stored.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import StoredTable, Table
from edsel_assets.kinds.checks import WARNINGS
from edsel_assets.stages.checks import Finding

_MOST_TRUNCATED = 0.2


def checked(
    context: dg.AssetExecutionContext, findings: Mapping[str, Finding]
) -> Iterator[dg.AssetCheckResult]:
    """The outcome of each check of the asset that is being made, by name.

    Raises:
        Failure: naming every check that failed, but for those that only warn.
    """
    wrong = []
    for name, finding in findings.items():
        failed = bool(finding.problem)
        yield dg.AssetCheckResult(
            passed=not failed,
            asset_key=context.asset_key,
            check_name=name,
            severity=dg.AssetCheckSeverity.WARN if name in WARNINGS else dg.AssetCheckSeverity.ERROR,
            metadata=finding.figures,
            description=finding.problem or None,
        )
        if failed and name not in WARNINGS:
            wrong.append(f"check {name}: {finding.problem}")
    if wrong:
        raise dg.Failure(" ".join(wrong), allow_retries=False)


def build(graph: Graph) -> list[dg.AssetChecksDefinition]:
    passes, report = graph.key("token_probabilities"), graph.key("label_efficiency")

    @dg.asset_check(asset=passes, description="Few prompts were cut to fit the model.")
    def few_truncated(token_probabilities: StoredTable) -> dg.AssetCheckResult:
        rows = token_probabilities.show(["truncated"])["truncated"].to_pylist()
        cut = sum(rows)
        share = cut / max(1, len(rows))
        return dg.AssetCheckResult(
            passed=share <= _MOST_TRUNCATED,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"truncated": cut, "share": share},
            description=f"{cut} prompts were cut; raise forward.max_prompt_tokens if that is many.",
        )

    @dg.asset_check(asset=report, description="Every trial of the study is in the report.")
    def every_trial_scored(label_efficiency: Table) -> dg.AssetCheckResult:
        expected = len(graph.partitions.table.keys("benchmark_scores"))
        rows = label_efficiency.select(["task", "budget", "n"]).to_pylist()
        counts = Counter({row["task"]: 0 for row in rows})
        for row in rows:
            counts[row["task"]] += row["n"] if row["budget"] > 0 else 0
        found = max(counts.values(), default=0)
        return dg.AssetCheckResult(
            passed=found == expected,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"expected": expected, "found": found},
        )

    return [few_truncated, every_trial_scored]
