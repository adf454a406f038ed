"""What is said of a training whose loss stayed where it was."""

import json
from pathlib import Path

from edsel_assets.llm.training.settings import FinetuneResult
from edsel_assets.stages.checks.training import loss_fell, training_fall


def result(fall: float) -> FinetuneResult:
    return FinetuneResult(
        path=Path("x"),
        log=[],
        tokens_per_second=1.0,
        steps=5,
        final_loss=5.4,
        seconds=1.0,
        truncated=0,
        dropped=0,
        batch_size=128,
        learning_rate=1e-4,
        loss_fall=fall,
    )


def test_a_loss_that_stayed_is_named_with_the_remedy() -> None:
    assert not loss_fell(result(0.02)).problem
    assert loss_fell(result(0.0018)).problem == (
        "Next to nothing was learnt: the loss fell by 0.2%, less than 2%, in 5 steps of 128 examples at rate "
        "0.0001. Raise finetuning.learning_rate or finetuning.epochs, or lower finetuning.batch_size."
    )


def test_the_fall_is_read_off_the_log_of_a_training(tmp_path) -> None:
    assert training_fall(tmp_path) is None
    (tmp_path / "training_log.json").write_text(json.dumps({"loss_fall": -0.5}))
    assert training_fall(tmp_path) == -0.5
