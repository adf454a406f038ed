"""The pool is seeded, long-tailed, dirty as stated, and disjoint from the benchmarks."""

from __future__ import annotations

import pandas as pd
import pytest

from edsel_assets.demo import DEMO, choice_items, data_files, generate_items, local_path
from scripts.demo.families import FAMILIES
from scripts.demo.make_data import files
from scripts.demo.make_pool import ROWS, demo_rows, family_counts, split_items


@pytest.fixture(scope="module")
def pool() -> pd.DataFrame:
    return pd.DataFrame(demo_rows(0))


def test_shape_and_shares(pool: pd.DataFrame) -> None:
    assert list(pool.columns) == ["prompt", "response", "task", "source"]
    assert len(pool) == ROWS
    # 2,000 rows: 10 % near-duplicates, 3 % exact duplicates, 8 % junk
    assert pool["source"].value_counts().to_dict() == {
        "questions": 1580, "near_duplicate": 200, "duplicate": 60, "junk": 160,
    }  # fmt: skip
    assert pool.notna().all(axis=None)
    assert (pool["prompt"].str.strip() != "").all()


def test_only_the_exact_duplicates_repeat_a_prompt(pool: pd.DataFrame) -> None:
    assert pool["prompt"].duplicated().sum() == 60
    assert not pool[pool["source"] != "duplicate"]["prompt"].duplicated().any()


def test_families_are_long_tailed_and_all_there(pool: pd.DataFrame) -> None:
    counts = family_counts(1580)
    assert sum(counts.values()) == 1580
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    asked = pool[pool["source"] == "questions"]["task"].value_counts()
    assert asked.to_dict() == counts
    assert asked.min() >= 6
    assert asked.nlargest(3).sum() > 0.5 * asked.sum()


def test_the_shipped_files_are_what_the_script_makes_byte_for_byte() -> None:
    made = files()
    folder = local_path(DEMO)
    assert {name: (folder / name).read_bytes() for name in made} == made
    assert {file.relative_to(folder).as_posix() for file in data_files()} == set(made)
    assert demo_rows(1) != demo_rows(0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_benchmark_prompt_is_in_the_pool(seed: int) -> None:
    asked = {row["prompt"].lower().strip() for row in demo_rows(seed)}
    for items in (choice_items(), generate_items()):
        assert not asked & set(items["test"]["prompt"])


def test_no_benchmark_item_is_among_the_items_of_the_pool() -> None:
    for family in FAMILIES.values():
        held_out, rest = split_items(family)
        assert not {x for x, _ in held_out} & {x for x, _ in rest}
        assert len(rest) >= 10


def test_prompts_and_responses_are_short(pool: pd.DataFrame) -> None:
    assert pool["prompt"].str.len().max() <= 100
    assert pool["response"].str.len().max() <= 40
