"""``edsel diff``: what changed between two selections, orders or studies, and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edsel_assets.cli.options import HomeOption, StudyOption
from edsel_assets.store import Home, Store

if TYPE_CHECKING:
    from edsel_assets.planning.comparing.causes import Cause
    from edsel_assets.planning.comparing.picks import Change
    from edsel_assets.planning.comparing.sides import Side

DIFFERENT, WRONG_USE = 1, 2
_SHOWN = 5
_TEXT = 80  # characters of a prompt


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="Such as selections[00100|fl_rbf].")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, an order, or a study.")],
    study: StudyOption = "demo",
    every: Annotated[bool, typer.Option("--all", help="List every prompt and every cause.")] = False,
    home: HomeOption = None,
) -> None:
    """Say what changed from A to B, and which entries of their ledgers explain it.

    A and B are cells (selections[00100|fl_rbf]) or orders (order-0001) of the study, or of another one as
    STUDY:CELL; or both are studies. Exit code 0: the same, 1: they differ, 2: wrong use.
    """

    try:
        (store_a, name_a), (store_b, name_b) = (_place(text, study, Home.at(home)) for text in (a, b))
        if (name_a is None) != (name_b is None):
            raise ValueError(
                f"A study is compared with a study, and a cell or an order with another; got {a} and {b}. "
                "Write STUDY:CELL for a cell."
            )
        if name_a is None or name_b is None:
            same = _studies(store_a, store_b, every)
        else:
            same = _sides(store_a, name_a, store_b, name_b, every)
    except (ValueError, OSError) as error:
        typer.secho(f"edsel: {' '.join(str(error).split())}", err=True, fg="red")
        raise typer.Exit(WRONG_USE) from None
    raise typer.Exit(0 if same else DIFFERENT)


def _place(text: str, study: str, home: "Home") -> tuple["Store", str | None]:
    """The store and the cell or order that ``text`` names; None for a whole study."""
    from edsel_assets.planning.comparing.sides import is_order

    before, colon, name = text.rpartition(":")
    if colon:
        return _store(before or study, home), name
    if "[" in text or is_order(text):
        return _store(study, home), text
    return _store(text, home), None


def _store(study: str, home: "Home") -> "Store":
    from edsel_assets.planning.ledger import check_store
    from edsel_assets.study import Study

    known = "/" not in study and not Path(study).is_file() and home.store(study).exists()
    store = home.store(study if known else Study.load(study).name)
    if not store.exists():
        raise ValueError(f"The study {store.name} has no results in {home}. Make them first by edsel run.")
    check_store(store)
    return store


def _sides(store_a: "Store", name_a: str, store_b: "Store", name_b: str, every: bool) -> bool:
    from edsel_assets.planning.comparing.picks import compare
    from edsel_assets.planning.comparing.sides import explained, open_side

    a, b = open_side(store_a, name_a), open_side(store_b, name_b)
    for letter, side in (("A", a), ("B", b)):
        typer.echo(f"{letter}: {side.name}, {side.note}")
    if a.lists is None or b.lists is None:
        same = a.ledger.content == b.ledger.content
        typer.echo("The content is the same." if same else "The content differs.")
    else:
        changes = compare(a.lists, b.lists)
        same = all(change.same for change in changes)
        for change in changes:
            _show_change(change, a, b, every)
    found = explained(a, b)
    _show_causes([(cause, "") for cause in found], same, every)
    if not same and not found:
        typer.echo("Both are taken from the same ranking: other picks of it were taken.")
    return same


def _show_change(change: "Change", a: "Side", b: "Side", every: bool) -> None:
    group = f"{change.group}: " if change.group else ""
    count_a, count_b = len(change.only_a) + change.both, len(change.only_b) + change.both
    if change.same:
        typer.echo(f"{group}The same {change.both} prompts in the same order.")
        return
    typer.echo(
        f"{group}{count_a} prompts in A, {count_b} in B; {len(change.only_a)} only in A, "
        f"{len(change.only_b)} only in B, {change.both} in both, {len(change.moved)} of them at another rank."
    )
    most = None if every else _SHOWN
    rows_a, rows_b, moved = change.only_a[:most], change.only_b[:most], change.moved[:most]
    texts = b.texts([m.prompt_id for m in moved] + [key for _, key in rows_b])
    texts = a.texts([key for _, key in rows_a] + [m.prompt_id for m in moved]) | texts
    _show_rows("only in A", [(f"{rank}", key) for rank, key in rows_a], len(change.only_a), texts)
    _show_rows("only in B", [(f"{rank}", key) for rank, key in rows_b], len(change.only_b), texts)
    _show_rows(
        "moved rank", [(f"{m.before} -> {m.after}", m.prompt_id) for m in moved], len(change.moved), texts
    )


def _show_rows(title: str, rows: list[tuple[str, str]], count: int, texts: dict[str, str]) -> None:
    if rows:
        typer.echo(f"{title}:")
    for rank, key in rows:
        text = " ".join(texts.get(key, "(its text is in neither pool nor order any more)").split())
        typer.echo(f"  {rank:>10}  {key[:12]}  {text[:_TEXT]}")
    if count > len(rows):
        typer.echo(f"  {count - len(rows)} more; --all lists them")


def _show_causes(found: "list[tuple[Cause, str]]", same: bool, every: bool) -> None:
    if found:
        typer.echo("Their ledgers differ, without effect:" if same else "What explains it:")
    for cause, remark in found if every else found[: 4 * _SHOWN]:
        way = f", through {', '.join(cause.through[:_SHOWN])}" if cause.through else ""
        typer.echo(f"  {cause.cell}: {cause.what}{way}{remark}")
    if not every and len(found) > 4 * _SHOWN:
        typer.echo(f"  {len(found) - 4 * _SHOWN} more; --all lists them")


def _studies(store_a: "Store", store_b: "Store", every: bool) -> bool:
    from collections import Counter

    from edsel_assets.planning.comparing.studies import compare_studies

    typer.echo(f"A: study {store_a.name}, {store_a}\nB: study {store_b.name}, {store_b}")
    change = compare_studies(store_a, store_b)
    parts = {
        "same": change.same,
        "differ": change.differing,
        "only in A": change.only_a,
        "only in B": change.only_b,
    }
    counts = {what: Counter(cell.asset for cell in cells) for what, cells in parts.items()}
    for asset in sorted(set().union(*counts.values())):
        said = [f"{count[asset]} {what}" for what, count in counts.items() if count[asset]]
        typer.echo(f"  {asset}: {', '.join(said)}")
    same = not (change.differing or change.only_a or change.only_b)
    typer.echo("All cells are the same." if same else f"{len(change.differing)} cells differ.")
    _show_causes([(cause, f"; {count} cells") for cause, count in change.causes], same, every)
    for cell in change.differing:
        if cell.asset in ("selections", "iterative_selections"):
            typer.echo(f"See: edsel diff '{store_a.name}:{cell}' '{store_b.name}:{cell}'")
            if not every:
                break
    return same
