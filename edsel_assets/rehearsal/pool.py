"""What is known of a study's pool, and the few prompts of it that a rehearsal runs on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.demo import DEMO
from edsel_assets.pools import PoolError, PoolSource, read_pool
from edsel_assets.pools.files import open_source
from edsel_assets.stages.pools import answered_prompts, pool_source, short_prompts
from edsel_assets.study.inputs import PoolSettings

_LONGEST = 200  # characters of a prompt and of a response: the tiny model's context is short
_MADE_UP = "(a made-up answer)"


@dataclass(frozen=True)
class PoolFacts:
    """A study's own pool.

    Attributes:
        table: its prompts, ascending by id.
        answered: prompts with a response.
        prompt_characters, response_characters: means over those there are.
    """

    table: pa.Table
    answered: int
    prompt_characters: float
    response_characters: float

    @property
    def prompts(self) -> int:
        return self.table.num_rows


def read_facts(settings: PoolSettings) -> PoolFacts:
    """Read the study's pool, which lies on this machine.

    Raises:
        PoolError, OSError: it is not there or cannot be read.
    """
    table = answered_prompts(settings, read_pool(pool_source(settings)).table)
    if not table.num_rows:
        raise PoolError(
            "no prompt of the pool has a response, and pool.annotated_only leaves out the others."
        )
    table = short_prompts(settings, table)
    if not table.num_rows:
        raise PoolError(f"every prompt is longer than pool.max_characters, {settings.max_characters}.")
    prompt, response = (
        pc.mean(pc.utf8_length(table[name])).as_py() or 0.0 for name in ("prompt", "response")
    )
    answered = table.num_rows - table["response"].null_count
    return PoolFacts(table, answered, prompt, response)


def far_away(settings: PoolSettings) -> list[str]:
    """The places of the pool that cannot be looked at without a network: addresses, and data sets of the hub.

    Raises:
        PoolError: where a local place is not there.
    """
    paths = PoolSource(settings.path).paths
    addresses = [path for path in paths if "://" in path and not path.startswith("file://")]
    near = [path for path in paths if path not in addresses and path != DEMO]
    source = replace(pool_source(settings), path=near) if near else None
    if source is None:
        return addresses
    return addresses + [opened.path for opened in open_source(source) if opened.fs is None]


def few_prompts(facts: PoolFacts | None, count: int) -> pa.Table:
    """``count`` prompts of the study's pool by lowest id, which is a hash, or of the demo's; all answered.

    Long texts are cut. A prompt without a response gets a made-up one, so that every trial can be trained.
    """
    if facts is None:
        facts = read_facts(PoolSettings(path=DEMO, annotated_only=True))
    table = facts.table.slice(0, count)
    for name in ("prompt", "response"):
        cut = pc.utf8_slice_codeunits(table[name], 0, _LONGEST)
        table = table.set_column(table.column_names.index(name), name, pc.fill_null(cut, _MADE_UP))
    return table.drop_columns("prompt_id")
