"""The parts of the documentation that are made from the code.

``python -m scripts.study_reference`` writes them anew, from the root of the repository: all of
docs/reference.md, and the tables of strategies in README.md and docs/strategies.md. The tests fail
where the files and the code disagree.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.selection.strategy import Strategy
from edsel_assets.study import Study
from scripts import by_size

#: Settings that say nothing in the study, as their names are terms of the field.
WORDS = {
    "name": "Name of the study; its results lie under it. Letters, digits, dots, dashes, underscores.",
    "pool.format": "How the files are read; auto goes by the suffix, hf is a data set's folder.",
    "embeddings.source": "Who computes the embeddings: the base model, another one, a server, a file.",
    "embeddings.revision": "Revision of the embedding model.",
    "embeddings.batch_size": "Texts in one call of the embedding model.",
    "embeddings.requests_per_minute": "Most requests to a server in a minute; no limit by default.",
    "uncertainty.entropy_sign": "entropy prefers uncertain prompts; paper_literal has the paper's sign.",
    "clustering.seed": "Seed of the starts of k-means.",
    "selection.engine": "How facility location is computed; auto goes by pool and memory.",
    "finetuning.method": "An adapter (lora, dora), or all weights (full).",
    "finetuning.rank": "Rank of the adapter's matrices.",
    "finetuning.alpha": "Scale of the adapter: its product is multiplied by alpha / rank.",
    "finetuning.dropout": "Share of the adapter's inputs that is dropped while training.",
    "finetuning.schedule": "How the learning rate falls after the warm-up.",
    "finetuning.epochs": "Passes over the training set.",
    "finetuning.max_length": "Tokens of prompt and response together; longer examples are cut.",
    "finetuning.gradient_checkpointing": "Compute activations again instead of keeping them: less memory.",
    "finetuning.weight_decay": "Weight decay of AdamW.",
    "finetuning.max_grad_norm": "Longer gradients are cut to this norm.",
    "finetuning.dtype": "Number format of the products while training.",
    "evaluation.tasks.name": "Name of a task of lm-eval, or of one in include_path.",
    "evaluation.tasks.num_fewshot": "Examples before each item; the task's own number by default.",
    "rounds.rounds": "Rounds that the budget is spread over.",
}
_KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


@dataclass(frozen=True)
class Setting:
    """One setting of a study: its dotted name, and type, default and description in words."""

    name: str
    type: str
    default: str
    description: str


@dataclass(frozen=True)
class Section:
    """The settings of one part of a study; ``name`` is "" for those that stand at the top."""

    name: str
    description: str
    settings: tuple[Setting, ...]


def sections() -> list[Section]:
    """Every setting of a study, in the order of its sections."""
    schema = Study.model_json_schema()
    return list(_sections("", schema, schema["$defs"]))


def reference() -> str:
    """docs/reference.md."""
    parts = [
        "# Every setting of a study",
        "",
        "Made from `edsel_assets/study/` by `python -m scripts.study_reference`. Not edited by hand.",
        "",
        "A study is a YAML file. What has a default can be left out. A text may use `${VARIABLE}` or",
        "`${VARIABLE:-default}` from the environment. A setting that is not listed here is an error.",
    ]
    for section in sections():
        words = [f"`{section.name}`: {section.description}" if section.name else "The settings at the top."]
        parts += ["", f"## {section.name or 'study'}", "", *words, ""]
        parts += _table(
            ("setting", "type", "default", "what it does"),
            [(f"`{s.name}`", s.type, s.default, s.description) for s in section.settings],
        )
    return "\n".join(parts) + "\n"


def strategies() -> str:
    """The table of strategies for readers who choose one."""
    rows = [(f"`{s.name}`", s.summary, s.paper) for s in STRATEGIES.values()]
    return "\n".join(_table(("strategy", "picks", "from"), rows))


def strategy_facts() -> str:
    """What each strategy reads, and whether its selections nest."""
    rows = [
        (f"`{s.name}`", _reads(s), ", ".join(f"`{name}`" for name in s.settings) or "none", *_nature(s))
        for s in STRATEGIES.values()
    ]
    return "\n".join(_table(("strategy", "reads", "settings of its own", "nested", "drawn", "aims"), rows))


def gpu_stages() -> str:
    """Memory and hours of the stages on one GPU, by the size of the base model."""
    return "\n".join(_table(("stage", *by_size.SHAPES), by_size.stages()))


#: File, name of the part of it (None: all of it), and what makes that part.
PARTS: tuple[tuple[str, str | None, Callable[[], str]], ...] = (
    ("docs/reference.md", None, reference),
    ("docs/strategies.md", "strategy facts", strategy_facts),
    ("docs/gpu.md", "stages by size", gpu_stages),
    ("README.md", "strategies", strategies),
)


def update(root: Path) -> list[str]:
    """Write every generated part under ``root``; the names of the files that changed.

    Raises:
        ValueError: a file has no place for its part.
    """
    changed = []
    for name, part, make in PARTS:
        path = root / name
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = make() if part is None else _replaced(before, name, part, make())
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(name)
    return changed


def _sections(name: str, schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[Section]:
    """The section at ``name`` and, after it, those inside it."""
    settings, inner = [], []
    for key, value in schema["properties"].items():
        dotted = f"{name}.{key}" if name else key
        target = _section_in(value, definitions)
        if target is not None:
            inner.append((dotted, target))
        else:
            settings.append(_setting(dotted, value, key in schema.get("required", ())))
    if settings:
        yield Section(name, " ".join(schema.get("description", "").split()), tuple(settings))
    for dotted, target in inner:
        yield from _sections(dotted, target, definitions)


def _section_in(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    """The section that a property holds, itself or as a list; None where it is a setting."""
    for holder in (value, value.get("items", {}), *value.get("allOf", ()), *value.get("anyOf", ())):
        target = definitions.get(str(holder.get("$ref", "")).rpartition("/")[2])
        if target is not None and "properties" in target:
            return target
    return None


def _setting(dotted: str, value: dict[str, Any], required: bool) -> Setting:
    if required:
        default = "**required**"
    elif value.get("default") is None:
        default = "none"
    else:
        default = f"`{json.dumps(value['default'], ensure_ascii=False)}`"
    return Setting(dotted, _type(value), default, value.get("description") or WORDS.get(dotted, ""))


def _type(value: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in value:
        return " or ".join(_type(each) for each in value["anyOf"] if each.get("type") != "null")
    if "enum" in value or "const" in value:
        return " or ".join(f"`{each}`" for each in value.get("enum", [value.get("const")]))
    if value["type"] == "array":
        return f"list of {_type(value['items'])}" if value.get("items") else "list"
    if value["type"] == "object":
        names = value.get("propertyNames", {}).get("enum")
        return "mapping from " + " or ".join(f"`{name}`" for name in names) if names else "mapping"
    bounds = [f"{words} {value[key]:,.12g}" for key, words in _BOUNDS.items() if key in value]
    return _KINDS[value["type"]] + (f" ({', '.join(bounds)})" if bounds else "")


def _reads(strategy: Strategy) -> str:
    measure = f" ({strategy.measure})" if strategy.measure else ""
    return (", ".join(sorted(strategy.needs)) or "nothing") + measure


def _nature(strategy: Strategy) -> tuple[str, str, str]:
    drawn, aims = "at random" if strategy.stochastic else "no", "yes" if strategy.aims else "no"
    return "yes" if strategy.nested else "no", drawn, aims


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _replaced(text: str, name: str, part: str, content: str) -> str:
    begin, end = f"<!-- made by study_reference: {part} -->", f"<!-- end of {part} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{name} should hold the lines {begin} and {end} once each; add them.")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), flags=re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n\n{content}\n\n{end}", text)


def main() -> None:
    """Write the generated parts under the working directory."""
    try:
        changed = update(Path.cwd())
    except (ValueError, OSError) as error:
        sys.exit(f"study_reference: {error}")
    print("\n".join(changed) if changed else "Every generated part is up to date.")


if __name__ == "__main__":
    main()
