"""Asset checks: what would make a study misleading rather than fail it."""

from collections import Counter
from itertools import pairwise

import dagster as dg

from edsel_assets.defs.graph import Graph
from edsel_assets.defs.io_managers import Table

_MOST_TRUNCATED = 0.2


def build(graph: Graph) -> list[dg.AssetChecksDefinition]:
    @dg.asset_check(asset="pool", description="Ids are unique and sorted, and no prompt is empty.")
    def pool_is_sound(pool: Table) -> dg.AssetCheckResult:
        ids = pool["prompt_id"].to_pylist()
        empty = sum(1 for prompt in pool["prompt"].to_pylist() if not prompt)
        in_order = all(a < b for a, b in pairwise(ids))
        return dg.AssetCheckResult(passed=in_order and not empty, metadata={"empty": empty, "rows": len(ids)})

    @dg.asset_check(asset="token_probabilities", description="Few prompts were cut to fit the model.")
    def few_truncated(token_probabilities: Table) -> dg.AssetCheckResult:
        cut = sum(token_probabilities["truncated"].to_pylist())
        share = cut / max(1, token_probabilities.num_rows)
        return dg.AssetCheckResult(
            passed=share <= _MOST_TRUNCATED,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"truncated": cut, "share": share},
            description=f"{cut} prompts were cut; raise forward.max_prompt_tokens if that is many.",
        )

    @dg.asset_check(asset="label_efficiency", description="Every trial of the study is in the report.")
    def every_trial_scored(label_efficiency: Table) -> dg.AssetCheckResult:
        expected = len(graph.partitions.budget_trial.get_partition_keys())
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

    return [pool_is_sound, few_truncated, every_trial_scored]
