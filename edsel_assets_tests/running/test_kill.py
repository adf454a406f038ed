"""Twenty kill -9 over ``run``, ``order``, ``import`` and ``ui``: nothing is lost, wrong or paid twice."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from edsel_assets.annotation import Ledger, list_orders, order_table
from edsel_assets.desk import record_orders
from edsel_assets.running.dagster_internals import unfinished_runs
from edsel_assets.running.instance import fail_orphaned_runs, open_instance
from edsel_assets.store import Home, Store
from edsel_assets_tests.defs.conftest import TINY
from edsel_assets_tests.defs.serving import Server, free_port
from edsel_assets_tests.running.homes import tables
from edsel_assets_tests.test_cli import edsel

pytestmark = pytest.mark.slow
RUNS, ORDERS, IMPORTS = 6, 4, 4
SESSIONS = (("worker", "worker", "daemon"), ("worker", "worker", "webserver"))
COUNT = 8
SETTINGS = {
    **TINY,
    "pool": {"path": "builtin:demo", "limit": 40},
    "clustering": {"counts": [4], "count": 4, "iterations": 10},
    "selection": {
        "strategies": ["random", "kmq", "iterative_kmq_perplexity"],
        "budgets": [COUNT],
        "gammas": [1.0],
    },
    "evaluation": {**TINY["evaluation"], "held_out": 4},
}
BACKFILL = """
mutation($keys: [AssetKeyInput!]!) {
  launchPartitionBackfill(backfillParams: {assetSelection: $keys, allPartitions: true}) {
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
KEYS = "{ assetNodes { assetKey { path } isMaterializable } }"
_OTHERS = ("edsel.json", "adapter_config.json", "training_log.json")
#: What is in the command line of each process of ``edsel ui``.
ROLES = {"worker": "edsel_assets.worker", "daemon": "dagster._daemon", "webserver": "running.ui.web_server"}


def test_twenty_kills_leave_what_no_kill_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw, study = random.Random(0), tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    never = tmp_path / "never"
    succeed("run", study, never)
    cells = made(never)
    home = kill_runs(study, tmp_path / "home", cells, draw)
    assert tables(home) == tables(never), "the same before anything is bought"
    answers = tmp_path / "answers.jsonl"
    succeed("order", study, never, *ORDER)
    rows = [{"prompt_id": key, "response": f"answer {key}"} for key in Ledger(store(never)).state()]
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    succeed("import", study, never, str(answers))
    home, placed = kill_orders(study, home, draw)
    home, entered = kill_imports(study, home, answers, events(never), draw)
    said = kill_services(study, home, draw)
    succeed("run", study, never)
    succeed("run", study, home)
    assert "0 are not" in succeed("verify", study, home)
    assert "Nothing to do" in succeed("run", study, home)
    assert tables(home) == tables(never)
    assert events(home) == events(never), "nothing is lost or paid twice"
    with capsys.disabled():
        print(f"\nrun: {RUNS} killed, of {cells} cells; {len(tables(home))} tables are the same")
        print(f"order: {ORDERS} killed, {placed} had placed it")
        print(f"import: {IMPORTS} killed, {entered} had entered all answers")
        print(f"ui: {said}")


ORDER = ("--strategy", "random", "--budget", str(COUNT))


def kill_runs(study: Path, home: Path, cells: int, draw: random.Random) -> Path:
    """Kill ``edsel run`` in each sixth of its cells once, then let it end."""
    for number in range(RUNS):
        goal = int((number + draw.random()) / RUNS * cells)
        delay = draw.uniform(0, 4) if goal == 0 else draw.uniform(0, 0.5)
        assert killed(command("run", study, home), lambda goal=goal: made(home) >= goal, delay)
    succeed("run", study, home)
    return home


def kill_orders(study: Path, home: Path, draw: random.Random) -> tuple[Path, int]:
    """Kill ``edsel order`` in copies of a home; a last copy that goes on, and how often it was placed."""
    placed, base = 0, home
    for number in range(ORDERS):
        home = shutil.copytree(base, base.with_name(f"order{number}"))
        lock = store(home).folder / "orders" / ".lock"  # the first file that the placing of an order makes
        late = number % 2 == 1
        delay = draw.uniform(0, 0.1) if late else draw.uniform(0, 3)
        watched = lock if late else home
        assert killed(command("order", study, home, *ORDER), watched.exists, delay)
        orders = list_orders(store(home))
        assert len(orders) <= 1
        assert all(order_table(store(home), order.name).num_rows == COUNT for order in orders), "it is whole"
        placed += len(orders)
        if orders:
            record_orders(store(home))  # what every command about orders does first
        else:
            succeed("order", study, home, *ORDER)
        assert not list((store(home).folder / "orders").glob("*.tmp"))
        assert Counter(event for event, _, _ in events(home)) == {"asked": COUNT}
    return home, placed


def kill_imports(
    study: Path, home: Path, answers: Path, expected: list[tuple[str, str, float | None]], draw: random.Random
) -> tuple[Path, int]:
    """Kill ``edsel import`` in copies of a home; a last copy that goes on, and how often all was entered."""
    entered, base = 0, home
    for number in range(IMPORTS):
        home = shutil.copytree(base, base.with_name(f"import{number}"))
        log, late = Ledger(store(home)).path, number % 2 == 1
        before = log.stat().st_mtime_ns
        delay = draw.uniform(0, 0.02) if late else draw.uniform(0, 3)

        def changed(log: Path = log, before: int = before, late: bool = late) -> bool:
            return not late or log.stat().st_mtime_ns != before

        assert killed(command("import", study, home, str(answers)), changed, delay)
        answered = sum(purchase.answered for purchase in Ledger(store(home)).state().values())
        assert answered in (0, COUNT)
        entered += answered == COUNT
        succeed("import", study, home, str(answers))
        assert events(home) == expected, "the same again completes it"
    return home, entered


def kill_services(study: Path, home: Path, draw: random.Random) -> str:
    """Kill the processes of ``edsel ui`` while it makes every asset; what was killed, in words."""
    before = made(home)
    for roles in SESSIONS:
        port = free_port()
        process = subprocess.Popen(
            command("ui", study, home, "--port", str(port)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server, seen = Server(port, process), set[int]()
        try:
            server.wait(240)
            nodes = server.ask(KEYS)["assetNodes"]
            keys = [{"path": node["assetKey"]["path"]} for node in nodes if node["isMaterializable"]]
            for role in roles:
                # With its worker a run is gone, and the backfill ends: what follows would lack its inputs.
                assert server.ask(BACKFILL, keys=keys)["launchPartitionBackfill"]["backfillId"]
                wait_for(lambda pid=process.pid, role=role: below(pid, ROLES[role]))
                time.sleep(draw.uniform(0, 5))
                seen |= set(below(process.pid))
                victims = wait_for(lambda pid=process.pid, role=role: below(pid, ROLES[role]))
                os.kill(victims[-1], signal.SIGKILL)
        finally:
            seen |= set(below(process.pid))
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=90)
        wait_for(lambda seen=seen: not [pid for pid in seen if Path(f"/proc/{pid}/cmdline").exists()] or None)
        with open_instance(Home.at(home), "tiny") as instance:
            fail_orphaned_runs(instance)
            left = [run.run_id for run in unfinished_runs(instance) if run.status.value != "QUEUED"]
            assert left == [], "each run has an end"
    ended = ", ".join(role for roles in SESSIONS for role in roles)
    return f"killed {ended}; {before} ledgers before, {made(home)} after"


# -- processes


def command(name: str, study: Path, home: Path, *words: str) -> list[str]:
    options = ["--study", str(study), "--home", str(home)]
    return [sys.executable, "-m", "edsel_assets.cli", name, *words, *options]


def succeed(name: str, study: Path, home: Path, *words: str) -> str:
    code, out, error = edsel(name, *words, "--study", str(study), "--home", str(home))
    assert code == 0, error
    return out


def killed(words: list[str], ready: Callable[[], bool], delay: float) -> bool:
    """Start a command, wait until it is ``ready``, then kill it after ``delay`` s; whether it ran still."""
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and not ready():
        time.sleep(0.002)
    time.sleep(delay)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def wait_for(found: Callable[[], object], seconds: float = 240) -> list[int]:
    """What ``found`` gives, as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return value if isinstance(value, list) else []


def below(parent: int, words: str = "") -> list[int]:
    """Processes that ``parent`` started, and those below them, with ``words`` in their command line."""
    started: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        started.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, level = [], [parent]
    while level:
        level = [child for process in level for child in started.get(process, [])]
        found += level
    return [pid for pid in found if words in line_of(pid)]


def line_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return "nothing: it has just ended"


# -- what a home holds


def store(home: Path) -> Store:
    return Home.at(home).store("tiny")


def made(home: Path) -> int:
    """How many cells have a ledger."""
    files = store(home).folder.rglob("*.json")
    return sum(file.name not in _OTHERS and file.parent.name != "orders" for file in files)


def events(home: Path) -> list[tuple[str, str, float | None]]:
    return [(event.event, event.prompt_id, event.price) for event in Ledger(store(home)).events()]
