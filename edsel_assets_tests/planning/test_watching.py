"""What a trigger sees of a pool whose files appear, change and go, near and far."""

import functools
import http.server
import importlib
import json
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from edsel_assets.llm.models import identity
from edsel_assets.llm.models.files import model_commit
from edsel_assets.planning import preflight
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.external import External
from edsel_assets.planning.freshness import Freshness
from edsel_assets.planning.ledger import read_ledger, stored_files, write_ledger
from edsel_assets.planning.recording import content_of
from edsel_assets.planning.watching import Look, due, look
from edsel_assets.pools import PoolError, PoolSource, data_set_commit, pool_files
from edsel_assets.stages.pools import read_study_pool
from edsel_assets.store import Home, write_table
from edsel_assets.study import Study, TriggerSettings
from edsel_assets_tests.planning.fake_store import fill, lineage_for

WATCH = TriggerSettings(name="watch", watch=["pool"])


def lines(*prompts: str) -> str:
    return "".join(json.dumps({"prompt": p}) + "\n" for p in prompts)


def study_on(path: str | list[str], **sections: Any) -> Study:
    selection = {"strategies": ["random"], "budgets": [1]}
    return Study.model_validate({"name": "w", "pool": {"path": path}, "selection": selection, **sections})


class Watched:
    """A study whose every cell is fresh, its pool stored as its files are, and a trigger that remembers."""

    def __init__(self, study: Study, home: Path, trigger: TriggerSettings = WATCH) -> None:
        self.study, self.home, self.trigger = study, home, trigger
        self.lineage, self.cursor = lineage_for(study, home), None
        self.make()

    @property
    def freshness(self) -> Freshness:
        return Freshness(self.study, self.lineage, Home.at(self.home))

    def make(self) -> None:
        """As a run would: the pool's cell holds what the files hold."""
        fill(self.study, self.home)
        root, cell = Home.at(self.home).store(self.study.name), Cell("pool")
        table = read_study_pool(self.study).selectable
        write_table(root.table(cell), table)
        ledger, content = read_ledger(root, cell), content_of(table)
        files = stored_files(root.files(cell))
        assert ledger is not None
        write_ledger(root, ledger.model_copy(update={"content": content.value, "files": files}))
        pool = read_ledger(root, cell)
        assert pool is not None
        for user in self._users_of_the_pool():
            made = read_ledger(root, user)
            assert made is not None
            read = {**made.inputs, "pool": made.inputs["pool"].model_copy(update={"content": pool.content})}
            write_ledger(root, made.model_copy(update={"inputs": read}))

    def _users_of_the_pool(self) -> list[Cell]:
        cells = [cell for node in self.lineage.nodes.values() for cell in node.cells()]
        return [cell for cell in cells if Cell("pool") in self.lineage.parents(cell)]

    def tick(self) -> Look:
        found = look(self.trigger, self.freshness, self.cursor)
        self.cursor = found.cursor
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pool"
    folder.mkdir()
    (folder / "a.jsonl").write_text(lines("one", "two"))
    return folder


def test_files_that_appear_change_and_go_each_start_one_run(folder, tmp_path) -> None:
    watched = Watched(study_on(str(folder)), tmp_path / "home")
    first = watched.tick()
    assert (first.launch, first.message) == (
        False,
        "Recorded 1 name to compare with. The first look starts nothing.",
    )
    assert watched.tick().message == "Nothing that it watches changed."

    (folder / "b.jsonl").write_text(lines("three"))
    keys = []
    for change, message in (
        (lambda: None, "pool/b.jsonl appeared: 1 prompt joined the pool"),
        (
            lambda: (folder / "a.jsonl").write_text(lines("one", "four", "five")),
            "pool/a.jsonl changed: 2 prompts joined, 1 prompt left the pool",
        ),
        ((folder / "b.jsonl").unlink, "pool/b.jsonl is gone: 1 prompt left the pool"),
    ):
        change()
        found = watched.tick()
        assert (found.launch, found.message) == (True, message)
        assert not watched.tick().launch, "asked for once"
        watched.make()
        assert watched.tick().message == "Nothing that it watches changed."
        keys.append(found.key)
    assert len(set(keys)) == 3


def test_a_state_that_comes_back_is_asked_for_again(folder, tmp_path) -> None:
    watched = Watched(study_on(str(folder)), tmp_path / "home")
    watched.tick()
    keys = []
    for text in (lines("three"), None, lines("three")):
        file = folder / "b.jsonl"
        file.write_text(text) if text else file.unlink()
        keys.append(watched.tick().key)
        watched.make()
    assert len(set(keys)) == 3, "Dagster leaves out a request whose key it has seen"


