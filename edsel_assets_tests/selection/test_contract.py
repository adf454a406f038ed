"""What every strategy of the table keeps, over pools that hypothesis makes up."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edsel_assets.selection import STRATEGIES, Ranking, Signals, Strategy, StrategyOptions, kmeans
from edsel_assets.selection.strategy import DEMAND, QUERIES

NAMES = sorted(STRATEGIES)
EXAMPLES = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A width at which the made-up points are neighbours, so that gains differ by more than rounding.
OPTIONS = StrategyOptions(seed=5, gamma=0.5, device="cpu")


@dataclass(frozen=True)
class Case:
    signals: Signals
    budget: int
    order: np.ndarray  # a permutation of the rows
    aimed: bool


@st.composite
def cases(draw: st.DrawFn) -> Case:
    size = draw(st.integers(12, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    points = rng.normal(size=(size, draw(st.integers(2, 9)))) + 0.3
    if draw(st.booleans()):  # duplicates and equal scores
        points = points[rng.integers(size // 2, size=size)]
    if draw(st.booleans()):
        points = points.astype(np.float16)
    levels = draw(st.sampled_from([3, 1000]))
    ids = np.array([f"{i:x}" for i in rng.choice(10**9, size, replace=False)])
    clusters = kmeans(
        points, min(4, len(np.unique(points.astype(np.float32), axis=0))), tie_break=ids, device="cpu"
    )
    selected = rng.choice(size, draw(st.integers(0, size // 3)), replace=False)
    signals = Signals(
        prompt_ids=ids,
        embeddings=points,
        uncertainty=-rng.integers(1, levels + 1, size) / levels,
        clusters=clusters,
        quality=rng.integers(1, levels + 1, size) / levels,
        complexity=rng.integers(1, levels + 1, size) / levels,
        selected=np.sort(selected),
        demand=rng.lognormal(size=size) * (rng.random(size) < 0.8) + 1e-3,
        queries=rng.normal(size=(3, points.shape[1])),
        tasks=rng.choice(["a", "b", "c"], size),
        lengths=rng.integers(1, levels + 1, size).astype(float),
    )
    return Case(
        signals, draw(st.integers(1, size - len(selected))), rng.permutation(size), draw(st.booleans())
    )


def rank(name: str, case: Case, signals: Signals, budget: int, options: StrategyOptions = OPTIONS) -> Ranking:
    """By the strategy; where the case does not aim, without a target if the strategy can do without."""
    if not case.aimed and not STRATEGIES[name].needs & {DEMAND, QUERIES}:
        signals = replace(signals, demand=None, queries=None)
    return STRATEGIES[name](signals, budget, options)


def shuffled(case: Case) -> Signals:
    """The same pool with its rows in another order."""
    signals, order = case.signals, case.order
    clusters = replace(
        signals.clusters, labels=signals.clusters.labels[order], distances=signals.clusters.distances[order]
    )
    place = np.argsort(order)
    return Signals(
        prompt_ids=signals.prompt_ids[order],
        embeddings=signals.embeddings[order],
        uncertainty=signals.uncertainty[order],
        clusters=clusters,
        quality=signals.quality[order],
        complexity=signals.complexity[order],
        selected=place[signals.selected],
        demand=None if signals.demand is None else signals.demand[order],
        queries=signals.queries,
        tasks=signals.tasks[order],
        lengths=signals.lengths[order],
    )


@pytest.mark.parametrize("name", NAMES)
@given(case=cases())
@EXAMPLES
def test_unique_free_prompts_in_exact_number(name, case):
    ranking = rank(name, case, case.signals, case.budget, OPTIONS)
    assert len(ranking) == case.budget == len(ranking.gains)
    assert ranking.indices.dtype == np.int64
    assert ranking.gains.dtype == np.float64
    assert len(set(ranking.indices.tolist())) == case.budget
    assert not set(ranking.indices.tolist()) & set(case.signals.selected.tolist())
    assert ((ranking.indices >= 0) & (ranking.indices < len(case.signals.prompt_ids))).all()
    assert np.isfinite(ranking.gains).all()
    if ranking.upper_bound is not None:
        assert ranking.objective <= ranking.upper_bound + 1e-9
        assert 0 <= ranking.guarantee <= 1


@pytest.mark.parametrize("name", NAMES)
@given(case=cases())
@EXAMPLES
def test_repeatable_and_independent_of_row_order(name, case):
    chosen = rank(name, case, case.signals, case.budget, OPTIONS).indices
    again = rank(name, case, case.signals, case.budget, OPTIONS).indices
    assert chosen.tolist() == again.tolist()
    other = rank(name, case, shuffled(case), case.budget, OPTIONS).indices
    assert case.order[other].tolist() == chosen.tolist()


@pytest.mark.parametrize("engine", ["auto", "dense"])
@pytest.mark.parametrize("name", [name for name in NAMES if STRATEGIES[name].nested])
@given(case=cases(), share=st.floats(0, 1))
@EXAMPLES
def test_a_nested_ranking_that_goes_on_is_the_one_made_anew(name, engine, case, share):
    options = replace(OPTIONS, engine=engine)
    begun = rank(name, case, case.signals, int(case.budget * share), options)
    anew = rank(name, case, case.signals, case.budget, options)
    grown = rank(name, case, case.signals, case.budget, replace(options, begun=begun))
    assert grown.indices.tolist() == anew.indices.tolist()
    assert grown.gains.tolist() == anew.gains.tolist()
    assert grown.objective == anew.objective


@pytest.mark.parametrize("name", [name for name in NAMES if STRATEGIES[name].nested])
@given(case=cases())
@EXAMPLES
def test_nested_rankings_hold_smaller_ones_as_prefix(name, case):
    whole = rank(name, case, case.signals, case.budget, OPTIONS).indices
    for budget in {0, 1, case.budget // 2}:
        assert rank(name, case, case.signals, budget, OPTIONS).indices.tolist() == whole[:budget].tolist()


SUBMODULAR = ["fl_cosine", "fl_rbf", "fl_rbf_min_margin", "qdit", "k_center"]


@pytest.mark.parametrize("name", SUBMODULAR)
@given(case=cases())
@EXAMPLES
def test_gains_never_rise(name, case):
    gains = rank(name, case, case.signals, case.budget, OPTIONS).gains
    assert (np.diff(gains) <= 1e-6).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("random", "km_random", "kmq")])
def test_seed_matters_only_where_stochastic(name):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(80, 5))
    signals = Signals(
        np.arange(80).astype(str), points, -rng.random(80), kmeans(points, 5), rng.random(80), rng.random(80),
        demand=rng.random(80), queries=points[:3], tasks=np.arange(80) % 4, lengths=rng.random(80),
    )  # fmt: skip
    choices = {
        tuple(STRATEGIES[name](signals, 30, replace(OPTIONS, seed=seed)).indices.tolist())
        for seed in range(4)
    }
    assert (len(choices) > 1) == STRATEGIES[name].stochastic


@pytest.mark.parametrize("name", ["random", "km_random", "kmq"])
def test_every_prompt_can_be_drawn(name):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(30, 3))
    signals = Signals(np.arange(30).astype(str), clusters=kmeans(points, 4), quality=np.ones(30))
    drawn: set[int] = set()
    for seed in range(60):
        drawn |= set(STRATEGIES[name](signals, 10, replace(OPTIONS, seed=seed)).indices.tolist())
    assert drawn == set(range(30))


def pool(size: int = 12) -> Signals:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(size, 4))
    return Signals(
        np.arange(size).astype(str),
        points,
        -rng.random(size),
        kmeans(points, 3),
        rng.random(size),
        rng.random(size),
        demand=rng.random(size),
        queries=rng.normal(size=(9, 4)),
        tasks=np.arange(size) % 3,
        lengths=rng.random(size),
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_over_the_pool_is_refused(name):
    with pytest.raises(ValueError, match="budget must not exceed the 10 prompts"):
        STRATEGIES[name](replace(pool(), selected=(1, 2)), 11, OPTIONS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("selected", [(1, 1), (99,), (-1,)])
def test_bad_selected_rows_are_refused(name, selected):
    with pytest.raises(ValueError, match=r"selected must"):
        STRATEGIES[name](replace(pool(), selected=selected), 2, OPTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_repeated_ids_are_refused(name):
    with pytest.raises(ValueError, match="unique"):
        STRATEGIES[name](replace(pool(), prompt_ids=np.array(["a"] * 12)), 2, OPTIONS)


@pytest.mark.parametrize(
    ("name", "signal"), [(name, signal) for name in NAMES for signal in sorted(STRATEGIES[name].needs)]
)
def test_every_needed_signal_is_asked_for_and_checked(name, signal):
    signals = only(pool(), STRATEGIES[name].needs)
    with pytest.raises(ValueError, match=f"needs the signal '{signal}'|needs {signal}"):
        STRATEGIES[name](replace(signals, **{signal: None}), 2, OPTIONS)
    if signal not in ("clusters", "tasks"):
        broken = np.array(getattr(signals, signal), dtype=np.float64)
        broken[7] = np.nan
        with pytest.raises(ValueError, match=r"\[7\]"):
            STRATEGIES[name](replace(signals, **{signal: broken}), 2, OPTIONS)


def only(signals: Signals, needs: frozenset[str]) -> Signals:
    """The signals that a strategy names, and complexity where it names quality."""
    every = ("embeddings", "uncertainty", "clusters", "quality", "demand", "queries", "tasks", "lengths")
    complexity = signals.complexity if "quality" in needs else None
    return replace(signals, **{name: None for name in every if name not in needs}, complexity=complexity)


@pytest.mark.parametrize("name", NAMES)
def test_signals_a_strategy_does_not_name_are_not_read(name):
    signals, needs = pool(), STRATEGIES[name].needs
    if STRATEGIES[name].aims and not needs & {DEMAND, QUERIES}:  # it reads a target where there is one
        signals = replace(signals, demand=None, queries=None)
    bare = only(signals, needs)
    expected = STRATEGIES[name](signals, 5, OPTIONS).indices.tolist()
    assert STRATEGIES[name](bare, 5, OPTIONS).indices.tolist() == expected


SWITCHES = {
    "seed": [0, 1, 2, 3],
    "gamma": [0.05, 0.5, 2.0, "auto"],
    "normalise": [True, False],
    "k_center_normalise": [True, False],
    "utility_weight": [0.0, 1.0, 50.0],
    "seed_point": ["medoid", "random"],
    "deita_threshold": [0.3, 0.9],
    "qdit_alpha": [0.1, 0.9],
    "quality_temperature": [None, 0.05],
    "replacement": [False, True],
    "worth": ["quality", "quality_complexity"],
    "noise": [0.01, 30.0],
    "engine": ["dense", "sparse"],
    "memory_limit_gib": [None, 1],
}


def with_settings(settings_: dict) -> StrategyOptions:
    """Options as a study's ``selection`` names them."""
    named = {"quality_temperature": "temperature", "memory_limit_gib": "memory_limit"}
    values = {named.get(name, name): value for name, value in settings_.items()}
    if values.get("memory_limit"):
        values["memory_limit"] *= 2**30
    return replace(OPTIONS, **values)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_names_exactly_the_settings_that_change_its_ranking(name):
    from edsel_assets.study import SelectionSettings

    # by_price changes what a budget is: see test_spending. Targets and quotas_by change the signals.
    others = {"strategies", "variants", "budgets", "budgets_of", "by_price", "target", "quotas_by"}
    others |= {"gammas", "model"}  # of a diagnostic; whose signals are read
    assert set(SWITCHES) == set(SelectionSettings.model_fields) - others
    rng = np.random.default_rng(4)
    points = rng.normal(size=(90, 5)) * rng.uniform(0.3, 3, size=(90, 1))
    signals = Signals(
        np.arange(90).astype(str), points, -rng.random(90), kmeans(points, 5), rng.random(90), rng.random(90),
        demand=rng.random(90), queries=points[:9], tasks=np.arange(90) % 4, lengths=rng.random(90),
    )  # fmt: skip
    # Some settings matter only beside another.
    beside = {"seed": {"seed_point": "random"}}
    matter = set()
    for setting, values in SWITCHES.items():
        rankings = set()
        if setting == "engine" and name in ("fl_cosine", "fl_rbf"):
            signals = replace(signals, demand=None)
            values = [*values, "apricot"]  # which takes no second term
        for value in values:
            options = with_settings({**beside.get(setting, {}), setting: value})
            rankings.add(tuple(STRATEGIES[name](signals, 45, options).indices.tolist()))
        if len(rankings) > 1:
            matter.add(f"selection.{setting}")
    assert matter == set(STRATEGIES[name].settings) - {"selection.quotas_by"}


