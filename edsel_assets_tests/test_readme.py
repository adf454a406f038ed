"""The README's example runs, its study loads, its figures and map are right; test_docs has the rest."""

import re
from pathlib import Path

import pytest
import yaml

from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    assert "of the best possible 500 prompts" in capsys.readouterr().out


def files_of(text: str) -> dict[str, str]:
    """Content of each file that a page's shell blocks write, by name."""
    return dict(re.findall(r"cat > (\S+) <<'END'\n(.*?)END\n", text, flags=re.DOTALL))


def test_the_six_prompts_take_the_steps_of_the_page_that_test_docs_runs() -> None:
    page = (ROOT / "docs" / "own-pool.md").read_text(encoding="utf-8")
    files, study = files_of(README), page[page.index("```yaml\n") + 8 :].partition("```")[0]
    assert Study.model_validate(yaml.safe_load(files["mine.yaml"])).name == "mine"
    assert yaml.safe_load(files.pop("mine.yaml")) == yaml.safe_load(study)
    assert files == files_of(page)
    path = README[README.index("## Your own prompts") : README.index("### A real pool")]
    commands = [
        line for line in re.findall(r"^\.venv/bin/(edsel .*)", path, flags=re.MULTILINE) if " ui " not in line
    ]
    theirs = re.findall(r"^edsel .*", page, flags=re.MULTILINE)
    assert len(commands) == 6
    assert commands == [line for line in theirs if line in commands]


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("bash")), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_headline_rows_are_rows_of_the_benchmarks_page() -> None:
    table = README[README.index("## Measured") : README.index("## Where things are")]
    rows = [row.split("|")[1:3] for row in table.splitlines() if row.startswith("| ") and "---" not in row]
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert len(rows) == 4  # the head and three
    for task, ours in rows:
        assert f"|{task}|{ours}|" in page, task


def test_the_rows_of_the_evidence_are_those_of_its_results() -> None:
    results = (ROOT / "benchmarks" / "evidence" / "results.md").read_text(encoding="utf-8").replace("\\", "")
    results = results.partition("## Score by strategy")[0]  # the savings
    told = re.findall(
        r"\| `(\w+)` \| (\S+) \| (.+?) \| (\S*) ?\| (.*?) ?\|", README.partition("## On real prompts")[2]
    )
    assert len(told) == 7
    for strategy, *cells in told:
        for budget, saved, interval in (("800", *cells[:2]), ("3,200", *cells[2:])):
            row = f"| {strategy} | {budget} | {saved} | {interval} |"
            assert (row in results) == bool(saved), row


def test_every_room_is_on_the_map() -> None:
    rooms = {path.name for path in (ROOT / "edsel_assets").iterdir() if (path / "__init__.py").exists()}
    table = README[README.index("## Where things are") : README.index("## Development")]
    assert set(re.findall(r"`edsel_assets/(\w+)/`", table)) >= rooms


def test_the_jobs_and_triggers_are_those_of_the_graph(tmp_path: Path) -> None:
    from edsel_assets.defs.build import build_definitions

    made = build_definitions(tiny_study(), home=tmp_path)
    parts = [*(made.jobs or ()), *(made.schedules or ()), *(made.sensors or ())]
    said = README[README.index("Jobs of the UI") : README.index("## Development")]
    assert set(re.findall(r"`(\w+)`", said)) == {part.name for part in parts}
