"""A backfill of every asset under a live daemon: what local checks of partition mappings cannot show."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edsel_assets.defs.build import build_definitions
from edsel_assets_tests.defs.conftest import TINY, tiny_study

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


class Server:
    """A running ``dagster dev`` on loopback."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = json.load(answer)
        assert "errors" not in content, content
        return content["data"]

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.ask("{ version }")
                return
            except OSError:
                assert time.monotonic() < deadline, "dagster dev did not come up"
                time.sleep(1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    study = tmp_path / "tiny.yaml"
    settings = {**TINY, **{k: {**TINY[k], **v} for k, v in SMALLER.items()}}
    study.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "edsel_assets.cli", "ui", "--study", str(study), "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--home", str(tmp_path / "home")], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        running = Server(port)
        running.wait(120)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


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
