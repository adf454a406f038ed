from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from edsel_assets.llm.training import processes
from edsel_assets.llm.training.finetuning import FinetuneSettings, finetune
from edsel_assets_tests.llm.tiny import byte_model, byte_tokenizer
from edsel_assets_tests.llm.training.test_finetuning import EXAMPLES, SMALL


@pytest.mark.parametrize(
    "changes",
    [{"method": "lora"}, pytest.param({"method": "full", "fsdp": True}, marks=pytest.mark.slow)],
    ids=["adapter", "sharded"],
)
def test_two_processes_equal_one(changes: dict[str, Any], tmp_path: Path) -> None:
    model, tokenizer = byte_model(), byte_tokenizer()
    # Seven per batch over two processes: the last batch of an epoch, of three, is shared as well.
    shared = SMALL | {"batch_size": 7}
    alone = FinetuneSettings(**shared | {"method": changes["method"]})
    both = FinetuneSettings(**shared | changes | {"launcher": "accelerate", "processes": 2})
    one = finetune(model, tokenizer, EXAMPLES, alone, seed=0, output_dir=tmp_path / "one")
    steps: list[tuple[int, int]] = []
    two = finetune(
        model,
        tokenizer,
        EXAMPLES,
        both,
        seed=0,
        output_dir=tmp_path / "two",
        progress=lambda *s: steps.append(s),
    )
    assert steps == [(done, 8) for done in range(1, 9)]
    assert [e["loss"] for e in two.log] == pytest.approx([e["loss"] for e in one.log], rel=1e-4)
    assert [e["tokens"] for e in two.log] == [e["tokens"] for e in one.log]
    (first,), (second,) = one.path.glob("*.safetensors"), two.path.glob("*.safetensors")
    expected, found = load_file(first), load_file(second)
    assert expected.keys() == found.keys()
    assert all(torch.allclose(found[name], expected[name], atol=1e-4) for name in expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.slow
def test_a_failing_launch_says_why(tmp_path: Path) -> None:
    settings = FinetuneSettings(**SMALL | {"max_length": 4, "launcher": "accelerate", "processes": 2})
    with pytest.raises(RuntimeError, match="no example fits"):
        finetune(byte_model(), byte_tokenizer(), EXAMPLES, settings, seed=0, output_dir=tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("in_step", [False, True])
def test_shares_hold_every_row_once(in_step: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "count", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        shares.append(processes.own_share([[0, 1, 2, 3, 4], [5, 6, 7, 8]], in_step))
    assert sorted(row for share in shares for rows in share for row in rows) == list(range(9))
    if in_step:
        assert len({len(share) for share in shares}) == 1
