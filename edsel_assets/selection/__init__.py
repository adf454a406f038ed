"""Which prompts are worth annotating. Runs without Dagster, and imports torch only when needed."""

from edsel_assets.selection.ranking import Ranking
from edsel_assets.selection.strategies import STRATEGIES, Signals, Strategy, StrategyOptions
from edsel_assets.selection.top_scores import random_subset, top_scores

__all__ = ["STRATEGIES", "Ranking", "Signals", "Strategy", "StrategyOptions", "random_subset", "top_scores"]
