"""Why two artifacts differ: their ledgers compared, then those of their inputs, down to where it began."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from edsel_assets.planning.cells import Cell
from edsel_assets.planning.ledger import InputRead, Ledger, read_ledger
from edsel_assets.planning.reasons import Reason, What, differences, file_differences
from edsel_assets.store import Store, StoreError


@dataclass(frozen=True)
class Cause:
    """One entry of a ledger that differs.

    Attributes:
        cell: whose ledger it is in, such as ``pool``.
        what: the entry that differs.
        through: the cells that passed it on, the one beside the cause first; empty where it is compared
            itself.
    """

    cell: str
    what: Reason
    through: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Ledgers:
    """The ledgers of a store: those that are there, and those that were kept when it moved on.

    Attributes:
        kept: by name and content of the cell.
    """

    store: Store
    kept: Mapping[tuple[str, str], Ledger] = field(default_factory=dict)

    def of(self, name: str, read: InputRead) -> Ledger | None:
        """The ledger of an input as it was read; None where it was overwritten since and not kept."""
        if (name, read.content) in self.kept:
            return self.kept[name, read.content]
        try:
            found = read_ledger(self.store, Cell.parse(name))
        except StoreError:
            return None  # a damaged ledger tells nothing
        return found if found is not None and found.content == read.content else None


def kept_ledgers(ledgers: Iterable[Ledger]) -> dict[tuple[str, str], Ledger]:
    return {(str(Cell(x.asset, x.partition)), x.content): x for x in ledgers}


def behind(ledger: Ledger, ledgers: Ledgers) -> dict[str, Ledger]:
    """By name of its cell, every ledger that ``ledger`` goes back to and that is still there."""
    found: dict[str, Ledger] = {}
    ahead = [ledger]
    while ahead:
        for name, read in ahead.pop().inputs.items():
            parent = None if name in found else ledgers.of(name, read)
            if parent is not None:
                found[name] = parent
                ahead.append(parent)
    return found


def causes(a: Ledger, b: Ledger, from_a: Ledgers, from_b: Ledgers) -> list[Cause]:
    """Every entry that differs between two artifacts or between what they were made from.

    Inputs are followed only where what was read of them differs, so a pool whose responses alone changed is
    no cause of another ranking. A cause that several ways lead to is given once, with the shortest way.

    Returns:
        The causes nearest to the artifacts first.
    """
    found: dict[Cause, None] = {}
    seen: set[tuple[str, str, str]] = set()
    level: list[tuple[Ledger, Ledger, tuple[str, ...]]] = [(a, b, ())]
    while level:
        following = []
        for one, other, through in level:
            name = _name(one, other)
            for what in _own(one, other):
                found.setdefault(Cause(name, what, through))
            for cell, met in _inputs(one, other, from_a, from_b):
                if isinstance(met, Reason):
                    found.setdefault(Cause(cell, met, (name, *through)))
                elif (key := (cell, met[0].content, met[1].content)) not in seen:
                    seen.add(key)
                    following.append((*met, (name, *through)))
        level = following
    if not found and a.content != b.content:
        found = dict.fromkeys(Cause(_name(a, b), what) for what in _machine(a, b))
    return list(found)


def _name(a: Ledger, b: Ledger) -> str:
    one, other = Cell(a.asset, a.partition), Cell(b.asset, b.partition)
    if one == other:
        return str(one)
    if one.asset == other.asset:
        return f"{one.asset}[{one.partition} -> {other.partition}]"
    return f"{one} -> {other}"


def _own(a: Ledger, b: Ledger) -> Iterator[Reason]:
    """The entries of two ledgers that differ, inputs left out."""
    same_kind, same_cell = a.asset == b.asset, (a.asset, a.partition) == (b.asset, b.partition)
    before, after = a.settings, b.settings
    if not same_cell:
        yield Reason(What.OTHER_PARTITION if same_kind else What.OTHER_ASSET)
        # Two strategies have settings of their own; those that both have can be compared.
        before = {name: value for name, value in before.items() if name in b.settings}
        after = {name: value for name, value in after.items() if name in a.settings}
    yield from differences(What.ENTRY, before, after)
    if same_kind:
        yield from differences(What.ENTRY, {"code": a.code}, {"code": b.code})
        yield from differences(What.LIBRARY, a.libraries, b.libraries)
    yield from map(_of_a_file, file_differences(a.external, b.external))
    if same_cell:
        yield from differences(What.ENTRY, {"seed": a.seed}, {"seed": b.seed})


def _machine(a: Ledger, b: Ledger) -> Iterator[Reason]:
    """What made them, where nothing that decides them differs: it can change a value within rounding."""
    names = ("device", "threads", "host", "edsel")
    of_a, of_b = ({n: getattr(each, n) for n in names} for each in (a, b))
    yield from differences(What.ENTRY, of_a, of_b)


def _of_a_file(reason: Reason) -> Reason:
    """An order that appeared, and another ledger of purchases, are things that somebody did."""
    if reason.name.startswith("orders/") and reason.before is None:
        return Reason(What.PLACED, reason.name.removeprefix("orders/").removesuffix(".json"))
    if reason.name == "purchases.jsonl":
        return replace(reason, what=What.CAME_IN)
    return reason


def _inputs(
    a: Ledger, b: Ledger, from_a: Ledgers, from_b: Ledgers
) -> Iterator[tuple[str, Reason | tuple[Ledger, Ledger]]]:
    """Each input that was read differently: its name, and its two ledgers, or why there are none."""
    for name_a, name_b in _pairs(a, b):
        if name_a is None or name_b is None:
            if (a.asset, a.partition) == (b.asset, b.partition):
                side = "B" if name_a is None else "A"
                yield name_a or name_b or "", Reason(What.INPUT_OF_ONE, after=side)
            continue
        read_a, read_b = a.inputs[name_a], b.inputs[name_b]
        changed = _columns_changed(read_a, read_b)
        if changed is None:
            continue
        one, other = from_a.of(name_a, read_a), from_b.of(name_b, read_b)
        if one is not None and other is not None:
            yield _name(one, other), (one, other)
        else:
            gone = " and ".join(side for side, there in (("A", one), ("B", other)) if there is None)
            yield name_a, Reason(What.OVERWRITTEN, before=changed, after=gone)


def _pairs(a: Ledger, b: Ledger) -> list[tuple[str | None, str | None]]:
    """Inputs of the same name; then those left of the same asset, such as the rankings of two strategies."""
    pairs: list[tuple[str | None, str | None]] = [(name, name) for name in a.inputs if name in b.inputs]
    left = [name for name in b.inputs if name not in a.inputs]
    for name in (name for name in a.inputs if name not in b.inputs):
        match = next((n for n in left if Cell.parse(n).kind == Cell.parse(name).kind), None)
        if match is not None:
            left.remove(match)
        pairs.append((name, match))
    return [*pairs, *((None, name) for name in left)]


def _columns_changed(a: InputRead, b: InputRead) -> list[str] | None:
    """None where both read the same; else the columns that differ, empty where that is not known."""
    if a.content == b.content:
        return None
    if a.columns is None or b.columns is None:
        return []
    changed = sorted(c for c in {*a.columns, *b.columns} if a.columns.get(c) != b.columns.get(c))
    return changed or None
