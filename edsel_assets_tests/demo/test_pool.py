"""The pool is seeded, long-tailed, dirty as stated, and disjoint from the benchmarks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from edsel_assets.demo.benchmark import choice_items, generate_items
from edsel_assets.demo.families import FAMILIES
from edsel_assets.demo.pool import ROWS, demo_pool, family_counts, split_items, write_demo_pool


@pytest.fixture(scope="module")
def pool() -> pd.DataFrame:
    return demo_pool(0)


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


def test_same_seed_same_bytes_other_seed_other_rows(tmp_path: Path) -> None:
    first = write_demo_pool(tmp_path / "a" / "pool.parquet").read_bytes()
    assert first == write_demo_pool(tmp_path / "b.parquet").read_bytes()
    assert first != write_demo_pool(tmp_path / "c.parquet", seed=1).read_bytes()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_benchmark_prompt_is_in_the_pool(seed: int) -> None:
    asked = set(demo_pool(seed)["prompt"].str.lower().str.strip())
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
