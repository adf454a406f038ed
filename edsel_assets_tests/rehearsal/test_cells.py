"""A few cells of each paper's study on stand-ins: what rehearsing the whole study shows, in seconds."""

from pathlib import Path

import pytest

from edsel_assets.cli.making import make
from edsel_assets.planning.cells import Scope
from edsel_assets.rehearsal.judge_server import judge_server
from edsel_assets.rehearsal.needs import load_with_gaps
from edsel_assets.rehearsal.sizes import Size
from edsel_assets.rehearsal.stand_ins import set_up
from edsel_assets.store import Home, Store, read_table

SIZE = Size(prompts=70, largest=18, items=1, members=1, seeds=1, random_seeds=1, held_out=4)


def rehearsed(name: str, folder: Path, strategy: str | None, *assets: str) -> tuple[Store, int]:
    """The store with these assets of one strategy at its largest budget, which is given too."""
    full, _ = load_with_gaps(name)
    with judge_server() as judge:
        small = set_up(full, folder, SIZE, None, judge).study
        budget = small.selection.budgets_for(strategy)[-1] if strategy else 0
        chosen = (frozenset({budget}), frozenset({strategy})) if strategy else ()
        named = dict(zip(("budgets", "strategies"), chosen, strict=False))
        make(small, Scope(assets=frozenset(assets), **named), Home.at(folder), 1)
    return Home.at(folder).store(small.name), budget


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for variable in ("EDSEL_POOL", "EDSEL_MODEL", "EDSEL_HUMANEVAL", "EDSEL_INSTRUCTIONS", "EDSEL_TRAINED"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("name", "strategy"),
    [("bhatt2024", "fl_rbf_min_margin"), ("yu2024_alpaca", "qdit"), ("yu2024_transfer", "kmq")],
)
def test_one_trial_of_a_papers_study(name, strategy, tmp_path) -> None:
    store, budget = rehearsed(name, tmp_path, strategy, "benchmark_scores")
    full, _ = load_with_gaps(name)
    path = store.folder / "benchmark_scores" / f"{budget:05d}" / f"{strategy}.s0.parquet"
    assert set(read_table(path)["task"].to_pylist()) >= {task.shown for task in full.evaluation.tasks}


def test_the_judge_of_bhatt2024(tmp_path) -> None:
    store, _ = rehearsed("bhatt2024", tmp_path, "random", "win_rates")
    judged = sorted(path.name for path in (store.folder / "win_rates").glob("*/*.parquet"))
    assert judged == ["random.s0.parquet"]  # its largest budget is the reference


def test_a_round_of_yu2024_is_scored(tmp_path) -> None:
    strategy = "iterative_kmq_perplexity"
    store, budget = rehearsed("yu2024", tmp_path, strategy, "round_1/scores")
    path = store.folder / "round_1" / "scores" / f"{budget:05d}" / f"{strategy}.s0.parquet"
    assert {"gsm8k", "gsm8k_8", "mmlu"} <= set(read_table(path)["task"].to_pylist())


def test_the_diagnostics_of_yu2024_clusters(tmp_path) -> None:
    store, _ = rehearsed("yu2024_clusters", tmp_path, None, "embedding_silhouettes", "cluster_quality")
    curves = read_table(store.folder / "embedding_silhouettes.parquet").to_pandas()
    assert list(curves.groupby("embeddings").size()) == [8, 8, 8]
    assert read_table(store.folder / "cluster_quality.parquet").num_rows == 8
