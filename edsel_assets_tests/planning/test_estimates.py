"""Seconds from tokens: the count of weights, and the product that the docstring states."""

import pyarrow as pa
import pytest
from safetensors import safe_open

from edsel_assets.demo import DEMO, local_path
from edsel_assets.planning import estimates
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.estimates import FromTokens
from edsel_assets.store import Home, Store, write_table
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.planning.fake_store import lineage_for


def demo_weights() -> int:
    with safe_open(local_path(DEMO, "model") / "model.safetensors", "numpy") as file:
        return sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118 (not a mapping)


RATE = 1e11
measured = estimates.cpu_rate  # before it is replaced


@pytest.fixture(autouse=True)
def stated_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "has_gpu", lambda: False)
    monkeypatch.setattr(estimates, "cpu_rate", lambda: RATE)


def test_the_rate_of_this_machine_is_measured() -> None:
    assert 1e8 < measured() < 1e14


def test_seconds_are_operations_over_the_rate(tmp_path, monkeypatch) -> None:
    study, root = tiny_study(), Home.at(tmp_path).store("tiny")
    lineage = lineage_for(study, tmp_path)
    cell = Cell("lora_adapters", "00006|random.s0")
    # Before the pool is read: 6 prompts of (200 + 150, cut at 96) tokens.
    assert FromTokens(study, root, lineage).of(cell) == pytest.approx(6 * 96 * 4 * demo_weights() / RATE)
    write_table(root.table(Cell("pool")), pa.table({"prompt": ["x" * 40] * 10, "response": ["y" * 8] * 10}))
    # 6 prompts x 1 epoch x 12 tokens x 4 operations, as the base is frozen;
    # 10 prompts x (10 + 4 new) tokens x 2 operations.
    assert FromTokens(study, root, lineage).of(cell) == pytest.approx(6 * 12 * 4 * demo_weights() / RATE)
    read = FromTokens(study, root, lineage).of(Cell("embeddings"))
    assert read == pytest.approx(10 * 14 * 2 * demo_weights() / RATE)
    # 8 items x 4 readings x 10 tokens and 8 held out x 12 tokens, x 2 operations.
    scores = FromTokens(study, root, lineage).of(Cell("benchmark_scores", "00006|random.s0"))
    assert scores == pytest.approx((8 * 4 * 10 + 8 * 12) * 2 * demo_weights() / RATE)
    # A cell of tables alone takes a second; k-means 10 prompts x 4 clusters x 768 x 10 iterations x 2 beside.
    clusters = FromTokens(study, root, lineage).of(Cell("clusters", "00004"))
    assert clusters == pytest.approx(1 + 10 * 4 * 768 * 10 * 2 / RATE)


def test_no_cell_of_a_new_study_is_without_a_time(tmp_path) -> None:
    study = tiny_study()
    lineage = lineage_for(study, tmp_path)
    times = FromTokens(study, Store(tmp_path), lineage)
    cells = [cell for node in lineage.nodes.values() for cell in node.cells()]
    assert [str(cell) for cell in cells if times.of(cell) is None] == []


def test_a_judge_takes_its_answers_and_its_limit_of_requests(tmp_path, monkeypatch) -> None:
    file = tmp_path / "some.json"
    file.write_text('[{"instruction": "12345678"}, {"instruction": "1234"}]')
    judge = {"instructions": str(file), "model": "judge", "max_new_tokens": 10, "requests_per_minute": 8}

    def seconds(asset: str, **changes) -> float | None:
        study = tiny_study(evaluation={"judge": judge | changes})
        times = FromTokens(study, Store(tmp_path), lineage_for(study, tmp_path))
        return times.of(Cell(asset, "00006|random.s0"))

    # (2 + 10) + (1 + 10) tokens x 2 operations; 2 instructions x 2 orders at 8 a minute.
    assert seconds("generations") == pytest.approx(23 * 2 * demo_weights() / RATE)
    assert seconds("win_rates") == 30
    assert seconds("win_rates", kind="rating") == 15
    assert seconds("win_rates", requests_per_minute=None) is None
    assert seconds("generations", instructions="absent.json") is None
