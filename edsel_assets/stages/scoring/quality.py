"""Quality and complexity of a pool's prompts by the scorer that a study names.

Every scorer gives ``prompt_id, quality, complexity``, both at least 0, and higher is better (harder), and
what they were made from. Complexity is the scorer's own where it has one: of likelihood, and of perplexity of
prompts, the information in the prompt; of deita that of its model; of column that of the column. Otherwise it
is the rank of the prompt's length in characters, in (0, 1): Liu et al. 2024 have it among their baselines,
and it needs no model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.kinds.kept import READING
from edsel_assets.llm.models.templates import format_prompt
from edsel_assets.stages.scoring.columns import column_quality
from edsel_assets.stages.scoring.kept import Kept, KeptScores, text_keys
from edsel_assets.stages.scoring.likelihood import likelihood_quality, mid_ranks
from edsel_assets.stages.scoring.scorers import TextScorer, deita_scorer, judge_scorer, reward_scorer
from edsel_assets.stages.signals import base_identity
from edsel_assets.store import Home
from edsel_assets.study import Study

#: Least and largest quality of the scorers whose scale has ends.
SCALES = {"likelihood": (0.0, 1.0), "reward": (0.0, 1.0), "deita": (1.0, 6.0), "judge": (1.0, 10.0)}
_POOR = 0.3
#: Of a prompt without a rating: below the judge's scale, so that it is chosen last.
UNRATED = 0.0

Read = Callable[[list[str]], pa.Table]


@dataclass(frozen=True)
class Sources:
    """What a scorer may read, each only when it does.

    Attributes:
        pool, token_probabilities: the named columns of those assets.
        model_path, open_model: of the base model.
    """

    pool: Read
    token_probabilities: Read
    model_path: str
    open_model: Callable[[], tuple[Any, Any]]


def quality_scores(
    study: Study,
    scorer: str,
    home: Home,
    sources: Sources,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pa.Table, dict[str, int]]:
    """(the table of a scorer, counts of rows scored now, before and without a score).

    Raises:
        ValueError: responses are not there, a column is wrong, or no prompt has a score.
        JudgeError, CostStop: as the judge's settings say; what was paid for is kept.
    """
    if study.quality.reads_forward_pass(scorer):
        known = sources.token_probabilities(["prompt_id", "prompt_logprob", "prompt_tokens"])
        if scorer == "likelihood":
            return likelihood_quality(known), {}
        found = _prompt_perplexity(known)
        return _table(known["prompt_id"], 1.0 / found, "perplexity", found, mid_ranks(-_total(known))), {}
    if scorer == "column":
        return column_quality(study, sources.pool, length_complexity), {}
    texts = Texts.of(study, sources.pool)
    if scorer == "deita":
        return _deita(study, home, texts, progress)
    kept = _kept(study, scorer, home, texts, sources, progress)
    return _single(scorer, texts, kept), kept.counts


@dataclass(frozen=True)
class Texts:
    """N prompts by id, with their responses where those are scored too."""

    ids: pa.ChunkedArray
    prompts: list[str]
    responses: list[str] | None

    @classmethod
    def of(cls, study: Study, pool: Read) -> Texts:
        """The pool's texts; ValueError where responses are to be read and some are not there."""
        if study.quality.input == "prompt":
            table = pool(["prompt_id", "prompt"])
            return cls(table["prompt_id"], table["prompt"].to_pylist(), None)
        table = pool(["prompt_id", "prompt", "response"])
        if table["response"].null_count:
            raise ValueError(
                f"quality.input is prompt_response, but {table['response'].null_count} of {table.num_rows} "
                "prompts have no response. Set it to prompt, or pool.annotated_only to true."
            )
        columns = (table[name].to_pylist() for name in ("prompt", "response"))
        return cls(table["prompt_id"], *columns)

    @property
    def names(self) -> list[str]:
        return self.ids.to_pylist()


def _kept(
    study: Study,
    scorer: str,
    home: Home,
    texts: Texts,
    sources: Sources,
    progress: Callable[[int, int], None] | None,
) -> Kept:
    settings, rows = study.quality, study.forward.shard_rows
    if scorer == "perplexity":
        return _response_perplexity(study, home, texts, sources, progress)
    by: TextScorer
    if scorer == "reward":
        assert settings.reward is not None, "checked as the study loads"
        by = reward_scorer(study, settings.reward, home)
    else:
        assert settings.judge is not None, "checked as the study loads"
        by = judge_scorer(study, settings.judge, home)
    return by.kept(home, texts.names, texts.prompts, texts.responses, shard_rows=rows, progress=progress)


