"""Instructions as they are read, and what a model answers to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edsel_assets.stages.evaluation.answers import read_instructions, write_answers
from edsel_assets.study import JudgeSettings
from edsel_assets_tests.defs.conftest import tiny_study


def settings(path: Path, **changes: int) -> JudgeSettings:
    return JudgeSettings.model_validate({"instructions": str(path), **changes})


def test_a_list_and_lines_hold_the_same_instructions(tmp_path: Path) -> None:
    rows = [{"instruction": "Say ä.", "output": "ä"}, {"instruction": "Say\nb."}, {"instruction": "Say c."}]
    whole, lines = tmp_path / "a.json", tmp_path / "b.jsonl"
    whole.write_text(json.dumps(rows), encoding="utf-8")
    lines.write_text("\n\n".join(json.dumps(row) for row in rows), encoding="utf-8-sig")
    expected = ["Say ä.", "Say\nb.", "Say c."]
    assert read_instructions(settings(whole)) == read_instructions(settings(lines)) == expected
    assert read_instructions(settings(whole, limit=2)) == expected[:2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "holds no instruction"),
        (b"", "holds no instruction"),
        (b'[{"instruction": "a"}, {"prompt": "b"}]', "row 1: no text under the name instruction"),
        (b'{"instruction": "  "}', "row 0: no text"),
        (b'["a"]', "row 0: no text"),
        (b'{"instruction": "a"', "neither a JSON list nor JSONL"),
        (b"[1,", "neither a JSON list nor JSONL"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
    ],
)
def test_a_wrong_file_is_named_with_its_row(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"wrong\.json.*{message}"):
        read_instructions(settings(path))
    with pytest.raises(ValueError, match=r"absent\.json cannot be read: No such file"):
        read_instructions(settings(tmp_path / "absent.json"))


def test_answers_are_greedy_and_say_whether_they_ended(tmp_path: Path) -> None:
    from edsel_assets.demo import DEMO, local_path
    from edsel_assets.llm import format_prompt, load_model

    path = tmp_path / "some.json"
    texts = ["Say red.", "Name a bird.", "Say red."]
    path.write_text(json.dumps([{"instruction": text} for text in texts]))
    model, tokenizer = load_model(local_path(DEMO, "model"), dtype="float32", device="cpu")
    study = tiny_study(evaluation={"judge": {"instructions": str(path), "max_new_tokens": 5, "model": "x"}})
    table = write_answers(model, tokenizer, study)
    assert table["instruction"].to_pylist() == texts
    for row in table.to_pylist():
        ids = tokenizer(format_prompt(study.model.template, row["instruction"]), return_tensors="pt")
        out = model.generate(**ids, max_new_tokens=5, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert row["answer"] == tokenizer.decode(out, skip_special_tokens=True)
        assert row["ended"] == (int(out[-1]) == tokenizer.eos_token_id)