def test_a_strategy_is_one_row(monkeypatch):
    def newest(signals, budget, options):
        from edsel_assets.selection import top_scores

        return top_scores(np.arange(len(signals.prompt_ids)), budget, exclude=signals.selected)

    row = Strategy(name="newest", select=newest, paper="none", summary="The last rows.")
    monkeypatch.setitem(STRATEGIES, row.name, row)
    assert STRATEGIES["newest"](pool(), 3).indices.tolist() == [11, 10, 9]


def test_the_table():
    measures = {name: row.measure for name, row in STRATEGIES.items() if row.measure}
    assert measures == {
        "mean_entropy": "mean_entropy",
        "least_confidence": "least_confidence",
        "mean_margin": "mean_margin",
        "min_margin": "min_margin",
        "fl_rbf_min_margin": "min_margin",
        "weighted_task_diversity": "mean_probability",
    }
    assert {name for name, row in STRATEGIES.items() if not row.nested} == {
        "km_random", "km_closest", "kmq", "weighted_task_diversity",
        "iterative_kmq_perplexity", "iterative_kmq_reward", "iterative_kmq_judge",
    }  # fmt: skip
    for name, row in STRATEGIES.items():
        assert row.name == name
        assert row.needs <= {
            "embeddings", "uncertainty", "clusters", "quality", "demand", "queries", "tasks", "lengths"
        }  # fmt: skip
        assert (row.measure is not None) == ("uncertainty" in row.needs)


def test_auto_gamma_ranks_as_the_width_it_names():
    rng = np.random.default_rng(3)
    signals = Signals(np.arange(150).astype(str), rng.normal(size=(150, 6)))
    ranking = STRATEGIES["fl_rbf"](signals, 60, replace(OPTIONS, gamma="auto"))
    named = replace(OPTIONS, gamma=ranking.details["gamma"])
    assert ranking.indices.tolist() == STRATEGIES["fl_rbf"](signals, 60, named).indices.tolist()


def test_a_round_follows_its_cluster_weights():
    signals = pool(60)
    weights = np.array([0.0, 1.0, 0.0])
    ranking = STRATEGIES["iterative_kmq_perplexity"](replace(signals, cluster_weights=weights), 5, OPTIONS)
    assert set(signals.clusters.labels[ranking.indices].tolist()) == {1}
    uniform = STRATEGIES["iterative_kmq_perplexity"](signals, 6, OPTIONS)
    assert np.bincount(signals.clusters.labels[uniform.indices]).tolist() == [2, 2, 2]
