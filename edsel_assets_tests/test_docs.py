"""What the pages say is so: commands, options, paths, settings, studies and examples are run or checked."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_origin

import click
import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
import typer
import yaml
from pydantic import BaseModel

from edsel_assets import cli
from edsel_assets.selection import STRATEGIES, Signals, StrategyOptions
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets.study.file import GONE
from edsel_assets_tests.defs.conftest import tiny_study
from scripts import study_reference

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMANDS: dict[str, click.Command] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
STUDY_SECTIONS = set(Study.model_fields)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def edsel_lines(text: str) -> list[list[str]]:
    """The words of every edsel command of a page, in its blocks and within sentences."""
    shell = [line for block in blocks(text, "bash") for line in block.splitlines()]
    spoken = re.findall(r"`((?:\.venv/bin/)?edsel [^`]+)`", text)
    found = [line.split(" # ")[0].split(" | ")[0].strip() for line in [*shell, *spoken]]
    found = [re.sub(r"^(?:[A-Z_]+=\S+ +)?(?:\.venv/bin/)?", "", line) for line in found]
    return [shlex.split(line)[1:] for line in found if line.startswith("edsel ")]


LINES = [(page.name, words) for page in PAGES for words in edsel_lines(page.read_text(encoding="utf-8"))]


def test_the_pages_are_there() -> None:
    names = {page.name for page in PAGES}
    assert names >= {
        "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "own-pool.md", "strategies.md", "operating.md",
        "security.md", "extending.md", "reference.md", "benchmarks.md",
    }  # fmt: skip
    assert {words[0] for _, words in LINES} >= {"run", "plan", "verify", "order", "export", "import", "ui"}


@pytest.mark.parametrize(("page", "words"), LINES, ids=[f"{p}: {' '.join(w)}" for p, w in LINES])
def test_every_command_is_one_that_the_program_takes(page: str, words: list[str]) -> None:
    name, *rest = words
    assert name in COMMANDS, f"{page}: there is no command {name}"
    if len(rest) <= 1 and not any(word.startswith("-") for word in rest):
        return  # named within a sentence: "edsel plan", "edsel import"
    COMMANDS[name].make_context(name, list(rest))  # raises for an unknown option, value or missing argument


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), f"{page.name} links {link}"
    for path in re.findall(r"`((?:edsel_assets|edsel_assets_tests|benchmarks|docs)/[\w/.-]*)`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def studies() -> list[tuple[str, dict[str, Any]]]:
    found = [
        (page.name, yaml.safe_load(block))
        for page in PAGES
        for block in blocks(page.read_text(encoding="utf-8"), "yaml")
    ]
    return [(page, content) for page, content in found if set(content) <= STUDY_SECTIONS]


@pytest.mark.parametrize(("page", "content"), studies())
def test_every_study_and_part_of_one_is_valid(page: str, content: dict[str, Any]) -> None:
    least = {"name": "part", "selection": {"strategies": ["random"], "budgets": [1]}}
    Study.model_validate({**least, **content})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_is_one(page: Path) -> None:
    names = {setting.name for section in study_reference.sections() for setting in section.settings}
    sections = {section.name for section in study_reference.sections()}
    text = page.read_text(encoding="utf-8")
    if page.name == "CHANGELOG.md":
        for gone in GONE:
            text = text.replace(gone, "")
    for section, rest in re.findall(r"`([a-z_]+)\.([a-z_.]+)(?::[^`]*)?`", text):
        if section in STUDY_SECTIONS:
            name = f"{section}.{rest}"
            assert name in names | sections, f"{page.name} names the setting {name}"


def test_the_example_of_a_project_of_dagster_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDSEL_HOME", str(tmp_path))
    space: dict[str, Any] = {}
    exec(compile(blocks(text_of("docs/dagster.md"), "python")[0], "docs/dagster.md", "exec"), space)
    dg.Definitions.validate_loadable(space["defs"])
    keys = {key.to_user_string() for key in space["defs"].resolve_asset_graph().get_all_asset_keys()}
    assert {"summary", "mine/label_efficiency"} <= keys


# -- what is made from the code


def test_the_reference_says_what_each_setting_is() -> None:
    settings = {s.name: s for section in study_reference.sections() for s in section.settings}
    assert settings["selection.gamma"].type == "number (more than 0, at most 1,000,000) or `auto`"
    assert settings["selection.gamma"].default == '`"auto"`'
    assert settings["selection.budgets"].default == "**required**"
    assert settings["evaluation.tasks.limit"].type == "whole number (at least 1, at most 1,000,000,000)"
    assert settings["pool.limit"].default == "none"
    assert [name for name, setting in settings.items() if not setting.description] == []


def test_the_reference_has_every_setting() -> None:
    def names(model: type[BaseModel], place: str) -> set[str]:
        found: set[str] = set()
        for name, field in model.model_fields.items():
            kinds = (field.annotation, *get_args(field.annotation))  # itself, in a list, or optional
            inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
            named = get_origin(field.annotation) is dict
            found |= names(inner[0], f"{place}{name}.") if inner and not named else {f"{place}{name}"}
        return found

    listed = {setting.name for section in study_reference.sections() for setting in section.settings}
    assert listed == names(Study, "")


def test_no_words_are_kept_for_settings_that_are_gone_or_say_it_themselves() -> None:
    said = json.dumps(Study.model_json_schema())
    listed = {setting.name for section in study_reference.sections() for setting in section.settings}
    assert set(study_reference.WORDS) <= listed
    doubled = [name for name, words in study_reference.WORDS.items() if words in said]
    assert doubled == []


@pytest.mark.parametrize(("name", "part", "make"), study_reference.PARTS)
def test_generated_parts_are_up_to_date(name: str, part: str | None, make: Any) -> None:
    assert make().strip() in text_of(name), "run: python -m scripts.study_reference"
    if part is None:
        assert text_of(name) == make(), "run: python -m scripts.study_reference"


def test_the_generator_writes_what_changed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "docs/strategies.md", "docs/gpu.md"):
        (tmp_path / name).write_text(text_of(name).replace("k-means, then uniform", "old"), encoding="utf-8")
    assert study_reference.update(tmp_path) == ["docs/reference.md", "README.md"]
    assert study_reference.update(tmp_path) == []
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text_of("README.md")
    (tmp_path / "README.md").write_text("no place for a table", encoding="utf-8")
    with pytest.raises(ValueError, match=r"README\.md should hold the lines"):
        study_reference.update(tmp_path)


# -- benchmarks.md


def test_the_figures_are_those_of_the_results() -> None:
    results = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "benchmarks").rglob("*.md"))
    figures = set(re.findall(r"\d+,\d{3}(?:\.\d+)?", text_of("docs/benchmarks.md")))
    assert len(figures) >= 15
    assert {figure for figure in figures if figure not in results} == set()


def test_the_demos_figures_on_the_page_are_those_of_the_readme() -> None:
    text = text_of("docs/strategies.md")
    measured = text[text.index("## What we measured") :]
    table = {f"{abs(float(figure)):.3f}" for figure in re.findall(r"-?\d\.\d{4}", text_of("README.md"))}
    said = set(re.findall(r"\d\.\d{3}\b", measured[: measured.index("The demo's tasks")]))
    assert len(said) >= 5
    assert said <= table


# -- extending.md


def example(index: int) -> dict[str, Any]:
    space: dict[str, Any] = {}
    exec(compile(blocks(text_of("docs/extending.md"), "python")[index], "docs/extending.md", "exec"), space)
    return space


def pool_of(size: int, selected: tuple[int, ...]) -> Signals:
    rng = np.random.default_rng(0)
    ids = np.array([f"{i:04x}" for i in rng.permutation(size)])
    return Signals(ids, rng.normal(size=(size, 8)), -rng.random(size), selected=selected)


def test_the_new_strategy_keeps_what_the_page_asks_for() -> None:
    row, signals, budget = example(0)["ROW"], pool_of(200, (3, 5)), 20
    picks = row(signals, budget).indices
    assert len(set(picks.tolist())) == budget
    assert not {3, 5} & set(picks.tolist())
    doubtful = np.argsort(-np.delete(signals.uncertainty, [3, 5]))[: 4 * budget]
    assert set(picks.tolist()) <= set(np.delete(np.arange(200), [3, 5])[doubtful].tolist())
    order = np.random.default_rng(1).permutation(200)
    moved = replace(
        signals,
        prompt_ids=signals.prompt_ids[order],
        embeddings=signals.embeddings[order],
        uncertainty=signals.uncertainty[order],
        selected=tuple(np.argsort(order)[[3, 5]]),
    )
    assert order[row(moved, budget).indices].tolist() == picks.tolist()
    assert row(signals, 10, StrategyOptions(seed=1)).indices.tolist() == row(signals, 10).indices.tolist()


def test_the_new_strategy_shows_in_the_graph(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edsel_assets.planning.cells import Cell
    from edsel_assets.planning.lineage import lineage_of

    row = example(0)["ROW"]
    monkeypatch.setitem(STRATEGIES, row.name, row)
    study = tiny_study(selection={"strategies": ["random", row.name], "budgets": [6]})
    lineage = lineage_of(study, Home.at(tmp_path))
    parents = {str(parent) for parent in lineage.parents(Cell("rankings", row.name))}
    assert "uncertainty_scores[min_margin]" in parents
    assert "embeddings" in parents
    assert not any(name.startswith(("clusters", "quality_scores")) for name in parents)
    assert Cell("selections", f"00006|{row.name}") in lineage.nodes["selections"].cells()


def test_the_new_scorer_ranks_sure_answers_first() -> None:
    table = pa.table(
        {
            "prompt_id": ["a", "b", "c"],
            "logprob": pa.array([[-2.0, -2.0], [-0.1], [-1.0, -1.0]]),
            "prompt_tokens": [9, 5, 7],
        }
    )
    found = example(1)["confidence_quality"](table).to_pydict()
    # Ranks of three: 1/6, 3/6, 5/6. b is the surest, a the longest.
    assert found["quality"] == pytest.approx([1 / 6, 5 / 6, 1 / 2])
    assert found["complexity"] == pytest.approx([5 / 6, 1 / 6, 1 / 2])


def test_the_new_text_scorer_is_kept_by_content(tmp_path: Path) -> None:
    scorer = example(2)["variety_scorer"]()
    texts = ["a b a b", "a b c d"]
    found = scorer.kept(Home.at(tmp_path), ["1", "2"], texts, None)
    assert found.values.tolist() == [0.5, 1.0]
    again = scorer.kept(Home.at(tmp_path), ["1", "2", "3"], [*texts, "a a a a"], None)
    assert again.values.tolist() == [0.5, 1.0, 0.25]
    assert (again.rows_new, again.rows_reused) == (1, 2)


def test_the_new_task_loads_its_local_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edsel_assets.llm.scoring.tasks import check_tasks, in_directory, load_tasks, quiet

    (task,) = [block for block in blocks(text_of("docs/extending.md"), "yaml") if "dataset_path" in block]
    tasks, data = tmp_path / "tasks", tmp_path / "data"
    tasks.mkdir()
    data.mkdir()
    (tasks / "ticket_topic.yaml").write_text(task, encoding="utf-8")
    (data / "tickets.jsonl").write_text('{"text": "Charged twice.", "topic": "billing"}\n', encoding="utf-8")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    check_tasks(["ticket_topic"], tasks)
    with quiet(), in_directory(data):
        loaded = load_tasks(("ticket_topic",), str(tasks), str(data), (None,)).tasks["ticket_topic"]
    (item,) = list(loaded.test_docs())
    assert loaded.doc_to_text(item) == "Charged twice.\nTopic:"
    assert loaded.doc_to_choice(item) == ["billing", "delivery", "other"]
    assert loaded.doc_to_target(item) in ("billing", 0)


# -- operating.md and own-pool.md


def test_the_ledger_on_the_page_is_one() -> None:
    from edsel_assets.planning.ledger import Ledger

    (block,) = blocks(text_of("docs/operating.md"), "json")
    ledger = Ledger.model_validate_json(block)
    assert ledger.settings["selection.gamma"] == "auto"
    assert ledger.resolved["selection.gamma"] == 0.9911


def test_the_layouts_on_the_page_are_those_that_are_read() -> None:
    from edsel_assets.pools.layouts import LAYOUTS

    text = text_of("docs/own-pool.md")
    table = text[text.index("## Layouts that need") : text.index("## Files")]
    for layout in LAYOUTS:
        for column in (layout.prompt, layout.response, layout.instances):
            assert column is None or f"`{column}`" in table, layout.name


def test_the_formats_on_the_page_are_those_that_are_written() -> None:
    from edsel_assets.annotation import FORMATS

    text = text_of("docs/own-pool.md")
    table = text[text.index("## 5.") : text.index("## 6.")]
    assert set(re.findall(r"^\| `([a-z-]+)`", table, flags=re.MULTILINE)) == set(FORMATS)


def written(block: str) -> tuple[str, str]:
    """Name and content of the file that a shell block writes."""
    match = re.search(r"cat > (\S+) <<'END'\n(.*?)END\n", block, flags=re.DOTALL)
    assert match
    return match[1], match[2]


def own_pool_files(folder: Path) -> None:
    """The prompts, the study and the answers of own-pool.md."""
    text = text_of("docs/own-pool.md")
    for block in blocks(text, "bash"):
        if "cat > " in block:
            name, content = written(block)
            (folder / name).write_text(content, encoding="utf-8")
    (folder / "mine.yaml").write_text(blocks(text, "yaml")[0], encoding="utf-8")


def shell(folder: Path, words: list[str]) -> str:
    """Standard output of an edsel command of the page, in ``folder`` and with a home there."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "EDSEL_HOME": str(folder / ".edsel")}
    command = [sys.executable, "-m", "edsel_assets.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def test_the_six_prompts_go_from_selection_to_the_next_batch(tmp_path: Path) -> None:
    text = text_of("docs/own-pool.md")
    own_pool_files(tmp_path)
    shown = [line.strip() for line in blocks(text, "text")[0].splitlines()]

    path = [words for words in edsel_lines(text) if "mine.yaml" in words and "spend_curve" not in str(words)]
    select, order, export, take_back, train, again = path
    shell(tmp_path, select)
    (snippet,) = blocks(text, "python")
    told = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, cwd=tmp_path)
    assert [line.strip() for line in told.stdout.splitlines()] == shown, told.stderr

    assert shell(tmp_path, order).splitlines()[-1] == "order-0001"
    shell(tmp_path, export)
    rows = [json.loads(line) for line in (tmp_path / "order-0001.jsonl").read_text("utf-8").splitlines()]
    assert [row["rank"] for row in rows] == [0, 1, 2]
    for column in (
        "order",
        "prompt_id",
        "prompt",
        "task",
        "gain",
        "why",
        "price",
        "response",
        "status",
        "who",
    ):
        assert column in rows[0]

    counts = blocks(text, "text")[2].strip()
    assert counts in shell(tmp_path, take_back)
    shell(tmp_path, train)
    adapter = tmp_path / ".edsel/store/mine/purchased_adapter/order-0001/adapter_model.safetensors"
    assert adapter.is_file()

    assert shell(tmp_path, again).splitlines()[-1] == "order-0002"
    shell(tmp_path, ["export", "order-0002", "--study", "mine.yaml", "--out", "next.jsonl"])
    more = [json.loads(line) for line in (tmp_path / "next.jsonl").read_text("utf-8").splitlines()]
    assert len(more) == 3
    assert not {row["prompt_id"] for row in rows} & {row["prompt_id"] for row in more}


def test_a_budget_of_money_may_exceed_the_number_of_prompts(tmp_path: Path) -> None:
    own_pool_files(tmp_path)
    page = text_of("docs/own-pool.md")
    study = next(text for text in blocks(page[page.index("## Budgets in money") :], "yaml"))
    (tmp_path / "money.yaml").write_text(study, encoding="utf-8")
    shell(tmp_path, ["run", "--study", "money.yaml", "--only", "pool"])
