"""An order of ten prompts that the ledger knows, and what it says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edsel_assets.annotation import Ledger
from edsel_assets.store import Home, Store
from edsel_assets_tests.annotation.conftest import placed

TEN = 10


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Home.at(tmp_path).store("s")


@pytest.fixture
def order(store: Store) -> tuple[str, list[str]]:
    """Name of an order of ten prompts at 0.5 each, and their ids."""
    return placed(store, TEN)


def states(store: Store) -> list[str]:
    return [bought.status for bought in Ledger(store).state().values()]


def events(store: Store, kind: str) -> list:
    return [event for event in Ledger(store).events() if event.event == kind]