def test_another_time_of_change_or_another_order_of_rows_starts_nothing(folder, tmp_path) -> None:
    watched = Watched(study_on(str(folder)), tmp_path / "home")
    watched.tick()
    os.utime(folder / "a.jsonl", (1, 1))
    assert watched.tick().message == "Nothing that it watches changed."
    (folder / "a.jsonl").write_text(lines("two", "one"))
    found = watched.tick()
    assert (found.launch, found.message) == (False, "pool/a.jsonl changed: the prompts are the same")
    assert watched.tick().message == "Nothing that it watches changed."


def test_a_pool_that_a_person_made_meanwhile_leaves_its_selections_to_the_trigger(folder, tmp_path) -> None:
    watched = Watched(study_on(str(folder)), tmp_path / "home")
    watched.tick()
    (folder / "b.jsonl").write_text(lines("three"))
    store, pool = Home.at(tmp_path / "home").store("w"), Cell("pool")
    watched.make()
    ledger = read_ledger(store, Cell("rankings", "random"))
    assert ledger is not None
    older = ledger.inputs["pool"].model_copy(update={"content": "0" * 32})
    write_ledger(store, ledger.model_copy(update={"inputs": {**ledger.inputs, str(pool): older}}))
    found = watched.tick()
    assert (found.launch, found.message) == (
        True,
        "pool/b.jsonl appeared: no prompt joined or left the pool",
    )


def test_a_file_that_cannot_be_read_at_the_first_look_is_named(folder, tmp_path) -> None:
    watched = Watched(study_on(str(folder)), tmp_path / "home")
    (folder / "b.jsonl").write_text("{")
    found = watched.tick()
    assert (found.launch, found.cursor) == (False, None)
    assert f"{folder}/b.jsonl, row 1" in found.message
    (folder / "b.jsonl").unlink()
    assert "Recorded 1 name" in watched.tick().message


def test_it_waits_for_as_many_new_prompts_as_it_was_told_to(folder, tmp_path) -> None:
    trigger = TriggerSettings(name="grown", watch=["pool"], minimum_new=3)
    watched = Watched(study_on(str(folder)), tmp_path / "home", trigger)
    watched.tick()
    (folder / "b.jsonl").write_text(lines("three", "four", "one"))
    for _ in range(2):
        found = watched.tick()
        assert not found.launch
        assert found.message == "pool/b.jsonl appeared: 2 prompts joined the pool; it waits for 3 new ones"
    (folder / "c.jsonl").write_text(lines("five"))
    found = watched.tick()
    assert found.launch
    assert found.message == "pool/b.jsonl appeared; pool/c.jsonl appeared: 3 prompts joined the pool"


def test_a_file_that_cannot_be_read_is_named_until_it_is_mended(folder, tmp_path) -> None:
    watched = Watched(study_on(str(folder)), tmp_path / "home")
    watched.tick()
    (folder / "b.jsonl").write_text('{"prompt": "ha')
    for _ in range(2):
        found = watched.tick()
        assert not found.launch
        assert f"{folder}/b.jsonl, row 1: not valid JSON" in found.message
        assert "\n" not in found.message
    (folder / "b.jsonl").write_text(lines("half", "whole"))
    assert watched.tick().message == "pool/b.jsonl appeared: 2 prompts joined the pool"


def test_a_folder_without_files_is_named_and_nothing_is_forgotten(folder, tmp_path) -> None:
    watched = Watched(study_on(str(folder)), tmp_path / "home")
    before = watched.tick().cursor
    (folder / "a.jsonl").rename(folder / "a.away")
    found = watched.tick()
    assert found.cursor == before
    assert f"Directory {folder} holds no file" in found.message
    (folder / "a.away").rename(folder / "a.jsonl")
    assert watched.tick().message == "Nothing that it watches changed."


def test_a_changed_setting_is_named_by_the_asset_that_reads_it(folder, tmp_path) -> None:
    trigger = TriggerSettings(name="any", watch=["pool", "settings"])
    watched = Watched(study_on(str(folder)), tmp_path / "home", trigger)
    watched.tick()
    selection = watched.study.selection.model_copy(update={"seed": 9})
    watched.study = watched.study.model_copy(update={"selection": selection})
    found = watched.tick()
    assert (found.launch, found.message) == (True, "settings of rankings changed: a target is stale")


