"""What is fixed before the first trial: pool, targets, seeds, budgets, strategies, held-out prompts, queries.

``plan.md`` says why. Symbols: N prompts of T0 that are short enough, rows are places among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from edsel_assets.llm import DEFAULT_TEMPLATE, FinetuneSettings
from edsel_assets.selection.core.draws import keyed_uniforms, smallest
from edsel_assets.store import read_table

ALL = "all"  # the target of a trial that is read for every target
RANDOM, AIMED = "random", "fl_rbf"
CONTROL = "other_target"  # the picks of AIMED for another target, read for this one; not trained again


#: Data sets that ask a question, be it to answer it or to say what it is like.
QUESTIONS = (
    *("trec", "social_i_qa", "kilt", "commonsense_qa", "qasc", "sciq", "wiki_qa", "wiki_bio"),
    *("quartz", "quarel", "cosmos_qa", "dream", "wiqa", "glue_qqp"),
)
#: Every weight is finetuned.
WHOLE = FinetuneSettings(method="full", learning_rate=1e-3, batch_size=16, epochs=2, max_length=256)


@dataclass(frozen=True)
class Target:
    """Data sets of T0, by how their tasks' names begin, and how many prompts are held out to score it."""

    prefixes: tuple[str, ...]
    held_out: int = 80


@dataclass(frozen=True)
class Design:
    """Sizes of the experiment; the defaults are the plan's."""

    targets: Mapping[str, Target] = field(
        default_factory=lambda: {
            "cosmos": Target(("cosmos_qa",), 60),
            "dream": Target(("dream",)),
            "sciq": Target(("sciq",)),
            "social": Target(("social_i_qa",)),
            "sentiment": Target(("rotten_tomatoes", "yelp", "app_reviews", "amazon")),
            "questions": Target(QUESTIONS),
        }
    )
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    curve: tuple[int, ...] = (50, 100, 200, 400, 800, 1600)  # random's budgets
    budgets: tuple[int, ...] = (50, 200)  # all other strategies'
    queries: int = 30
    rest: int = 200  # held-out prompts of the whole pool
    share: float = 0.9  # of the pool, drawn anew for each seed
    longest_prompt: int = 220  # characters
    longest_response: int = 200
    #: Trained once and read for every target.
    shared: tuple[str, ...] = ("fl_rbf_unaimed", "task_diversity")
    #: Trained for each target. ``inside``: random among its own prompts, which no strategy knows.
    strategies: tuple[str, ...] = (
        *(AIMED, "random_target", "nearest", "variance_reduction", "inside", "fl_rbf_own"),
    )
    #: At the smallest budget alone, which keeps the whole within two hours.
    small: tuple[str, ...] = ("nearest", "variance_reduction", "fl_rbf_own")
    #: Whose picks are the negative control: those of the first, and of the second for the first itself.
    others: tuple[str, str] = ("sentiment", "social")
    model: str = "models/tinystories-260k"  # under the folder of data
    template: str = DEFAULT_TEMPLATE
    settings: FinetuneSettings = WHOLE

    def other(self, target: str) -> str:
        return self.others[0] if target != self.others[0] else self.others[1]

    def trials(self, seed: int) -> list[Trial]:
        """The trials of a seed in their order: random's curve, then the small budget, then the large one."""
        found = [Trial(seed, ALL, RANDOM, budget) for budget in self.curve]
        for budget in self.budgets:
            found += [Trial(seed, ALL, strategy, budget) for strategy in self.shared]
            wanted = [s for s in self.strategies if budget == self.budgets[0] or s not in self.small]
            found += [Trial(seed, target, s, budget) for target in self.targets for s in wanted]
        return found


@dataclass(frozen=True)
class Trial:
    seed: int
    target: str
    strategy: str
    budget: int

    @property
    def name(self) -> str:
        return f"{self.target}.{self.strategy}.{self.budget}"


