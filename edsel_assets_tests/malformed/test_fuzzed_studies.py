"""Shipped studies with seeded changes: each is a study, or one plain error, and never another exception."""

import copy
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

import edsel_assets
from edsel_assets.study import Study, StudyError, shipped_studies

_EACH = 120  # changed copies of each shipped study
_VARIABLES = [
    f"EDSEL_{name}" for name in ("DATA", "HUMANEVAL", "INSTRUCTIONS", "JUDGE", "LIMIT", "MODEL", "POOL")
]
_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**63, 10**40, -(10**40), 1e308, -0.0, 1e-320, float("nan"), float("inf"),
    "", " ", "nan", "1e999", "é", "日本語", "\u202e", "a\nb", "x" * 5000, "../..",
    "${HOME}", "${EDSEL_NO}", "*", "~",
    "builtin:demo", "random", "auto", [], {}, [[]], [[[[1]]]], {"a": {"b": {"c": [1]}}}, ["random", "random"],
    [None], [float("nan")], {"": 1}, {1: 2}, {None: None}, b"bytes", list(range(2000)),
]  # fmt: skip


def places(content: Any, at: tuple = ()) -> list[tuple]:
    """Where each value stands in the study, as keys and positions."""
    inner: list[tuple] = []
    if isinstance(content, dict):
        inner = [place for key in content for place in places(content[key], (*at, key))]
    elif isinstance(content, list):
        inner = [place for i, each in enumerate(content) for place in places(each, (*at, i))]
    return [at, *inner] if at else inner


def change(content: dict, draw: random.Random) -> str:
    """Change ``content`` in one place; what was done."""
    place = draw.choice(places(content))
    holder: Any = content
    for part in place[:-1]:
        holder = holder[part]
    what, last = draw.choice(["delete", "value", "rename", "wrap", "double", "swap"]), place[-1]
    if what == "delete":
        del holder[last]
    elif what == "rename" and isinstance(holder, dict):
        name = draw.choice([f"{last}s", str(last)[1:], f"{last}é", draw.choice(list(holder)), 5, None])
        holder[name] = holder.pop(last)
    elif what == "wrap":
        holder[last] = draw.choice([[holder[last]], {"value": holder[last]}, str(holder[last])])
    elif what == "double" and isinstance(holder, list):
        holder.append(holder[last])
    elif what == "swap":
        other = draw.choice([key for key in content if key != place[0]] or [place[0]])
        holder[last] = copy.deepcopy(content[other])
    else:
        holder[last] = copy.deepcopy(draw.choice(_VALUES))
    return what


@pytest.mark.parametrize("name", shipped_studies())
def test_a_changed_study_is_a_study_or_one_plain_error(name, tmp_path: Path, monkeypatch) -> None:
    for variable in _VARIABLES:
        monkeypatch.setenv(variable, "/data" if variable != "EDSEL_LIMIT" else "100")
    shipped = Path(edsel_assets.__file__).parent / "studies"
    whole = yaml.safe_load((shipped / f"{name}.yaml").read_text(encoding="utf-8"))
    draw, path, ends = random.Random(name), tmp_path / "changed.yaml", Counter[str]()
    for number in range(_EACH):
        content = copy.deepcopy(whole)
        done = [change(content, draw) for _ in range(draw.choice([1, 1, 1, 2, 4])) if content]
        path.write_text(yaml.safe_dump(content, allow_unicode=draw.random() < 0.5), encoding="utf-8")
        start = time.process_time()
        try:
            Study.load(path)
            ends["a study"] += 1
        except StudyError as error:
            said = str(error)
            assert said.startswith(str(path)), (number, done, said)
            assert "\n" not in said, (number, done, said)
            assert len(said) < 2000, (number, done, said)
            ends["an error"] += 1
        assert time.process_time() - start < 2, (number, done)
    print(name, dict(ends))
    assert min(ends["a study"], ends["an error"]) > 0, "the changes are all harmless, or all deadly"
