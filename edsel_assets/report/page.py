"""The report as one HTML page that needs nothing else: no script, no font, no file beside it."""

from __future__ import annotations

import base64
from html import escape

from edsel_assets.report.evidence import Evidence
from edsel_assets.report.formats import UNSEEN
from edsel_assets.report.sheets import BETTER, BETTER_ONE, COSTS, ONE_SUBSET, SAVES, WORSE, WORSE_ONE, Sheet

# The policy keeps a browser from fetching anything, whatever a name in a table may hold.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 78rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #555; } .left { text-align: left; }
tr.strong td { font-weight: 600; background: #f3f3f3; }
.good { color: #0060a0; } .bad { color: #b34700; }
p.notice { font-weight: 600; border-left: 4px solid #b34700; padding-left: .7rem; max-width: 60rem; }
p.caption { color: #555; font-size: .88rem; max-width: 60rem; margin: .4rem 0; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
"""
_TONES = {SAVES: "good", COSTS: "bad"}


def render_html(evidence: Evidence) -> str:
    """The page: what is saved first, the curves, then every other table."""
    first = [_section(sheet) for sheet in evidence.sheets[:1]]
    figures = [_figure(png, evidence.captions[name]) for name, png in evidence.plots.items()]
    rest = [_section(sheet) for sheet in evidence.sheets[1:]]
    title = escape(evidence.title)
    notice = [f'<p class="notice">{escape(evidence.notice)}</p>'] if evidence.notice else []
    body = "\n".join([f"<h1>{title}</h1>", *notice, *first, *figures, *rest, _unseen(evidence.unseen)])
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _section(sheet: Sheet) -> str:
    head = "".join(_cell("th", name, sheet, i) for i, name in enumerate(sheet.header))
    rows = "\n".join(_row(row, sheet, i in sheet.strong) for i, row in enumerate(sheet.rows))
    caption = f'<p class="caption">{escape(sheet.caption)}</p>' if sheet.caption else ""
    return (
        f'<section><h2>{escape(sheet.title)}</h2>\n<div class="wide"><table>\n<thead><tr>{head}</tr>'
        f"</thead>\n<tbody>\n{rows}\n</tbody></table></div>\n{caption}</section>"
    )


def _row(row: tuple[str, ...], sheet: Sheet, strong: bool) -> str:
    cells = "".join(_cell("td", text, sheet, i) for i, text in enumerate(row))
    return f'<tr class="strong">{cells}</tr>' if strong else f"<tr>{cells}</tr>"


def _cell(tag: str, text: str, sheet: Sheet, column: int) -> str:
    names = ["left"] if column < sheet.left or sheet.header[column] == "reading" else []
    marks = {BETTER: "good", BETTER_ONE: "good", WORSE: "bad", WORSE_ONE: "bad"}
    tone = _TONES.get(text.removesuffix(ONE_SUBSET)) or marks.get(text[-1:])
    names += [tone] if tone and tag == "td" else []
    return (
        f'<{tag} class="{" ".join(names)}">{escape(text)}</{tag}>'
        if names
        else f"<{tag}>{escape(text)}</{tag}>"
    )


def _figure(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}"></figure>'


def _unseen(sentences: tuple[str, ...]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<section><h2>{UNSEEN}</h2><ul>{items}</ul></section>"
