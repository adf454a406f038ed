"""Every rendering of one report says the same and escapes what names may hold."""

import csv
import html
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest

from edsel_assets.report.evidence import gather, section_sheets
from edsel_assets.report.formats import (
    markdown_table,
    render_latex,
    render_markdown,
    render_text,
    to_csv,
)
from edsel_assets.report.page import render_html
from edsel_assets.report.sheets import Sheet
from edsel_assets.report.tables import AVERAGE, label_efficiency
from edsel_assets_tests.report.simulated import rising, simulate

ODD = '<script>alert("1")</script>|_%&$#{}~^\\'


@pytest.fixture(scope="module")
def efficiency():
    budgets = [100, 200, 400, 800]
    truth = {"random": rising(budgets), ODD: rising(budgets[:3], shift=2.0), "k_center": rising(budgets[1:3])}
    scores, items = simulate(truth, {"random": 6, ODD: 3, "k_center": 3}, tasks=2)
    return label_efficiency(scores, items=items, one_subset=["k_center"])


@pytest.fixture(scope="module")
def evidence(efficiency):
    rates = pd.DataFrame({"strategy": [ODD, ODD], "budget": [100, 100], "win_rate": [0.5, 0.6]})
    found = gather(efficiency, title=f"Study {ODD}", win_rates=rates)
    sections = section_sheets([{"order": ODD, "cost": 12.5}], [], [{"partition": "00400|k_center.s2"}])
    return replace(found, sheets=(*found.sheets, *sections))


class Page(HTMLParser):
    """Tags with their attributes, and the text of every table's rows."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.tables: list[list[list[str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def test_the_page_holds_every_table_as_it_is(evidence):
    page = Page(render_html(evidence))
    assert page.open == []
    assert page.tables == [[list(s.header), *map(list, s.rows)] for s in evidence.sheets]
    assert len(evidence.sheets) == 3 * 3 + 3  # three tables for two tasks and their mean, three sections


def test_the_page_needs_nothing_else_and_runs_nothing(evidence):
    text = render_html(evidence)
    page = Page(text)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    sources = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href")]
    assert len(sources) == len(evidence.plots) == 5
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert all(len(plot) < 100_000 for plot in evidence.plots.values())


def test_markdown_has_a_table_for_every_sheet(evidence):
    text = render_markdown(evidence)
    assert "<script" not in text
    assert text.count("\n## ") == len(evidence.sheets) + 1  # and what cannot be seen
    for block, sheet in zip(text.split("\n## ")[1:], evidence.sheets, strict=False):
        lines = [each for each in block.splitlines() if each.startswith("|")]
        assert len(lines) == 2 + len(sheet.rows)
        assert {len(re.findall(r"(?<!\\)\|", each)) for each in lines} == {len(sheet.header) + 1}


@pytest.mark.parametrize(
    "text",
    [
        "see http://x.example/a_b?c=d",
        "HTTPS://X.EXAMPLE",
        "ftp://x.example",
        "www.x.example",
        "WWW.x.example",
        "mail a.b+c@x.example now",
        "http&#58;//x.example",
        "www&period;x.example",
        "h~~t~~tp://x.example",
        "~~www~~.x.example",
        "[a](http://x.example)",
        "<http://x.example>",
    ],
)
def test_addresses_in_markdown_stay_text(text):
    shown = markdown_table(Sheet(text, ("value",), ((text,),), text))
    # What Dagster's pages make links of (remark-gfm): in the text, after escapes and entities are read.
    read = html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown))
    assert not re.search(r"(https?://|www(?=\.))([-.\w]+)|[-.\w+]+@[-\w]+(\.[-\w]+)+", read, re.IGNORECASE)
    assert read.replace("\u2060", "").count(text) == 3, "and nothing of it is lost"


def test_latex_is_well_formed(evidence):
    text = render_latex(evidence)
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == len(evidence.sheets)
    assert "$<$script$>$alert" in text
    for sheet, block in zip(evidence.sheets, text.split(r"\begin{tabular}")[1:], strict=True):
        rows = [each for each in block.splitlines() if each.endswith(r"\\")]
        assert len(rows) == 1 + len(sheet.rows)
        assert {len(re.findall(r"(?<!\\)&", each)) for each in rows} == {len(sheet.header) - 1}


def test_csv_gives_back_every_figure(evidence, efficiency):
    rows = list(csv.DictReader(io.StringIO(to_csv(evidence))))
    assert len(rows) == len(efficiency.scores)
    table = efficiency.scores.set_index(["task", "strategy", "budget"])
    for row in rows:
        cell = table.loc[(row["task"], row["strategy"], int(row["budget"]))]
        assert float(row["mean"]) == cell["mean"]
    rated = [row for row in rows if row["win_rate"]]
    assert [(r["task"], r["strategy"], float(r["win_rate"])) for r in rated] == [(AVERAGE, ODD, 0.55)]


def test_the_terminal_shows_names_literally(evidence):
    text = render_text(evidence.sheets, evidence.unseen, width=200)
    assert '<script>alert("1")' in text
    assert "[bold]x" in render_text(section_sheets([], [], [{"what": "[bold]x"}]), width=200)
    assert "One subset, whatever the seed: k_center." in text


def test_empty_sections_are_left_out(efficiency):
    titles = [sheet.title for sheet in gather(efficiency, by_task=False).sheets]
    assert len(titles) == 3
    assert not any(word in " ".join(titles) for word in ("Spend", "Stale", "Missing", "Win rate"))
    assert "Spend" not in render_html(gather(efficiency))


def test_without_the_control_there_are_scores_alone():
    scores, _ = simulate({"s": rising([100, 200])}, {"s": 3})
    evidence = gather(label_efficiency(scores))
    assert [sheet.title.split(":")[0] for sheet in evidence.sheets] == ["Score by strategy and budget"]
    assert evidence.sheets[0].title.endswith("task_0 (acc)")  # one task needs no average
    assert list(evidence.plots) == ["heat_map", "score_by_budget"]
    assert "Score by strategy and budget" in render_html(evidence)
