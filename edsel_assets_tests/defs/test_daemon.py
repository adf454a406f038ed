"""A backfill of every asset under a live daemon: what local checks of partition mappings cannot show."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edsel_assets.defs.build import build_definitions
from edsel_assets_tests.defs.conftest import TINY, tiny_study
from edsel_assets_tests.defs.serving import Server, serving

SMALLER = {
    "clustering": {"counts": [4]},
    "selection": {
        "strategies": ["random", "min_margin", "kmq", "iterative_kmq_perplexity"],
        "budgets": [6],
        "gammas": [1.0],
    },
}
LAUNCH = """
mutation($keys: [AssetKeyInput!]!) {
  launchPartitionBackfill(backfillParams: {assetSelection: $keys, allPartitions: true}) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
STATUS = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status error { message } runs(limit: 500) { status assetSelection { path } } }
  }
}"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    study = tmp_path / "tiny.yaml"
    settings = {**TINY, **{k: {**TINY[k], **v} for k, v in SMALLER.items()}}
    study.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with serving(study, tmp_path / "home") as running:
        yield running


def test_a_backfill_of_every_asset_succeeds_under_a_live_daemon(server: Server) -> None:
    graph = build_definitions(tiny_study(**SMALLER)).resolve_asset_graph()
    keys = [{"path": list(key.path)} for key in sorted(graph.materializable_asset_keys)]
    launched = server.ask(LAUNCH, keys=keys)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    deadline = time.monotonic() + 600
    while True:
        backfill = server.ask(STATUS, id=launched["backfillId"])["partitionBackfillOrError"]
        if backfill["status"] not in {"REQUESTED", "IN_PROGRESS"}:
            break
        assert time.monotonic() < deadline, backfill
        time.sleep(3)
    failed = [run for run in backfill["runs"] if run["status"] != "SUCCESS"]
    assert backfill["status"] == "COMPLETED_SUCCESS", (backfill["error"], failed)
    assert not failed
    print(f"{len(backfill['runs'])} runs")
