"""Names of partitions: budgets are zero-padded, a trial is ``STRATEGY.sSEED``."""

BUDGET_WIDTH = 5


def budget_key(budget: int) -> str:
    """Zero-padded, so that the order of keys is the order of budgets."""
    return f"{budget:0{BUDGET_WIDTH}d}"


def trial_key(strategy: str, seed: int) -> str:
    return f"{strategy}.s{seed}"


def parse_trial(trial: str) -> tuple[str, int]:
    """(strategy, seed) of ``k_center.s0``."""
    strategy, _, seed = trial.rpartition(".s")
    return strategy, int(seed)


def parse_budget_trial(key: str) -> tuple[int, str, int]:
    """(budget, strategy, seed) of ``00100|k_center.s0``."""
    budget, trial = key.split("|")
    return int(budget), *parse_trial(trial)
