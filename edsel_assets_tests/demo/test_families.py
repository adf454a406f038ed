"""The families draw items that are right, and say the same thing every time."""

from __future__ import annotations

import random

import pytest

from scripts.demo.families import FAMILIES

ANSWERS = {  # worked out by hand
    "sum": ("7 + 5", "12"),
    "opposite": ("hot", "cold"),
    "plural": ("child", "children"),
    "past_tense": ("go", "went"),
    "capital": ("france", "paris"),
    "category": ("carrot", "vegetable"),
    "first_letter": ("horse", "h"),
    "next": ("after sunday", "monday"),
    "colour": ("banana", "yellow"),
    "rhyme": ("cat", "hat"),
}


def test_there_are_about_two_dozen_families() -> None:
    assert 24 <= len(FAMILIES) <= 28


@pytest.mark.parametrize(("name", "item"), ANSWERS.items())
def test_tables_hold_what_is_true(name: str, item: tuple[str, str]) -> None:
    table = FAMILIES[name].table
    assert table is not None
    assert item in table


@pytest.mark.parametrize("name", FAMILIES)
def test_templates_ask_for_x_and_documents_state_y(name: str) -> None:
    family = FAMILIES[name]
    assert len(family.prompts) == 5
    for template in family.prompts:
        assert "marker" in template.format(x="marker")
    for template in family.documents:
        assert "answer" in template.format(x="answer", y="answer")


@pytest.mark.parametrize("name", FAMILIES)
def test_items_are_seeded_and_short_and_distinct(name: str) -> None:
    family = FAMILIES[name]
    items = family.items(100, random.Random(1))
    assert items == family.items(100, random.Random(1))
    assert len({x for x, _ in items}) == len(items)
    assert all(0 < len(y.split()) <= 4 and len(x.split()) <= 8 for x, y in items)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.wrong])
def test_wrong_answers_leave_at_least_one_that_is_wrong(name: str) -> None:
    family = FAMILIES[name]
    assert family.wrong is not None
    rng = random.Random(0)
    for x, y in family.items(50, rng):
        assert set(family.wrong(x, y, rng)) - {y}


def _check(name: str) -> list[tuple[str, str]]:
    return FAMILIES[name].items(50, random.Random(2))


def test_grammar_families_agree_with_python() -> None:
    assert all(y == x for x, y in _check("copy"))
    assert all(y.split() == x.split()[::-1] for x, y in _check("reverse"))
    assert all(y.split() == sorted(x.split(), key=int) for x, y in _check("sort"))
    assert all(int(y) == len(x.split()) for x, y in _check("count_words"))
    assert all(y == x.title() for x, y in _check("title_case"))
    assert all(int(y) == max(map(int, x.split(" and "))) for x, y in _check("larger"))
    for x, y in _check("sequence"):
        a, b, c = map(int, x.split())
        assert b - a == c - b == int(y) - c