@dataclass(frozen=True)
class Data:
    """The prompts and what is drawn from them.

    Attributes:
        frame: ``prompt_id, task, prompt, response`` of N prompts.
        minilm: (N, 384) float32.
    """

    design: Design
    frame: pd.DataFrame
    minilm: np.ndarray

    @classmethod
    def read(cls, design: Design, folder: Path) -> Data:
        """The short prompts of ``t0_pool.parquet`` with a short response, each text once."""
        whole = read_table(folder / "t0_pool.parquet").to_pandas()
        short = whole["prompt"].str.len() <= design.longest_prompt
        short &= whole["response"].str.len().between(1, design.longest_response)
        rows = np.flatnonzero(short & ~whole["prompt"].duplicated())
        vectors = np.load(folder / "t0_minilm_embeddings.npy", mmap_mode="r")[rows]
        return cls(design, whole.iloc[rows].reset_index(drop=True), vectors.astype(np.float32))

    @cached_property
    def ids(self) -> np.ndarray:
        return self.frame["prompt_id"].to_numpy().astype(str)

    def members(self, target: str) -> np.ndarray:
        """(N,) bool: the prompts of the target's data sets."""
        return self.frame["task"].str.startswith(self.design.targets[target].prefixes).to_numpy()

    @cached_property
    def held_out(self) -> Mapping[str, np.ndarray]:
        """Rows that each target is scored on, and under ``ALL`` those of the whole pool: for every seed."""
        found = {
            name: self._drawn(self.members(name), target.held_out, 0, f"held out of {name}")
            for name, target in self.design.targets.items()
        }
        return found | {ALL: self._drawn(np.ones(len(self.ids), bool), self.design.rest, 0, "rest")}

    @cached_property
    def items(self) -> np.ndarray:
        """Rows of all held-out prompts, rising; a prompt's place among them is its number as an item."""
        return np.unique(np.concatenate(list(self.held_out.values())))

    def rest(self, target: str) -> np.ndarray:
        """Held-out rows of the whole pool that are not the target's."""
        rows = self.held_out[ALL]
        return rows[~self.members(target)[rows]]

    def scored(self, trial: Trial) -> np.ndarray:
        """Held-out rows that a trial is scored on: all, or those of its target and of the whole pool."""
        everywhere = trial.target == ALL or (trial.strategy == AIMED and trial.target in self.design.others)
        parts = self.held_out.values() if everywhere else (self.held_out[trial.target], self.held_out[ALL])
        return np.unique(np.concatenate(list(parts)))

    def queries(self, seed: int) -> Mapping[str, np.ndarray]:
        """Rows of each target's queries, drawn anew for each seed; their answers are never read."""
        free = np.ones(len(self.ids), dtype=bool)
        free[self.items] = False
        count = self.design.queries
        return {
            t: self._drawn(free & self.members(t), count, seed, f"queries of {t}")
            for t in self.design.targets
        }

    def pool(self, seed: int) -> np.ndarray:
        """Rows that may be chosen: a share of all that are neither held out nor a query."""
        free = np.ones(len(self.ids), dtype=bool)
        free[self.items] = False
        free[np.concatenate(list(self.queries(seed).values()))] = False
        return self._drawn(free, round(self.design.share * free.sum()), seed, "pool")

    def _drawn(self, of: np.ndarray, count: int, seed: int, stream: str) -> np.ndarray:
        rows = np.flatnonzero(of)
        if len(rows) < count:
            raise ValueError(f"{stream}: {count} prompts are asked for and {len(rows)} are there.")
        return rows[smallest(keyed_uniforms(seed, self.ids[rows], stream), count)]


def budgets_inside(data: Data, target: str, seeds: Sequence[int]) -> list[int]:
    """The budgets that the target's own prompts in the pool suffice for, in every seed."""
    most = min(int(data.members(target)[data.pool(seed)].sum()) for seed in seeds)
    return [budget for budget in data.design.budgets if budget <= most]
