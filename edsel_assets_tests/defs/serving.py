"""The UI with its daemon as a person starts it, for tests that need both."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class Server:
    """A running ``edsel ui`` on loopback."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.port = port
        self.process = process
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
                assert time.monotonic() < deadline, "edsel ui did not come up"
                time.sleep(1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(study: Path, home: Path, *words: str) -> Iterator[Server]:
    """``edsel ui`` with further ``words`` on a free port until the end of the block."""
    port = free_port()
    command = [sys.executable, "-m", "edsel_assets.cli", "ui", "--study", str(study), "--port", str(port)]
    with answering([*command, "--home", str(home), *words], port, {}) as running:
        yield running


@contextmanager
def answering(command: list[str], port: int, environment: dict[str, str]) -> Iterator[Server]:
    """A command that serves Dagster's UI on a port until the end of the block."""
    process = subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, start_new_session=True
    )
    try:
        running = Server(port, process)
        running.wait(120)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # dagster dev leaves its services to themselves
