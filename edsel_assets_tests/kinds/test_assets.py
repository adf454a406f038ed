"""The table's own lineage against that of Dagster's graph, which is built from it."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance.types import DynamicPartitionsStore
from dagster._core.types.pagination import PaginatedResults

from edsel_assets.defs.build import build_definitions
from edsel_assets.kinds.assets import Cells
from edsel_assets.kinds.dimensions import reads_probabilities
from edsel_assets.selection import STRATEGIES
from edsel_assets.selection.strategy import DEMAND, QUALITY, QUERIES
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study

JUDGE = {"instructions": "instructions.jsonl", "model": "a judge"}
STUDIES = {
    "many": {
        "selection": {
            "strategies": ["random", "fl_rbf", "km_random", "kmq", "min_margin", "iterative_kmq_perplexity"],
            "variants": {
                "fl_rbf_whole": {"strategy": "fl_rbf", "embeddings": "whole"},
                "km_random_whole": {"strategy": "km_random", "embeddings": "whole"},
                "kmq_2": {"strategy": "kmq", "clusters": 2, "quality": "perplexity"},
            },
            "budgets": [6],
            "budgets_of": {"random": [6, 12]},
        },
        "clustering": {"counts": [4, 2]},
        "other_embeddings": {"whole": {"source": "model", "input": "prompt_response"}},
    },
    "continued": {"rounds": {"start": "continue", "rounds": 3}},
    "judged": {"evaluation": {"judge": JUDGE}},
    "judged in part": {"evaluation": {"judge": {**JUDGE, "budgets": [10], "reference": "6|random.s0"}}},
    "random alone": {"selection": {"strategies": ["random"]}},
}


ORDERS = ("order-0001", "order-0002")


class Placed(DynamicPartitionsStore):
    """Two orders, where Dagster asks for the names of its dynamic partitions."""

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        return ORDERS

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        return partition_key in ORDERS

    def get_paginated_dynamic_partitions(
        self, partitions_def_name: str, limit: int, ascending: bool, cursor: str | None = None
    ) -> PaginatedResults[str]:
        return PaginatedResults.create_from_sequence(ORDERS, limit, ascending, cursor)

    def get_dynamic_partitions_definition_id(self, partitions_def_name: str) -> str:
        return "two orders"


@pytest.fixture
def placed() -> Placed:
    return Placed()


@pytest.mark.parametrize("name", STUDIES)
def test_each_cell_reads_what_dagsters_mappings_lead_to(name: str, placed: Placed) -> None:
    study: Study = tiny_study(**STUDIES[name])
    graph: Any = build_definitions(study).resolve_asset_graph()
    table, exact = Cells(study, ORDERS), 0
    assert {key.to_user_string() for key in graph.materializable_asset_keys} == set(table.assets)
    with dg.partition_loading_context(dynamic_partitions_store=placed):
        for asset, partition in ((a, key) for a in table.assets for key in table.keys(a)):
            found = graph.get_parents_partitions(dg.AssetKey(asset.split("/")), partition).parent_partitions
            led = {(p.asset_key.to_user_string(), p.partition_key) for p in found}
            read = set(table.read(asset, partition))
            assert read <= led, (asset, partition)
            exact += read == led
    assert exact > 20


def test_the_pass_is_decoded_where_a_run_makes_token_probabilities_and_only_there() -> None:
    quality = [{"scorer": scorer} for scorer in ("likelihood", "perplexity", "column")]
    given = {"pool": {"columns": {"quality": "quality"}}}
    found = []
    for name, row in STRATEGIES.items():
        for each in quality if QUALITY in row.needs else quality[:1]:
            changes: dict[str, Any] = {**given, "selection": {"strategies": [name]}, "quality": each}
            if row.needs & {DEMAND, QUERIES}:
                changes["targets"] = {"own": {"prompts": "queries.jsonl"}}
                changes["selection"]["target"] = "own"
            if row.scorer in ("reward", "judge"):
                changes["rounds"] = {row.scorer: {"model": "any"}}
            study = tiny_study(**changes)
            made = {asset for asset, _ in Cells(study).made}
            assert ("token_probabilities" in made) is reads_probabilities(study), name
            assert "embeddings" in made
            found.append(reads_probabilities(study))
    assert 0 < sum(found) < len(found)


def test_a_run_makes_the_diagnostics_of_what_its_strategies_read() -> None:
    def unread(*names: str) -> set[str]:
        return set(Cells(tiny_study(selection={"strategies": list(names)})).unread)

    by_quality = {"cluster_quality", "quality_scores"}
    signals = {"token_probabilities", "uncertainty_scores"}
    assert unread("fl_rbf") == {"cluster_count", *by_quality, *signals}
    assert unread("km_random") == {"kernel_width", *by_quality, *signals}
    assert unread("kmq") == {"kernel_width", "uncertainty_scores"}
    assert unread("min_margin") == {"kernel_width", "cluster_count", *by_quality}
