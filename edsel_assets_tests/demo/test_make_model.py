"""The committed model loads and knows what it read; the script that made it runs, at a tiny size."""

from __future__ import annotations

import math
import random
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from edsel_assets.demo import demo_pool
from edsel_assets.llm import DEFAULT_TEMPLATE, format_prompt
from scripts.demo import make_model as script
from scripts.demo.corpus import ASSISTANT, END, PAD, USER, documents
from scripts.demo.families import FAMILIES


@pytest.fixture(scope="module")
def committed() -> tuple[Any, Any]:
    return (
        AutoModelForCausalLM.from_pretrained(script.MODEL_DIR),
        AutoTokenizer.from_pretrained(script.MODEL_DIR),
    )


def test_the_files_are_small_and_hold_no_pickle() -> None:
    files = [path for path in script.MODEL_DIR.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8 * 2**20
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".jinja"}


def test_tokenizer_gives_back_what_it_was_given(committed: tuple[Any, Any]) -> None:
    _, tokenizer = committed
    prompts = [row["prompt"] for row in demo_pool()[:200]]
    for text in [
        *prompts,
        *islice(documents(5), 100),
        "Größe: 12 €\n\tok",
    ]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_markers_are_single_tokens_and_nothing_is_added(committed: tuple[Any, Any]) -> None:
    _, tokenizer = committed
    ids = tokenizer(format_prompt(DEFAULT_TEMPLATE, "hot"))["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == [USER, "Ċ", "hot", "Ċ", ASSISTANT, "Ċ"]
    assert (tokenizer.eos_token, tokenizer.pad_token) == (END, PAD)


def test_prompts_are_short(committed: tuple[Any, Any]) -> None:
    _, tokenizer = committed
    pool = pd.DataFrame(demo_pool())
    clean = pool[pool["source"] != "junk"]
    assert max(map(len, tokenizer(list(clean["prompt"]))["input_ids"])) <= 40
    assert max(map(len, tokenizer(list(clean["response"]))["input_ids"])) <= 10


@pytest.mark.parametrize("name", ["capital", "plural", "colour", "young"])
def test_the_model_knows_what_its_corpus_states(committed: tuple[Any, Any], name: str) -> None:
    model, tokenizer = committed
    family = FAMILIES[name]
    assert family.table is not None
    heading = family.documents[1].split("\n")[0]
    items = family.table[:12]
    tokenizer.padding_side = "left"
    inputs = tokenizer([f"{heading}\n{x}\n" for x, _ in items], return_tensors="pt", padding=True)
    output = model.generate(**inputs, max_new_tokens=6, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    texts = tokenizer.batch_decode(output, skip_special_tokens=True)
    right = sum(text.split("\n")[0] == y for text, (_, y) in zip(texts, items, strict=True))
    assert right >= 9


def test_the_corpus_is_seeded() -> None:
    assert list(islice(documents(3), 50)) == list(islice(documents(3), 50))
    assert list(islice(documents(3), 50)) != list(islice(documents(4), 50))


def test_the_corpus_never_answers_a_request_worded_as_in_the_pool() -> None:
    requests = {
        prompt.format(x=x): y
        for family in FAMILIES.values()
        for x, y in family.items(300, random.Random(0))
        for prompt in family.prompts
    }
    replies = {}
    for text in islice(documents(0), 20_000):
        if text.startswith(USER):
            request, reply = text.removeprefix(f"{USER}\n").split(f"\n{ASSISTANT}\n")
            if request in requests:
                replies[request] = reply
    assert len(replies) > 500
    assert not [request for request, reply in replies.items() if reply == requests[request]]


def _tiny(directory: Path) -> tuple[list[float], dict[str, torch.Tensor]]:
    tokenizer = script.make_tokenizer(vocabulary=400, corpus_size=300)
    model = script.make_model(tokenizer, hidden_size=32, intermediate_size=32, num_hidden_layers=1)
    losses = list(script.pretrain(model, tokenizer, steps=2, block=32, batch=4))
    script.save(model, tokenizer, directory)
    return losses, model.state_dict()


def test_two_steps_of_the_script_repeat_exactly_and_load(tmp_path: Path) -> None:
    losses, weights = _tiny(tmp_path / "a")
    again, same = _tiny(tmp_path / "b")
    assert losses == again
    assert all(torch.equal(weights[key], same[key]) for key in weights)
    assert losses[0] == pytest.approx(math.log(400), rel=0.1)  # untrained: uniform over the vocabulary
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    assert all(torch.equal(weights[key], value) for key, value in loaded.state_dict().items())
    assert len(AutoTokenizer.from_pretrained(tmp_path / "a")) == 400


def test_the_card_states_what_the_files_hold(committed: tuple[Any, Any]) -> None:
    model, tokenizer = committed
    text = (script.MODEL_DIR / "README.md").read_text(encoding="utf-8")
    assert f"{model.num_parameters():,} parameters" in text
    assert f"{len(tokenizer):,} tokens" in text
    assert "1 of 32 x 128 tokens" in script.card(model, tokenizer, [1.0], seed=0, minutes=0.1)


def test_main_writes_model_and_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["make_model", "--steps", "1", "--out", str(tmp_path / "out")])
    script.main()
    assert {"README.md", "model.safetensors", "tokenizer.json"} <= {
        p.name for p in (tmp_path / "out").iterdir()
    }


def test_blocks_are_the_documents_end_to_end() -> None:
    tokenizer = script.make_tokenizer(vocabulary=400, corpus_size=300)
    first = next(script.batches(tokenizer, seed=7, block=16, batch=4))
    assert first.shape == (4, 16)
    text = tokenizer.decode(first.flatten().tolist())
    expected = "".join(document + END for document in islice(documents(7), 60))
    assert expected.startswith(text[:-8])  # the last document may be cut inside a character's bytes
