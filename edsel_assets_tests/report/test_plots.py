import io
import threading

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from edsel_assets.report import plots, round_plots, score_plots
from edsel_assets.report.evidence import gather
from edsel_assets.report.heat_map import heat_map, shaded
from edsel_assets.report.style import line_style
from edsel_assets.report.tables import label_efficiency
from edsel_assets_tests.report.paper import cell, mmlu


def many() -> pd.DataFrame:
    """The paper's strategies and eleven more."""
    rows = [
        r
        for i in range(11)
        for b in (20_000, 30_000, 45_000)
        for r in cell(f"strategy_{i}", b, 3, 44 + i / 5, 0.3)
    ]
    return pd.concat([mmlu(), pd.DataFrame(rows)])


def scores_of(query: str) -> bytes:
    """The curves of some of the paper's trials."""
    return plots.score_by_budget(label_efficiency(mmlu().query(query)), "mmlu")


GENERATOR = np.random.default_rng(0)
PLOTS = {
    "score": lambda: plots.score_by_budget(label_efficiency(mmlu()), "mmlu"),
    "score of 15": lambda: plots.score_by_budget(label_efficiency(many()), "mmlu"),
    "score at one budget": lambda: scores_of("budget <= 20000"),
    "heat map": lambda: heat_map(label_efficiency(mmlu()), "mmlu"),
    "heat map of 15": lambda: heat_map(label_efficiency(many()), "mmlu"),
    "saved": lambda: plots.annotation_saved(label_efficiency(mmlu()), "mmlu"),
    "saved by 15": lambda: plots.annotation_saved(label_efficiency(many()), "mmlu"),
    "differences": lambda: plots.differences(label_efficiency(mmlu()), "mmlu"),
    "differences of 15": lambda: plots.differences(label_efficiency(many()), "mmlu"),
    "gains": lambda: plots.gain_curves(
        {0.001: np.linspace(9, 8, 5000), 1.0: np.r_[np.linspace(9, 0, 4000), np.zeros(1000)]},
        budget=4500, usable=[0.001], chosen=0.001,
    ),
    "weights": lambda: round_plots.cluster_weights(np.full((1, 5), 0.2), evenness=0.5),
    "weights of 2,048": lambda: round_plots.cluster_weights(
        np.vstack([np.full(2048, 1 / 2048), np.eye(2048)[7], GENERATOR.dirichlet(np.ones(2048), 8)]),
        evenness=0.5,
    ),
    "clusters": lambda: plots.cluster_counts([64, 8, 16], [0.1, 0.2, 0.3], [1.0, 3.0, 2.0], chosen=16),
    "gains, none usable": lambda: plots.gain_curves({1.0: np.array([3.0, 0.0])}, usable=[]),
    "clusters without silhouette": lambda: plots.cluster_counts([4], [np.nan], [3.0]),
    "control alone": lambda: scores_of("strategy == 'random'"),
    "map of equal points": lambda: plots.embedding_map(np.ones((50, 4), np.float32), [1, 2]),
    "low quality": lambda: plots.low_quality_share([8, 64], [0.0, 0.25]),
    "histogram": lambda: plots.histogram(np.array([1.0, 2.0, np.nan]), label="score"),
    "loss": lambda: plots.loss_curve({"s0": (range(100), np.exp(-np.arange(100) / 9)), "s1": ([1], [2.0])}),
    "map": lambda: plots.embedding_map(
        GENERATOR.standard_normal((30_000, 8)).astype(np.float16), np.arange(5000), title="k_center"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_is_a_small_png(name):
    data = PLOTS[name]()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 250_000
    image = imread(io.BytesIO(data))
    assert min(image.shape[:2]) > 150
    assert np.unique(image.reshape(-1, image.shape[-1]), axis=0).shape[0] > 5  # something is drawn


def test_one_seed_has_no_error_bar():
    rows = [*cell("random", 10, 2, 1.0, 0.1), *cell("s", 10, 1, 1.0, 0.0), *cell("s", 20, 2, 2.0, 0.25)]
    scores = label_efficiency(pd.DataFrame(rows)).scores
    axes = Figure().add_subplot()
    score_plots._score_line(axes, scores, "s", {"color": "blue"}, 1.0)
    (drawn,) = axes.containers
    bars = [bar.tolist() for bar in drawn.lines[2][0].get_segments() if len(bar)]
    assert bars == [[[20.0, pytest.approx(1.75)], [20.0, pytest.approx(2.25)]]]


def test_budgets_without_a_panel_are_counted():
    four = [r for b in (10, 20, 40, 80) for s in ("random", "s") for r in cell(s, b, 2, 1.0 + b / 9, 0.1)]
    efficiency = label_efficiency(pd.DataFrame(four))
    said = "3 of 4 budgets"
    found = gather(efficiency).captions
    assert said in found["annotation_saved"]
    assert said in found["differences"]
    few = gather(label_efficiency(pd.DataFrame(four).query("budget > 10"))).captions
    assert not any("budgets" in caption for caption in few.values())


def test_the_same_input_gives_the_same_bytes():
    efficiency = label_efficiency(mmlu())
    assert plots.score_by_budget(efficiency, "mmlu") == plots.score_by_budget(efficiency, "mmlu")
    points = np.random.default_rng(1).standard_normal((100, 3))
    assert plots.embedding_map(points, [1, 2]) == plots.embedding_map(points, [1, 2])


def test_no_global_state_is_touched():
    backend = matplotlib.rcParams["backend"]
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(PLOTS["low quality"]())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert matplotlib.rcParams["backend"] == backend


def test_lines_can_be_told_apart():
    styles = {tuple(sorted(line_style(i).items())) for i in range(21)}
    assert len(styles) == 21


def test_principal_components_are_those_of_the_singular_value_decomposition():
    points = np.random.default_rng(0).standard_normal((300, 6)) * [5, 3, 1, 1, 1, 1] + 7
    flat = plots.principal_components(points, np.random.default_rng(0))
    u, s, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    assert np.allclose(np.abs(flat), np.abs(u[:, :2] * s[:2]), atol=1e-3)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="no finite score to plot among 2"):
        plots.histogram(np.array([np.nan, np.inf]), label="score")
    with pytest.raises(ValueError, match="no saving to plot"):
        plots.annotation_saved(label_efficiency(mmlu().query("strategy == 'fl_rbf'")), "mmlu")
    with pytest.raises(ValueError, match="no difference to plot"):
        plots.differences(label_efficiency(mmlu().query("strategy == 'fl_rbf'")), "mmlu")
    with pytest.raises(ValueError, match="task must be one of mmlu; got 'bbh'"):
        plots.score_by_budget(label_efficiency(mmlu()), "bbh")


def test_a_table_of_scores_reads_as_a_heat_map() -> None:
    rows = [("random", "3", "0.5000 ± 0.01  "), ("fl_rbf", "3", "0.7000 ▲"), ("kmq", "1", "")]
    # The lowest score has the lowest bar, the highest the highest; names and counts stay as they are.
    assert shaded(rows, 2) == [
        ("random", "3", "▁ 0.5000"),
        ("fl_rbf", "3", "█ 0.7000 ▲"),
        ("kmq", "1", ""),
    ]
    assert shaded([("a", "1", "")], 2) == [("a", "1", "")]
