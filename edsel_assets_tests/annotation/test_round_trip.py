"""The paid loop at the command line, with the tools' own JSON: 40 prompts go out, and come back in parts.

The records have the fields that the tools write: Label Studio's export of tasks (its serializer for exports),
and Argilla's ``records.to_list(flatten=True)`` and ``records.to_json``.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from edsel_assets.annotation import Ledger, list_orders, order_table
from edsel_assets.store import Home, Store
from edsel_assets_tests.defs.conftest import TINY
from edsel_assets_tests.test_cli import edsel

PRICE = 0.5
ASKED = 40


@dataclass(frozen=True)
class Told:
    """What annotators said of one prompt: an answer and a name each; None where one rejected it."""

    prompt_id: str
    prompt: str
    said: tuple[tuple[str | None, str], ...] = ()


def label_studio(told: list[Told]) -> list[dict[str, Any]]:
    """Tasks as Label Studio exports them, those without annotations too (download_all_tasks=true)."""
    return [
        {
            "id": 100 + number,
            "data": {"prompt_id": one.prompt_id, "prompt": one.prompt, "order": "order-0001"},
            "meta": {},
            "created_at": "2026-03-09T21:52:49.513742Z",
            "updated_at": "2026-03-09T22:16:08.746926Z",
            "inner_id": number,
            "total_annotations": sum(text is not None for text, _ in one.said),
            "cancelled_annotations": sum(text is None for text, _ in one.said),
            "total_predictions": 0,
            "project": 83,
            "drafts": [{"result": [_area("a draft is no answer")]}],
            "predictions": [{"model_version": "m", "result": [_area("a prediction is no answer")]}],
            "annotations": [
                {
                    "id": 1000 * number + i,
                    "completed_by": {"id": i, "email": who, "first_name": "", "last_name": ""},
                    "result": [] if text is None else [_area(text)],
                    "was_cancelled": text is None,
                    "ground_truth": False,
                    "created_at": "2026-03-09T22:16:08.728353Z",
                    "updated_at": "2026-03-09T22:16:08.728378Z",
                    "draft_created_at": None,
                    "lead_time": 4.288,
                    "result_count": 1,
                    "task": 100 + number,
                    "parent_prediction": None,
                }
                for i, (text, who) in enumerate(one.said)
            ],
        }
        for number, one in enumerate(told)
    ]


def _area(text: str) -> dict[str, Any]:
    return {
        "id": "Dx_aB91ISN",
        "type": "textarea",
        "value": {"text": [text]},
        "origin": "manual",
        "to_name": "prompt",
        "from_name": "response",
    }


def argilla(told: list[Told]) -> list[dict[str, Any]]:
    """Records as ``dataset.records(with_responses=True).to_list(flatten=True)`` gives them."""
    return [
        {
            "id": one.prompt_id,
            "_server_id": f"{number:08d}-0000-4000-8000-000000000000",
            "status": "completed" if any(text is not None for text, _ in one.said) else "pending",
            "prompt": one.prompt,
            "prompt_id": one.prompt_id,
            "order": "order-0001",
            "response.suggestion": "a suggestion is no answer",
            "response.responses": [text for text, _ in one.said] or None,
            "response.responses.users": [who for _, who in one.said] or None,
            "response.responses.status": [
                "discarded" if text is None else "submitted" for text, _ in one.said
            ]
            or None,
        }
        for number, one in enumerate(told)
    ]


def argilla_nested(told: list[Told]) -> list[dict[str, Any]]:
    """Records as ``to_json`` writes them: responses have no status, what was discarded has none."""
    return [
        {
            "id": one.prompt_id,
            "fields": {"prompt": one.prompt},
            "metadata": {"prompt_id": one.prompt_id, "order": "order-0001"},
            "suggestions": {},
            "responses": {"response": [{"value": t, "user_id": who} for t, who in one.said if t is not None]},
            "vectors": {},
            "status": "completed" if any(text is not None for text, _ in one.said) else "pending",
            "_server_id": f"{number:08d}-0000-4000-8000-000000000000",
        }
        for number, one in enumerate(told)
    ]


@dataclass(frozen=True)
class Loop:
    """The study's store, and its commands."""

    study: Path
    home: Path

    @property
    def store(self) -> Store:
        return Home.at(self.home).store("tiny")

    def __call__(self, command: str, *words: str, fails: bool = False) -> str:
        code, out, error = edsel(command, *words, "--study", str(self.study), "--home", str(self.home))
        assert (code == 1) == fails, error
        assert "Traceback" not in error
        return error if fails else out

    def order(self, *words: str) -> str:
        return self("order", "--strategy", "random", *words).splitlines()[-1]

    def prompts(self, order: str) -> list[Told]:
        rows = order_table(self.store, order).to_pylist()
        return [Told(row["prompt_id"], row["prompt"]) for row in rows]

    def take(self, records: Any, *words: str, fails: bool = False) -> str:
        file = self.home / "back.json"
        file.write_text(json.dumps(records), encoding="utf-8")
        return self("import", str(file), *words, fails=fails).splitlines()[0]


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """A home in which an order of 40 is placed."""
    folder = tmp_path_factory.mktemp("loop")
    settings = {
        **TINY,
        "selection": {"strategies": ["random"], "budgets": [ASKED]},
        "pool": {"path": "builtin:demo", "limit": 160},
        "annotation": {"price": PRICE},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    loop = Loop(folder / "study.yaml", folder / "home")
    assert loop.order("--budget", str(ASKED)) == "order-0001"
    return loop


@pytest.fixture
def loop(placed: Loop, tmp_path: Path) -> Loop:
    """A copy of it, to go on from."""
    shutil.copytree(placed.home, tmp_path / "home")
    return Loop(placed.study, tmp_path / "home")


TOOLS: dict[str, Callable[[list[Told]], list[dict[str, Any]]]] = {
    "label-studio": label_studio,
    "argilla": argilla,
}


@pytest.mark.parametrize("tool", TOOLS)
def test_forty_prompts_go_out_and_come_back_in_parts(loop: Loop, tool: str) -> None:
    records, asked = TOOLS[tool], loop.prompts("order-0001")
    exported = loop.home / "tasks.json"
    loop("export", "order-0001", "--format", tool, "--out", str(exported))
    assert len(json.loads(exported.read_text("utf-8"))) == ASKED

    # 28 answered (two twice alike, two twice in different words), 4 rejected, 8 (20 %) without a word.
    first = [
        *(Told(one.prompt_id, one.prompt, ((f"answer {i}", "ann"),)) for i, one in enumerate(asked[:24])),
        *(
            Told(one.prompt_id, one.prompt, (("the same", "ann"), ("the same", "bob")))
            for one in asked[24:26]
        ),
        *(Told(one.prompt_id, one.prompt, (("one", "ann"), ("another", "bob"))) for one in asked[26:28]),
        *(Told(one.prompt_id, one.prompt, ((None, "bob"),)) for one in asked[28:32]),
        *asked[32:],
    ]
    refusal = loop.take(records(first), fails=True)
    assert "has another answer" in refusal
    assert "--keep first" in refusal
    assert Counter(p.status for p in Ledger(loop.store).state().values()) == {"asked": ASKED}, (
        "nothing is written where a row is wrong"
    )
    said = loop.take(records(first), "--keep", "first")
    assert said.startswith("28 answered, 4 rejected, 0 late, 8 open")
    state = Ledger(loop.store).state()
    assert {state[one.prompt_id].response for one in asked[26:28]} == {"one"}

    # What was rejected is replaced by the next best, which nobody was asked for.
    second = loop.order("--replace")
    replacing = loop.prompts(second)
    assert len(replacing) == 4
    assert not {one.prompt_id for one in replacing} & {one.prompt_id for one in asked}

    # A second file: the first once more, five answers that were open, one to a prompt that was replaced.
    more = [
        *first[:29],
        *(Told(one.prompt_id, one.prompt, (("in time", "cy"),)) for one in asked[32:37]),
        Told(asked[31].prompt_id, asked[31].prompt, (("after all", "cy"),)),
        *(Told(one.prompt_id, one.prompt, (("a replacement", "cy"),)) for one in replacing),
    ]
    said = loop.take(records(more), "--keep", "first")
    assert said.startswith("9 answered, 0 rejected, 1 late, 3 open")
    assert loop.take(records(more), "--keep", "first").startswith("0 answered, 0 rejected, 0 late, 3 open")

    # The three that will never be answered: rejected by hand, and replaced as well.
    gone = loop.home / "gone.csv"
    gone.write_text(
        "prompt_id,response,status\n" + "".join(f"{one.prompt_id},,rejected\n" for one in asked[37:]), "utf-8"
    )
    assert loop("import", str(gone)).startswith("0 answered, 3 rejected, 0 late, 0 open")
    third = loop.order("--replace")
    loop("order", "--strategy", "random", "--replace", fails=True)

    tables = [loop.prompts(order.name) for order in list_orders(loop.store)]
    everything = [one.prompt_id for table in tables for one in table]
    assert [len(table) for table in tables] == [40, 4, 3]
    assert len(set(everything)) == len(everything) == 47, "nothing is asked twice"
    events = Ledger(loop.store).events()
    counts = Counter(event.event for event in events)
    assert counts == {"asked": 47, "answered": 37, "rejected": 7, "replaced": 7, "paid": 37, "late": 1}
    paid = [event.prompt_id for event in events if event.event == "paid"]
    assert len(set(paid)) == len(paid), "nothing is paid twice"
    assert asked[31].prompt_id not in paid, "a late answer is for a person to decide"
    assert sum(event.price or 0.0 for event in events if event.event == "paid") == 37 * PRICE
    assert {p.order for p in Ledger(loop.store).state().values() if p.status == "asked"} == {third}


def test_argillas_to_json_has_no_status_and_takes_no_rejection_for_an_answer(loop: Loop) -> None:
    asked = loop.prompts("order-0001")
    told = [
        Told(asked[0].prompt_id, asked[0].prompt, (("yes", "ann"), (None, "bob"))),
        Told(asked[1].prompt_id, asked[1].prompt, ((None, "bob"),)),
        asked[2],
    ]
    records = argilla_nested(told)
    # A draft: Argilla keeps its value, and calls the record pending until enough were submitted.
    records[2]["responses"] = {"response": [{"value": "half an ans", "user_id": "ann"}]}
    assert loop.take(records).startswith("1 answered, 0 rejected, 0 late, 39 open")


def test_an_order_says_what_changed_since_and_why(loop: Loop) -> None:
    """A pool with fewer prompts gives other picks; the order knows what its own were made from."""
    words = ("order-0001", "selections[00040|random]", "--study", str(loop.study), "--home", str(loop.home))
    code, _, error = edsel("diff", *words)
    assert code == 2
    assert "is not in" in error
    loop("run", "--only", "selections")
    code, out, _ = edsel("diff", *words)
    assert code == 1
    assert "40 only in A, 40 only in B, 0 in both" in out
    assert "orders: order-0001 was placed, through rankings[random]" in out
    code, out, _ = edsel("diff", words[1], words[1], *words[2:])
    assert (code, out.splitlines()[-1]) == (0, "The same 40 prompts in the same order.")
    assert edsel("diff", "tiny", "tiny", *words[2:])[0] == 0
    for wrong in (("tiny", "order-0001"), ("order-0009", "order-0001"), ("order-0001",)):
        code, _, error = edsel("diff", *wrong, *words[2:])
        assert code == 2, error
        assert "Traceback" not in error
    text = loop.study.read_text("utf-8")
    other = loop.home / "other.yaml"
    other.write_text(text.replace("limit: 160", "limit: 120").replace("name: tiny", "name: other"), "utf-8")
    edsel("run", "--only", "selections", "--study", str(other), "--home", str(loop.home))
    code, out, error = edsel("diff", "tiny:rankings[random]", "other:rankings[random]", *words[2:])
    assert code == 1, error
    assert "pool: pool.limit 160 -> 120, through rankings[random]" in out
    code, out, _ = edsel("diff", "tiny", str(other), *words[2:])
    assert code == 1
    assert "pool: pool.limit 160 -> 120" in out