def test_what_changed_but_decides_no_target_starts_nothing(folder, tmp_path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"prompt": "one", "response": "1"}\n')
    study = study_on(str(folder), pool={"path": str(folder), "annotations": str(answers)})
    trigger = TriggerSettings(name="any", watch=["answers"], targets="pool")
    watched = Watched(study, tmp_path / "home", trigger)
    watched.tick()
    answers.write_text('{"prompt": "one", "response": "2"}\n')
    found = watched.tick()
    assert (found.launch, found.message) == (
        False,
        "annotations/answers.jsonl changed: every target is fresh",
    )


def test_a_cursor_of_another_version_is_recorded_anew(folder, tmp_path) -> None:
    watched = Watched(study_on(str(folder)), tmp_path / "home")
    watched.cursor = "0123abcd"
    assert "Recorded 1 name" in watched.tick().message


def test_a_clock_finds_what_is_due_and_names_a_file_that_cannot_be_read(folder, tmp_path) -> None:
    trigger = TriggerSettings(name="nightly", cron="0 3 * * *")
    watched = Watched(study_on(str(folder)), tmp_path / "home", trigger)
    assert due(trigger, watched.freshness) == Look(False, "Every target is fresh.", None)
    (folder / "b.jsonl").write_text(lines("three"))
    found = due(trigger, watched.freshness)
    assert found.launch
    assert found.message == "pool: pool/b.jsonl appeared"
    (folder / "b.jsonl").write_text("[")
    assert f"{folder}/b.jsonl" in due(trigger, watched.freshness).message


# -- far away


class Listing(MemoryFileSystem):
    """Files in memory whose listings are kept, as those of object stores are; nothing else is cached."""

    protocol = "listing"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    kept: ClassVar[dict[str, Any]] = {}

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        if path not in self.kept:
            self.kept[path] = super().ls(path, detail=True, **options)
        return self.kept[path] if detail else [entry["name"] for entry in self.kept[path]]

    def invalidate_cache(self, path: str | None = None) -> None:
        self.kept.clear()


@pytest.fixture
def memory() -> Iterator[str]:
    fsspec.register_implementation("listing", Listing, clobber=True)
    yield "listing:///prompts"
    for files in (Listing.store, MemoryFileSystem.store):
        files.clear()
    Listing.kept.clear()


@pytest.mark.parametrize("pattern", ["", "/*.jsonl"])
@pytest.mark.parametrize("kind", ["memory:///prompts", "listing:///prompts", "file"])
def test_files_of_any_file_system_are_noticed(memory, kind, pattern, tmp_path) -> None:
    base = f"file://{tmp_path}/far" if kind == "file" else kind
    (tmp_path / "far").mkdir()

    def write(name: str, text: str) -> None:
        with fsspec.open(f"{base}/{name}", "w") as file:
            file.write(text)

    write("a.jsonl", lines("one", "two"))
    watched = Watched(study_on(base + pattern), tmp_path / "home")
    watched.tick()
    assert watched.tick().message == "Nothing that it watches changed."
    write("b.jsonl", lines("three"))
    assert watched.tick().message == "pool/b.jsonl appeared: 1 prompt joined the pool"
    watched.make()
    write("b.jsonl", lines("three"))
    assert not watched.tick().launch, "written again, the same"
    write("b.jsonl", lines("three", "four"))
    assert watched.tick().message == "pool/b.jsonl changed: 1 prompt joined the pool"
    watched.make()
    fs, _ = fsspec.core.url_to_fs(base)
    fs.rm(f"{base}/b.jsonl")
    assert watched.tick().message == "pool/b.jsonl is gone: 2 prompts left the pool"


