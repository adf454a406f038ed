"""What a rehearsal reads, made in a folder of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edsel_assets.demo import DEMO, local_path
from edsel_assets.pools import PoolError, PoolSource, read_pool
from edsel_assets.rehearsal.definitions import Tasks, write_tasks
from edsel_assets.rehearsal.made_up import problem, sums
from edsel_assets.rehearsal.mistakes import mistakes
from edsel_assets.rehearsal.pool import PoolFacts, far_away, few_prompts, read_facts
from edsel_assets.rehearsal.scaled import rehearsed, sections
from edsel_assets.rehearsal.sizes import Size, StandIns
from edsel_assets.store import write_table
from edsel_assets.study import Study

#: The rehearsal's study; a folder that holds it is one that a rehearsal may empty.
STUDY_FILE = "rehearsal.yaml"
_FINISHED = "finished"
_FOLDERS = ("tasks", "problems", "reward_model")  # of stand-ins
_ANNOTATED = 4
_QUERIES = 24


class CannotWork(ValueError):
    """A study with mistakes: every one at once."""


@dataclass(frozen=True)
class Rehearsal:
    """A study that can be run now, and what is known of the full one.

    Attributes:
        full: the study that is rehearsed. ``study``: the rehearsal. ``folder``: its home.
        pool: the full study's pool; None where it is not there, for the reason ``no_pool``, or where only a
            network would tell (``pool_is_far``).
        tasks: what became of the full study's tasks.
    """

    full: Study
    study: Study
    folder: Path
    pool: PoolFacts | None
    no_pool: str
    pool_is_far: bool
    tasks: Tasks

    def finish(self) -> None:
        """Note that it came to its end."""
        (self.folder / _FINISHED).touch()


def set_up(study: Study, folder: Path, size: Size, data: Path | None, judge: str | None) -> Rehearsal:
    """Make the stand-ins of ``study`` in ``folder``.

    Cells that an earlier rehearsal made there are kept where it was cut short, so that this one goes on with
    them; where it came to its end, all is made anew.

    Args:
        data: folder of benchmark data laid out as the hub is; the study's own by default.
        judge: address of the judge that stands in.

    Raises:
        CannotWork: for a study with mistakes; nothing is written then.
        ValueError: where ``folder`` is another's, or its budgets do not fit the few prompts.
    """
    facts, no_pool, far = _facts(study)
    wrong = mistakes(study, facts)
    if wrong:
        raise CannotWork(" ".join(f"({number}) {text}" for number, text in enumerate(wrong, start=1)))
    _begin(folder)
    data = data or _local_data(study)
    tasks = write_tasks(study, size, data, folder / "tasks")
    table = few_prompts(facts, size.prompts)
    write_table(folder / "pool.parquet", table)
    ids = read_pool(PoolSource(folder / "pool.parquet")).table["prompt_id"].to_pylist()
    kinds = {type(section).__name__ for section in sections(study)}
    # A folder here also keeps lm-eval off the network.
    local = data if data is not None and tasks.own else folder / "tasks"
    stand_ins = StandIns(
        pool=str(folder / "pool.parquet"),
        prompts=len(ids),
        columns=tuple(table.column_names),
        annotations=_annotations(study, table, folder),
        annotated=_ANNOTATED if study.pool.annotations is not None else 0,
        tasks=str(folder / "tasks") if tasks.names else None,
        task_names=tasks.names,
        data=str(local.absolute()) if tasks.names else None,
        instructions=_at_hand(study, "instructions") or _instructions(size, folder),
        problems=_at_hand(study, "problems") or _problems(folder) if runs_programs(kinds) else None,
        scores=_scores(study, ids, folder),
        queries=_queries(study, folder),
        reward_model=_reward_model(folder) if "RewardSettings" in kinds else None,
        judge=judge,
        whole_pool=None if facts is None else facts.prompts,
    )
    small = rehearsed(study, size, stand_ins)
    text = yaml.safe_dump(small.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    (folder / STUDY_FILE).write_text(text, encoding="utf-8")
    return Rehearsal(study, small, folder, facts, no_pool, far, tasks)


def _facts(study: Study) -> tuple[PoolFacts | None, str, bool]:
    """What is known of the pool, or why nothing is, and whether a network would tell."""
    try:
        unread = far_away(study.pool)
        if unread:
            return None, f"{', '.join(unread)} cannot be looked at without a network", True
        return read_facts(study.pool), "", False
    except (PoolError, OSError) as error:
        return None, " ".join(str(error).split()), False


def _local_data(study: Study) -> Path | None:
    named = study.evaluation.data_directory
    return Path(named) if named and Path(named).is_dir() else None


def _begin(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / STUDY_FILE).is_file():
            raise ValueError(f"{folder} is not empty and holds no rehearsal. Name another folder.")
        finished = (folder / _FINISHED).exists()
        for old in (folder,) if finished else (folder / name for name in _FOLDERS):
            shutil.rmtree(old, ignore_errors=not finished)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STUDY_FILE).touch()


def _annotations(study: Study, table: Any, folder: Path) -> str | None:
    if study.pool.annotations is None:
        return None
    rows = table.select(["prompt", "response"]).slice(0, _ANNOTATED).to_pylist()
    path = folder / "annotations.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def _instructions(size: Size, folder: Path) -> str:
    path = folder / "instructions.json"
    rows = [{"instruction": item.question} for item in sums(size.items)]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return str(path)


def _queries(study: Study, folder: Path) -> str | None:
    """A target's prompts, all of them made up and none in the pool."""
    if not study.targets:
        return None
    path = folder / "queries.json"
    rows = [{"prompt": f"As a user: {item.question}"} for item in sums(_QUERIES)]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return str(path)


def _problems(folder: Path) -> str:
    import pyarrow as pa

    path = folder / "problems" / "test.parquet"
    path.parent.mkdir()
    write_table(path, pa.Table.from_pylist([problem()]))
    return str(path.parent)


def runs_programs(kinds: Collection[str]) -> bool:
    """Whether a study with sections of these kinds runs programs, and this system isolates them."""
    from edsel_assets.llm import sandbox_refusal

    return "HumanEvalSettings" in kinds and sandbox_refusal() is None


def _at_hand(study: Study, name: str) -> str | None:
    """The file that the study names so, where it is on this machine."""
    named = [
        getattr(section, name) for section in sections(study) if isinstance(getattr(section, name, None), str)
    ]
    return next((each for each in named if Path(each).expanduser().exists()), None)


def _scores(study: Study, ids: list[str], folder: Path) -> str | None:
    """A made-up quality for each prompt, in the columns that the study reads."""
    import pyarrow as pa

    quality = study.quality
    if getattr(quality, "file", None) is None:
        return None
    names = [name for name in (quality.column, quality.complexity_column) if name]
    values = [int(prompt_id[:4], 16) / 0xFFFF for prompt_id in ids]
    path = folder / "scores.parquet"
    write_table(path, pa.table({"prompt_id": ids, **dict.fromkeys(names, values)}))
    return str(path)


def _reward_model(folder: Path) -> str:
    """A tiny Llama with random weights that gives a text one number, with the demo's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    path, demo = folder / "reward_model", local_path(DEMO, "model")
    tokenizer = AutoTokenizer.from_pretrained(demo)
    config = LlamaConfig.from_pretrained(demo, num_hidden_layers=1, num_labels=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForSequenceClassification(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)
