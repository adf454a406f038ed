"""Whatever a home holds, flipped, cut, emptied or deleted: it is named, and made again or refused."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from edsel_assets.annotation import Ledger as Purchases
from edsel_assets.defs.build import build_definitions
from edsel_assets.desk import Asking, place, take_back
from edsel_assets.llm.judging.ledger import Ledger as Replies
from edsel_assets.planning.cells import Cell, Scope, cells_in
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.running.instance import open_instance
from edsel_assets.running.local import RunFailed
from edsel_assets.running.ordering import open_desk
from edsel_assets.running.verifying import Looked, look
from edsel_assets.store import Home, Store, StoreError, lines_file
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.running.homes import AIDS, contents
from edsel_assets_tests.running.test_local import Desk
from edsel_assets_tests.store.damage import DAMAGES, spoil


def mostly_slow(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Parameters of a test, of which only the ``quick`` ones are run each time."""
    return [
        value if value in quick else pytest.param(*one(value), marks=pytest.mark.slow) for value in values
    ]


def one(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


@dataclass
class Whole:
    """A home with a finished study, in which an order was answered and a judge has replied."""

    desk: Desk
    study: Study

    @property
    def store(self) -> Store:
        return self.desk.store(self.study)

    def cells(self) -> dict[str, list[Cell]]:
        """The cells that the store holds, by kind."""
        found: dict[str, list[Cell]] = {}
        for cell in cells_in(lineage_of(self.study, Home.at(self.desk.home)), Scope()):
            assert self.store.path(self.store.ledger(cell)).exists(), f"{cell} must be in this store"
            found.setdefault(cell.kind, []).append(cell)
        return found

    def look(self) -> list[Looked]:
        return [one for one in self.every() if one.wrong]

    def every(self) -> list[Looked]:
        lineage = lineage_of(self.study, Home.at(self.desk.home))
        return list(look(self.study, lineage, Home.at(self.desk.home)))

    def run(self) -> set[str]:
        return {str(cell) for cell in self.desk.run(self.study).made}

    def files(self) -> dict[str, str]:
        return contents(self.desk.home)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    home = tmp_path_factory.mktemp("home")
    instructions = home / "instructions.jsonl"
    instructions.write_text("\n".join(json.dumps({"instruction": f"Say {i}."}) for i in range(2)))
    judge = {"instructions": str(instructions), "max_new_tokens": 4, "by": "local", "model": "builtin:demo"}
    study = tiny_study(
        clustering={"counts": [4]},
        selection={
            "strategies": ["random", "fl_rbf_min_margin", "kmq", "iterative_kmq_perplexity"],
            "budgets": [6],
            "gammas": [1.0],
        },
        evaluation={"held_out": 4, "judge": {**judge, "template": "{prompt}"}},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        with open_instance(Home.at(home), "tiny") as instance:
            found = Whole(Desk(home, instance), study)
            buy(found)
            found.run()
            replies = Replies(home / "judge")
            replies.settle(str(replies.reserve("a", 0.2)), "a", 0.1, reply="kept")
            yield found


def buy(whole: Whole) -> None:
    """Order four prompts and import the answers to them."""
    definitions = build_definitions(whole.study, home=whole.desk.home)
    desk = open_desk(whole.study, definitions, whole.desk.instance, Home.at(whole.desk.home))
    place(desk, Asking("random", 4))
    file = whole.desk.home / "answers.jsonl"
    rows = [{"prompt_id": key, "response": f"Answer {key}."} for key in Purchases(whole.store).state()]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert take_back(desk, file)["answered"] == 4


def test_every_file_of_a_home_is_known_to_these_tests(whole: Whole) -> None:
    known = {
        whole.desk.home / name for name in ("instructions.jsonl", "answers.jsonl", "external_files.json")
    }
    known |= {whole.desk.home / "judge" / name for name in ("replies.jsonl", "replies.jsonl.lines")}
    known |= {
        whole.store.folder / name for name in ("edsel.json", "purchases.jsonl", "purchases.jsonl.lines")
    }
    known |= set((whole.store.folder / "orders").iterdir()) | set(whole.desk.home.glob("rows/*/*/*"))
    for cell in (cell for cells in whole.cells().values() for cell in cells):
        path, ledger = whole.store.path(whole.store.ledger(cell)), read_ledger(whole.store, cell)
        assert ledger is not None
        known |= {path, *(path.parent / name for name in ledger.files)}
    every = {path for path in whole.desk.home.rglob("*") if path.is_file()}
    # Pictures are of the metadata: no cell reads them.
    apart = {whole.desk.home / name for name in ("dagster", "pictures", ".leases")}
    apart |= {whole.store.folder / ".leases"}
    assert {path for path in every - known if not apart & set(path.parents)} == set()


def check(whole: Whole, what: str, hows: list[str]) -> None:
    """Damage one cell of each kind, each in the next of ``hows``: it alone is named and made again."""
    before, damaged = whole.files(), {}
    for number, cells in enumerate(whole.cells().values()):
        cell, how = cells[number % len(cells)], hows[number % len(hows)]
        ledger, path = read_ledger(whole.store, cell), whole.store.path(whole.store.ledger(cell))
        assert ledger is not None
        names = sorted(ledger.files)
        file = path if what == "ledger" else path.parent / names[number % len(names)]
        damaged[str(cell)] = (file, how)
        spoil(file, how)
    found = {one.name: one.wrong for one in whole.look()}
    assert set(found) == set(damaged)
    for cell, (file, how) in damaged.items():
        assert file.name in found[cell], (how, found[cell])
    assert whole.run() == set(damaged)
    assert whole.files() == before
    assert whole.look() == []
    assert whole.run() == set()


@pytest.mark.parametrize("what", ["artifact", "ledger"])
def test_one_cell_of_each_kind_is_named_and_made_again(whole: Whole, what: str) -> None:
    check(whole, what, list(DAMAGES))


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("what", ["artifact", "ledger"])
def test_each_kind_in_each_way(whole: Whole, what: str, how: str) -> None:
    check(whole, what, [how])


@pytest.mark.parametrize(
    ("name", "how"),
    mostly_slow(
        product(("orders/order-0001.json", "orders/order-0001.parquet", "purchases.jsonl"), DAMAGES),
        ("orders/order-0001.json", "deleted"),
        ("orders/order-0001.parquet", "flipped"),
        ("purchases.jsonl", "cut"),
        ("purchases.jsonl", "deleted"),
    ),
)
def test_what_was_paid_for_is_refused_and_left_as_it_is(whole: Whole, name: str, how: str) -> None:
    before, file = whole.files(), whole.store.folder / name
    content = spoil(file, how)
    left = sorted(path.name for path in file.parent.iterdir())
    (found,) = [one for one in whole.look() if one.bought][:1]
    assert file.name in found.wrong
    for _ in range(2):  # a second time too, as nothing was made from what is left
        with pytest.raises(RunFailed, match="backup") as failure:
            whole.run()
        assert file.name in str(failure.value)
        assert "\n" not in str(failure.value)
    assert sorted(path.name for path in file.parent.iterdir()) in (left, sorted([*left, file.name]))
    file.write_bytes(content)
    assert whole.run() == set()
    assert whole.files() == before
    assert whole.look() == []


@pytest.mark.parametrize("how", DAMAGES)
def test_replies_of_a_judge_are_named_and_refused(whole: Whole, how: str) -> None:
    file = whole.desk.home / "judge" / "replies.jsonl"
    content = spoil(file, how)
    (found,) = whole.look()
    assert found.bought
    assert "replies.jsonl" in found.wrong
    with pytest.raises(StoreError, match="backup"):
        Replies(file.parent)
    file.write_bytes(content)
    assert whole.look() == []


@pytest.mark.parametrize("how", mostly_slow(DAMAGES, "flipped"))
def test_rows_that_were_damaged_are_computed_again_where_they_are_needed(whole: Whole, how: str) -> None:
    before = whole.files()
    shards = sorted(whole.desk.home.glob("rows/forward_pass/*/shard-*.parquet"))
    assert len(shards) > 1
    spoil(shards[0], how)
    named = {one.name for one in whole.look()}
    assert named == ({str(shards[0].relative_to(whole.desk.home))} if how != "deleted" else set())
    assert whole.run() == set(), "what was made from them is whole"
    for asset in ("embeddings", "token_probabilities"):
        whole.store.path(whole.store.ledger(Cell(asset))).unlink()
    assert whole.run() == {"embeddings", "token_probabilities"}
    aside = shards[0].with_name(f"damaged-{shards[0].name}")
    assert aside.exists() == (how != "deleted")
    aside.unlink(missing_ok=True)
    assert whole.files() == before


@pytest.mark.parametrize("how", mostly_slow(DAMAGES, "emptied"))
def test_what_only_helps_may_be_lost(whole: Whole, how: str) -> None:
    before = whole.files()
    for file in [path for path in whole.desk.home.rglob("*") if path.name in AIDS]:
        content = spoil(file, how)
        assert whole.run() == set(), file
        assert whole.look() == [], file
        file.write_bytes(content)
    assert whole.files() == before


def test_no_field_of_a_ledger_changes_unnoticed_and_one_without_checksum_is_named(whole: Whole) -> None:
    cell = whole.cells()["selections"][0]
    file = whole.store.path(whole.store.ledger(cell))
    before = file.read_bytes()
    fields = json.loads(before)
    changes = {"seed": 7, "code": "0", "host": "other", "settings": {"x": 1}, "seconds": 1e9, "check": "0"}
    for name, value in changes.items():
        file.write_text(json.dumps({**fields, name: value}))
        (found,) = whole.look()
        assert (found.name, "its checksum differs" in found.wrong) == (str(cell), True)
    del fields["check"]
    file.write_text(json.dumps(fields))
    assert whole.look() == []
    assert [one.name for one in whole.every() if not one.checksum] == [str(cell)]
    file.write_bytes(before)
    assert all(one.checksum for one in whole.every())


def test_purchases_gone_with_their_number_are_named_and_nothing_is_bought_again(whole: Whole) -> None:
    before, purchases = whole.files(), whole.store.purchases
    kept = {file: file.read_bytes() for file in (purchases, lines_file(purchases))}
    for file in kept:
        file.unlink()
    assert {"purchases.jsonl"} == {one.name for one in whole.look()}
    with pytest.raises(RunFailed, match=r"purchases\.jsonl says nothing of order-0001.*backup"):
        whole.run()
    for file, content in kept.items():
        file.write_bytes(content)
    assert whole.run() == set()
    assert whole.files() == before


def test_a_flip_under_the_same_time_is_found_by_verify_and_then_made_again(whole: Whole) -> None:
    before = whole.files()
    cell = whole.cells()["lora_adapters"][0]
    (file,) = whole.store.path(whole.store.ledger(cell)).parent.glob(f"{cell.parts[-1]}/*.safetensors")
    time = file.stat().st_mtime_ns
    spoil(file, "flipped")
    os.utime(file, ns=(time, time))
    assert whole.run() == set(), "a run looks closer where size or time changed"
    assert [one.name for one in whole.look()] == [str(cell)]
    assert whole.run() == {str(cell)}
    assert whole.files() == before


def test_a_home_that_moved_has_nothing_to_do(whole: Whole, tmp_path: Path) -> None:
    copied = shutil.copytree(whole.desk.home, tmp_path / "copied")
    moved = copied.rename(tmp_path / "moved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", os.environ["DAGSTER_HOME"])  # opening another instance changes it
        with open_instance(Home.at(moved), "tiny") as instance:
            other = Whole(Desk(moved, instance), whole.study)
            assert other.run() == set()
            assert other.look() == []
            assert other.files() == whole.files()
            shown = other.desk.metadata("pool")
            assert (moved / shown["file"]).samefile(other.store.folder / "pool.parquet")
            assert (moved / shown["ledger"]).samefile(other.store.folder / "pool.json")


@pytest.mark.parametrize("years", [-20, 20])
def test_times_of_files_decide_nothing(whole: Whole, years: int) -> None:
    before = whole.files()
    for path in whole.store.folder.rglob("*"):
        if path.is_file():
            time = path.stat().st_mtime + years * 365 * 86400
            os.utime(path, (time, time))
    assert whole.run() == set()
    assert whole.look() == []
    assert whole.files() == before
