"""A report for a terminal, as Markdown, LaTeX and CSV."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from edsel_assets.report.evidence import Evidence
from edsel_assets.report.sheets import Sheet

UNSEEN = "What these intervals cannot see"
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "▲": r"$\uparrow$",
    "▼": r"$\downarrow$", "△": r"$\Uparrow$", "▽": r"$\Downarrow$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip
_MARKDOWN = str.maketrans(
    {
        **{mark: f"\\{mark}" for mark in "\\`*_[]|#~"},
        "&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": " ", "\r": " ",
    }
)  # fmt: skip
# GitHub's Markdown, and the UI's, make links of bare addresses, also where their marks are escaped.
_ADDRESS = re.compile(r"(?=://|@)|(?<=www)(?=\.)", re.IGNORECASE)
_NO_LINK = "&#8288;"  # the word joiner, which is not seen


def render_text(
    sheets: Iterable[Sheet], unseen: Iterable[str] = (), width: int = 120, notice: str = ""
) -> str:
    """The notice and the tables as plain text, without colours: for a log, a file or metadata."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    if notice:
        console.print(notice, markup=False, highlight=False)
    print_sheets(console, sheets, unseen)
    return console.file.getvalue()  # type: ignore[attr-defined]


def print_sheets(console: Console, sheets: Iterable[Sheet], unseen: Iterable[str] = ()) -> None:
    """The tables on a console, then the sentences on what they cannot see."""
    for sheet in sheets:
        console.print(terminal_table(sheet))
    for sentence in unseen:
        console.print(f"- {sentence}", markup=False, highlight=False)


def terminal_table(sheet: Sheet) -> Table:
    """The sheet as a table of rich; its texts are taken literally."""
    from rich.text import Text

    table = Table(title=Text(sheet.title), title_justify="left")
    if sheet.caption:
        table.caption = Text(sheet.caption)
    for i, name in enumerate(sheet.header):
        table.add_column(Text(name), justify=(_left(sheet, i) and "left") or "right")
    for i, row in enumerate(sheet.rows):
        table.add_row(*map(Text, row), style="bold" if i in sheet.strong else "")
    return table


def render_markdown(evidence: Evidence) -> str:
    """The tables and sentences as Markdown; plots are not in it."""
    notice = [f"**{_markdown(evidence.notice)}**"] if evidence.notice else []
    parts = [f"# {_markdown(evidence.title)}", *notice, *map(markdown_table, evidence.sheets)]
    if evidence.unseen:
        parts.append(f"## {UNSEEN}\n\n" + "\n".join(f"- {_markdown(s)}" for s in evidence.unseen))
    return "\n\n".join(parts) + "\n"


def markdown_table(sheet: Sheet, level: int = 2) -> str:
    """The sheet under a heading, with its caption."""
    rule = " | ".join("---" if _left(sheet, i) else "---:" for i in range(len(sheet.header)))
    lines = [
        f"{'#' * level} {_markdown(sheet.title)}",
        "",
        f"| {' | '.join(map(_markdown, sheet.header))} |",
        f"| {rule} |",
    ]
    for i, row in enumerate(sheet.rows):
        texts = [_markdown(text.strip()) for text in row]
        lines.append(f"| {' | '.join(f'**{t}**' if i in sheet.strong and t else t for t in texts)} |")
    return "\n".join([*lines, *(["", _markdown(sheet.caption)] if sheet.caption else [])])


def render_latex(evidence: Evidence) -> str:
    """The notice, and the tables, one ``table`` environment each; needs no package."""
    notice = [_latex(evidence.notice)] if evidence.notice else []
    return "\n\n".join([*notice, *map(latex_table, evidence.sheets)]) + "\n"


def latex_table(sheet: Sheet) -> str:
    columns = "".join("l" if _left(sheet, i) else "r" for i in range(len(sheet.header)))
    lines = [
        r"\begin{table}", rf"\caption{{{_latex(sheet.title)}. {_latex(sheet.caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}", r"\hline",
        " & ".join(map(_latex, sheet.header)) + r" \\", r"\hline",
    ]  # fmt: skip
    for i, row in enumerate(sheet.rows):
        texts = [_latex(text.strip()) for text in row]
        strong = [rf"\textbf{{{t}}}" if i in sheet.strong and t else t for t in texts]
        lines.append(" & ".join(strong) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", r"\end{table}"])


def to_csv(evidence: Evidence) -> str:
    """Every cell of every task with all figures unrounded: what the tables round."""
    return evidence.table.to_csv(index=False, lineterminator="\n")


def _left(sheet: Sheet, column: int) -> bool:
    # "reading" holds words, not figures.
    return column < sheet.left or sheet.header[column] == "reading"


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _ADDRESS.sub(_NO_LINK, text.translate(_MARKDOWN))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