def _single(scorer: str, texts: Texts, kept: Kept) -> pa.Table:
    """The table of a scorer with one score per text."""
    found = kept.values
    if kept.missing == len(found):
        raise ValueError(
            f"the scorer {scorer} gave none of the {len(found)} prompts a score. Use another one."
        )
    complexity = length_complexity(texts.prompts)
    if scorer == "perplexity":
        return _table(texts.ids, 1.0 / found, "perplexity", found, complexity)
    if scorer == "reward":
        return _table(texts.ids, sigmoid(found), "reward", found, complexity)
    return _table(texts.ids, np.where(np.isnan(found), UNRATED, found), "rating", found, complexity)


def _deita(
    study: Study, home: Home, texts: Texts, progress: Callable[[int, int], None] | None
) -> tuple[pa.Table, dict[str, int]]:
    settings, rows = study.quality.deita, study.forward.shard_rows
    assert settings is not None, "checked as the study loads"
    options: dict[str, Any] = {"shard_rows": rows, "progress": progress}
    harder = deita_scorer(study, settings.complexity, "complexity", home).kept(
        home, texts.names, texts.prompts, None, **options
    )
    better = deita_scorer(study, settings.quality, "quality", home).kept(
        home, texts.names, texts.prompts, texts.responses, **options
    )
    table = pa.table({"prompt_id": texts.ids, "quality": better.values, "complexity": harder.values})
    return table, {"rows_new": better.rows_new, "rows_reused": better.rows_reused}


def _response_perplexity(
    study: Study,
    home: Home,
    texts: Texts,
    sources: Sources,
    progress: Callable[[int, int], None] | None,
) -> Kept:
    """Perplexity of each response given its prompt, under the base model; lower is likelier."""
    prompts, responses = texts.prompts, texts.responses or []

    def score(rows: np.ndarray) -> np.ndarray:
        from edsel_assets.llm import perplexity

        asked = [format_prompt(study.model.template, prompts[i]) for i in rows]
        answers = [responses[i] for i in rows]
        return perplexity(*sources.open_model(), asked, answers, batch_tokens=study.forward.batch_tokens)

    model = base_identity(study, home, sources.model_path)
    kept = KeptScores(
        home, {"kind": "perplexity", **model, "template": study.model.template, "reading": READING}
    )
    keys = text_keys(texts.names, responses)
    return kept.compute(keys, score, shard_rows=study.forward.shard_rows, progress=progress)


def _prompt_perplexity(known: pa.Table) -> np.ndarray:
    # The first token has nothing before it, so it has no likelihood of its own.
    tokens = np.maximum(known["prompt_tokens"].to_numpy() - 1, 1)
    return np.exp(-_total(known) / tokens)


def _total(known: pa.Table) -> np.ndarray:
    return known["prompt_logprob"].to_numpy().astype(np.float64)


def length_complexity(prompts: list[str]) -> np.ndarray:
    """(N,) in (0, 1): rank of the prompt's length in characters."""
    return mid_ranks(np.array([len(prompt) for prompt in prompts], dtype=np.int64))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """(N,) in [0, 1]: the odds of a logit, without overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def _table(
    ids: pa.ChunkedArray, quality: np.ndarray, name: str, score: np.ndarray, complexity: np.ndarray
) -> pa.Table:
    """With the scorer's own number in the column ``name``, null where there is none."""
    values = {"quality": quality, "complexity": complexity, name: pa.array(score, from_pandas=True)}
    return pa.table({"prompt_id": ids, **values})


def shown_score(table: pa.Table) -> tuple[str, np.ndarray]:
    """(name, values) of what a scorer's distribution is shown of: its own number, or the quality."""
    name = table.column_names[-1] if table.num_columns > 3 else "quality"
    return name, table[name].to_numpy().astype(np.float64)


def poor_below(study: Study, quality: pa.Table) -> float:
    """The mean quality under which a cluster is poor, on the scale of the study's own scorer.

    ``quality.threshold`` as it stands, or the quantile ``quality.threshold_quantile`` of the pool's
    qualities. Without either: 0.3 of the way from the least to the largest quality where the scorer's scale
    has ends, else the quantile 0.3.
    """
    settings = study.quality
    if settings.threshold is not None:
        return settings.threshold
    scale = SCALES.get(settings.scorer)
    if settings.threshold_quantile is None and scale is not None:
        return scale[0] + _POOR * (scale[1] - scale[0])
    share = _POOR if settings.threshold_quantile is None else settings.threshold_quantile
    return float(pc.quantile(quality["quality"], q=share)[0].as_py())