def test_a_file_over_http_is_noticed(tmp_path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    (far / "a.jsonl").write_text(lines("one", "two"))
    handler = functools.partial(Quiet, directory=str(far))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a.jsonl"
        watched = Watched(study_on(address), tmp_path / "home")
        watched.tick()
        os.utime(far / "a.jsonl", (1, 1))
        assert watched.tick().message == "pool/a.jsonl changed: the prompts are the same"
        assert watched.tick().message == "Nothing that it watches changed."
        (far / "a.jsonl").write_text(lines("one", "two", "three"))
        assert watched.tick().message == "pool/a.jsonl changed: 1 prompt joined the pool"
        watched.make()
        (far / "a.jsonl").unlink()
        found = watched.tick()
        assert (found.launch, f"There is no file {address}" in found.message) == (False, True)
        server.shutdown()


def test_files_here_and_far_are_of_one_pool(tmp_path, memory) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(lines(name))
        with fsspec.open(f"memory:///prompts/{name}.jsonl", "w") as file:
            file.write(lines(f"far {name}"))

    def names(*paths: str) -> list[str]:
        return sorted(External(study_on([*paths]), Home.at(tmp_path)).source("pool"))

    here, far = str(tmp_path / "*.jsonl"), "memory:///prompts"
    assert names(here) == ["pool/a.jsonl", "pool/b.jsonl"]
    assert names(far) == ["pool/a.jsonl", "pool/b.jsonl"]
    both = ["pool//prompts/a.jsonl", "pool//prompts/b.jsonl", "pool/a.jsonl", "pool/b.jsonl"]
    assert names(here, far) == names(far, here) == both
    assert not list(preflight.problems(study_on([here, far]), Home.at(tmp_path), {"pool"}))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_remote_file_is_told_by_the_stores_own_mark_where_there_is_one(memory, monkeypatch, tmp_path):
    with fsspec.open("memory:///prompts/a.jsonl", "w") as file:
        file.write(lines("one"))
    source = study_on("memory:///prompts")
    plain = MemoryFileSystem.info
    seen = []
    for tag in ("x", "x", "y"):
        MemoryFileSystem.store["/prompts/a.jsonl"].modified += timedelta(seconds=9)
        monkeypatch.setattr(
            MemoryFileSystem,
            "info",
            lambda self, path, t=tag, **k: {**plain(self, path, **k), "ETag": t},
        )
        (listed,) = pool_files(PoolSource("memory:///prompts"))
        assert (listed.tag, listed.local) == (tag, False)
        seen.append(External(source, Home.at(tmp_path)).source("pool"))
    assert seen[0] == seen[1] != seen[2]


def test_a_data_set_of_the_hub_is_told_by_its_commit(monkeypatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import RevisionNotFoundError

    commit = "a" * 40
    assert data_set_commit("me/prompts", commit) == commit, "a commit needs no look"
    asked = []

    def info(self: Any, name: str, revision: str | None = None, timeout: float | None = None) -> Any:
        asked.append((name, revision))
        if revision == "gone":
            raise RevisionNotFoundError("no such revision", response=response())
        if revision == "offline":
            raise ConnectionError("no network")
        return type("Info", (), {"sha": "b" * 40})

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    assert data_set_commit("me/prompts:small", None) == "b" * 40
    assert asked == [("me/prompts", None)]
    with pytest.raises(PoolError, match=r"The hub has no data set me/prompts of revision gone"):
        data_set_commit("me/prompts", "gone")
    assert data_set_commit("me/prompts", "offline") == "revision offline"
    cached = f"/cache/datasets--me--prompts/snapshots/{'c' * 40}/README.md"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a, **k: cached)
    assert data_set_commit("me/prompts", "offline") == "c" * 40


def test_a_model_of_the_hub_is_told_by_its_commit(monkeypatch, tmp_path) -> None:
    import huggingface_hub

    commit, hub = "a" * 40, {"me/moves": "b" * 40}
    assert model_commit("me/model", commit) == commit, "a commit needs no look"

    def info(self: Any, name: str, revision: str | None = None, timeout: float | None = None) -> Any:
        if name not in hub:
            raise ConnectionError("no network")
        return type("Info", (), {"sha": hub[name]})

    def cached(name: str, file: str, revision: str | None = None) -> str | None:
        there = (name, file) == ("me/sentences", "modules.json")
        return f"/cache/snapshots/{'c' * 40}/{file}" if there else None

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert model_commit("me/moves", None) == "b" * 40
    assert model_commit("me/sentences", None) == "c" * 40, "what was downloaded, where the hub is silent"
    for unknown in ("me/unknown", "./here", "/nowhere/model", "demo"):
        assert model_commit(unknown, None) is None

    study = study_on("builtin:demo", model={"path": "me/moves"})
    seen = [
        External(study, Home.at(tmp_path)).source("model"),
        identity.model_identity(Home.at(tmp_path), "me/moves", None, "auto", "cpu", {}),
    ]
    hub["me/moves"] = "d" * 40
    identity._one_commit.cache_clear()  # as in another process
    then = [
        External(study, Home.at(tmp_path)).source("model"),
        identity.model_identity(Home.at(tmp_path), "me/moves", None, "auto", "cpu", {}),
    ]
    assert seen[0] == {"model/me/moves": "b" * 40}, "of the first run too, before anything is downloaded"
    assert then[0] == {"model/me/moves": "d" * 40}
    assert (seen[1]["files"], then[1]["files"]) == ({"me/moves": "b" * 40}, {"me/moves": "d" * 40})


def response() -> Any:
    """What the hub's errors are made with, whatever HTTP client the library has."""
    import huggingface_hub.errors as errors

    client = importlib.import_module(errors.HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
    return client.Response(404, request=client.Request("GET", "http://localhost"))
