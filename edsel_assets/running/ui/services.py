"""The processes of ``edsel ui``: code server, web server and Dagster's daemon, begun and ended together.

``dagster dev`` starts the same three. Its web server cannot be given a gate, and at the end it waits for
open pages and for what its daemon looks at, up to a minute each. All three keep their state in the event log,
by transactions, so none needs longer than ``PATIENCE``; what then still runs is killed. Workers are not
among them: each ends by itself, with the run at hand.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edsel_assets.running.dagster_internals import CODE_SERVER, DAEMON, LOCATION
from edsel_assets.running.ui.lifetime import PATIENCE

_LOOK = 0.2  # seconds
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]", re.IGNORECASE)


def check_address(host: str, port: int, names: Sequence[str]) -> None:
    """Raise ValueError where the server could not listen, or a name is none."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"--allow-host takes a name such as edsel.example.org, without a port; got {name!r}."
            )
    try:
        family, address = _address(host, port)
        socket.create_server(address[:2], family=family).close()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such name"
        raise ValueError(
            f"Cannot listen on {host}:{port}: {reason}. Choose others by --host and --port."
        ) from error


def serve(
    environment: Mapping[str, str], host: str, port: int, names: Sequence[str], ready: Callable[[], None]
) -> None:
    """Serve the UI until Ctrl-C or TERM.

    Args:
        environment: of the processes: it says which study.
        names: further names that the server is asked for by; see ``running.ui.gate``.
        ready: called once the page answers.

    Raises:
        RuntimeError: one of the processes ended by itself.
    """
    with tempfile.TemporaryDirectory(prefix="edsel-ui-") as folder:
        services = _Services(environment, Path(folder, "code"))
        workspace = Path(folder, "workspace.yaml")
        workspace.write_text(json.dumps(services.workspace()), encoding="utf-8")
        allowed = [word for name in names for word in ("--allow-host", name)]
        where = ["--host", host, "--port", str(port), "--workspace", str(workspace)]
        try:
            services.start_code_server()
            services.watch(lambda: _listens(socket.AF_UNIX, str(services.code)))
            services.start("web server", "edsel_assets.running.ui.web_server", *where, *allowed)
            services.start("daemon", *DAEMON, "--workspace", str(workspace))
            services.watch(lambda: _listens(*_address(host, port)))
            ready()
            services.watch(lambda: False)
        except KeyboardInterrupt:
            return
        finally:
            services.end()


class _Services:
    """The processes by what they are, and the code server's socket."""

    def __init__(self, environment: Mapping[str, str], code: Path) -> None:
        self.code = code
        self._environment = dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def workspace(self) -> dict[str, Any]:
        """What the other two are told of the code server."""
        about = {"module_name": LOCATION}
        server = {"location_name": LOCATION, "socket": str(self.code), "additional_metadata": about}
        return {"load_from": [{"grpc_server": server}]}

    def start(self, what: str, *command: str) -> None:
        # A session each: Ctrl-C of a terminal reaches this process alone, which then ends them. A pipe each:
        # it closes with this process, whatever ends it.
        self._running[what] = subprocess.Popen(
            [sys.executable, "-m", "edsel_assets.running.ui.lifetime", *command],
            env=self._environment,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def start_code_server(self) -> None:
        self.code.unlink(missing_ok=True)
        self.start("code server", *CODE_SERVER, "--socket", str(self.code))

    def watch(self, until: Callable[[], bool]) -> None:
        """Wait; a code server that ended after it had begun is started again, as it keeps nothing."""
        while not until():
            for what, process in list(self._running.items()):
                if process.poll() is None:
                    continue
                if what == "code server" and len(self._running) > 1:
                    self.start_code_server()
                    continue
                raise RuntimeError(
                    f"The {what} of the UI ended (exit {process.returncode}); what it said stands above. "
                    "Start edsel ui again: what was under way goes on."
                )
            time.sleep(_LOOK)

    def end(self) -> None:
        """End all at once; a second Ctrl-C kills them without waiting."""
        for process in self._running.values():
            process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + PATIENCE
        try:
            for process in self._running.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=max(0.0, deadline - time.monotonic()))
        finally:
            for process in self._running.values():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # its children too
                process.wait()


def _address(host: str, port: int) -> tuple[int, Any]:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, address


def _listens(family: int, address: Any) -> bool:
    with socket.socket(family) as probe:
        probe.settimeout(1)
        return probe.connect_ex(address) == 0
