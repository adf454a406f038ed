"""``edsel ui`` as its users and others reach it: who is answered, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from edsel_assets.running.instance import going_on, open_instance
from edsel_assets.running.ui.services import check_address
from edsel_assets.store import Home
from edsel_assets_tests.defs.conftest import TINY
from edsel_assets_tests.defs.serving import Server, serving

_PROTOCOL = Subprotocol("graphql-ws")
_LAUNCH = """
mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    study = home / "tiny.yaml"
    study.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    with serving(study, home, "--allow-host", "edsel.example.org") as running:
        yield running


def post(server: Server, **headers: str) -> int:
    """Status of a GraphQL request with these headers."""
    body = json.dumps({"query": "{ version }"}).encode()
    request = urllib.request.Request(server.url, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def web_socket(server: Server, host: str, origin: str) -> dict:
    """What the server says first on a web socket of a page of ``origin`` that asked for ``host``."""
    with (
        socket.create_connection(("127.0.0.1", server.port)) as connection,
        connect(
            f"ws://{host}/graphql", sock=connection, origin=Origin(origin), subprotocols=[_PROTOCOL]
        ) as opened,
    ):
        opened.send(json.dumps({"type": "connection_init", "payload": {}}))
        return json.loads(opened.recv(timeout=30))


def test_its_own_pages_are_answered_and_others_are_not(server: Server) -> None:
    own = f"http://127.0.0.1:{server.port}"
    assert post(server) == 200
    assert post(server, Origin=own) == 200
    assert post(server, Host=f"localhost:{server.port}", Origin=f"http://localhost:{server.port}") == 200
    assert post(server, Host="edsel.example.org", Origin="https://edsel.example.org") == 200
    assert post(server, Host="rebound.example") == 400
    assert post(server, Host="rebound.example", Origin="http://rebound.example") == 400
    assert post(server, Origin="http://rebound.example") == 403
    assert post(server, Origin="null") == 403


def test_the_same_holds_for_web_sockets(server: Server) -> None:
    here = f"127.0.0.1:{server.port}"
    assert web_socket(server, here, f"http://{here}") == {"type": "connection_ack"}
    for host, origin, status in (
        (here, "http://rebound.example", 403),
        ("rebound.example", "http://rebound.example", 400),
    ):
        with pytest.raises(InvalidStatus) as refused:
            web_socket(server, host, origin)
        assert refused.value.response.status_code == status


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--allow-host", "http://edsel.example.org"], "without a port; got 'http://edsel.example.org'"),
        (["--allow-host", "*"], "--allow-host takes a name"),
        (["--host", "no.such.host.invalid"], "Cannot listen on no.such.host.invalid:"),
    ],
)
def test_an_address_that_cannot_be_is_refused_before_anything_starts(words, reason, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edsel_assets.cli", "ui", "--study", "demo", "--home", str(tmp_path)]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_named(server: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edsel_assets.cli", "ui", "--home", str(tmp_path)]
    done = subprocess.run([*command, "--port", str(server.port)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"Cannot listen on 127.0.0.1:{server.port}: Address already in use" in done.stderr


def test_it_ends_within_seconds_and_a_run_under_way_goes_on_to_its_end(server: Server, home: Path) -> None:
    """Last in this module: it ends the server. An open page holds a web socket all the while."""
    job = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "edsel_assets.definitions",
        "jobName": "__ASSET_JOB",
        "assetSelection": [{"path": [name]} for name in ("pool", "embeddings")],
    }
    launched = server.ask(_LAUNCH, params={"selector": job, "mode": "default"})["launchRun"]
    run_id = launched["run"]["runId"]
    here = f"127.0.0.1:{server.port}"
    with (
        open_instance(Home.at(home), TINY["name"]) as instance,
        connect(f"ws://{here}/graphql", origin=Origin(f"http://{here}"), subprotocols=[_PROTOCOL]) as page,
    ):
        page.send(json.dumps({"type": "connection_init", "payload": {}}))
        _until(lambda: run_id in going_on(instance), 60)
        asked = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
        seconds = time.monotonic() - asked
        assert run_id in going_on(instance), "the run was over too soon to show anything"
        _until(lambda: run_id not in going_on(instance), 120)
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.SUCCESS
    print(f"ended after {seconds:.1f} s")
    assert seconds < 8, "about 4 s on an idle machine"
    assert (home / "store" / TINY["name"] / "embeddings.json").exists()


def test_a_kill_of_the_command_leaves_no_service(tmp_path: Path) -> None:
    study = tmp_path / "tiny.yaml"
    study.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    with serving(study, tmp_path) as server:
        services = _children(server.process.pid)
        assert len(services) == 3
        server.process.kill()
        server.process.wait()
        _until(lambda: not any(_alive(process) for process in services), 30)
        check_address("127.0.0.1", server.port, [])  # another server can start there at once


def _children(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _alive(process: int) -> bool:
    """Whether it runs; one that has ended may wait in the system's table for its parent."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _until(holds, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
