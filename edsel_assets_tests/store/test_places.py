"""One class knows where all lies, one module has every lock, one every key; files are written whole."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import edsel_assets
from edsel_assets.keys import CellKey, key_parts, partition_key
from edsel_assets.store import Home, Store

PACKAGE = Path(edsel_assets.__file__).parent
#: What only these modules may write.
OWNED = {
    "store/places.py": r"[\"'/](store|dagster|pictures|judge|orders|rehearsals|rows|\.leases)[\"'/]",
    "store/locks.py": r"\bfcntl\b|\bflock\(",
    "keys.py": r"(split|partition)\((sep=)?\"\|\"|\"\|\"\.join|\}\|\{",
}


@pytest.mark.parametrize(("owner", "pattern"), OWNED.items())
def test_nothing_else_makes_paths_locks_or_keys(owner: str, pattern: str) -> None:
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    assert owner in files
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, path in files.items()
        if name not in (owner, "cli/__init__.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line.partition("#")[0]) and _writes_a_path(line, owner)
    ]
    assert not found, "\n".join(found)


def _writes_a_path(line: str, owner: str) -> bool:
    return owner != "store/places.py" or bool(re.search(r" / [\"'f]|joinpath", line))


def test_a_cell_lies_where_its_key_says() -> None:
    store = Home(Path("/h")).store("s")
    cell = CellKey("selections", partition_key("00100", "k_center.v2"))
    assert key_parts(cell.partition) == cell.parts == ("00100", "k_center.v2")
    assert store.table(cell) == Path("/h/store/s/selections/00100/k_center.v2.parquet")
    assert store.path(store.ledger(cell)) == Path("/h/store/s/selections/00100/k_center.v2.json")
    assert store.items(cell) == Path("/h/store/s/selections/00100/items/k_center.v2.parquet")
    assert store.items(CellKey("base_scores")) == Path("/h/store/s/items/base_scores.parquet")
    assert store.lease(CellKey("round_1/weights")) == Path("/h/store/s/.leases/round_1/weights.lease")
    with pytest.raises(ValueError, match="study must be a name"):
        Home(Path("/h")).store("../other")


def test_of_many_that_create_one_file_one_does(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: store.create("a/b", b"%d" % i), range(8)))
    assert sum(made) == 1
    assert store.read("a/b") == b"%d" % made.index(True)
    assert store.list("a/*") == ["a/b"]


def test_no_addition_is_lost_where_each_replaces_what_it_has_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("sum", b"0")

    def add(_: int) -> None:
        while True:
            mark, before = store.mark("sum"), int(store.read("sum"))
            if store.replace("sum", b"%d" % (before + 1), mark):
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    assert store.read("sum") == b"40"
    assert not store.replace("sum", b"9", None), "it is there"
    store.delete("sum")
    store.delete("sum")
    assert not store.exists("sum")
    assert store.replace("sum", b"1", store.mark("sum"))
