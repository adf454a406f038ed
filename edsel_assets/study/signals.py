"""What strategies read beside the prompts: uncertainty and clusters; for quality see ``scorers``."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edsel_assets.study.base import SHORT_LIST, Few, Positive, Seed, Settings

Measure = Literal["mean_entropy", "least_confidence", "mean_margin", "min_margin"]
#: Those of Bhatt et al. 2024, which every study compares; others are made where a strategy reads them.
MEASURES: tuple[Measure, ...] = ("mean_entropy", "least_confidence", "mean_margin", "min_margin")


class UncertaintySettings(Settings):
    """Switches of the uncertainty measures."""

    entropy_sign: Literal["entropy", "paper_literal"] = "entropy"
    length_normalised: bool = Field(False, description="Divide least confidence by the number of steps.")


#: Numbers of clusters where a study names none.
DEFAULT_COUNTS = [64, 256, 1024]


class ClusteringSettings(Settings):
    """k-means over the embeddings."""

    counts: Annotated[list[Positive], Field(max_length=SHORT_LIST)] = Field(
        DEFAULT_COUNTS,
        description="Numbers of clusters to compute and compare; the default ones are at most half the pool.",
    )
    count: Positive | None = Field(None, description="The one that strategies use; the first by default.")
    seed: Seed = 42
    restarts: Few = Field(1, description="Independent starts; the best is kept.")
    iterations: Annotated[int, Field(ge=1, le=10**6)] = Field(100, description="Lloyd iterations at most.")

    @model_validator(mode="after")
    def _counted(self) -> "ClusteringSettings":
        if not self.counts or len(set(self.counts)) != len(self.counts):
            raise ValueError(f"clustering.counts must be distinct and not empty; got {self.counts}")
        if self.count is not None and self.count not in self.counts:
            raise ValueError(
                f"clustering.count must be one of clustering.counts {self.counts}; got {self.count}"
            )
        return self

    def made(self, count: int, prompts: int) -> int:
        """How many clusters a pool of so many prompts gets where ``count`` are asked for.

        The default numbers leave two prompts a cluster; those that a study names are kept.
        """
        return count if self.counts != DEFAULT_COUNTS else min(count, max(1, prompts // 2))

    @property
    def chosen(self) -> int:
        return self.count if self.count is not None else self.counts[0]
