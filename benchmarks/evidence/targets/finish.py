"""The files that are kept: losses of every trial, the table, a page and a plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.evidence.targets.design import AIMED, ALL, RANDOM, Data
from benchmarks.evidence.targets.reading import read, table, worth
from benchmarks.evidence.targets.trials import complete, read_losses
from edsel_assets.report import style
from edsel_assets.report.tables import NOT_REACHED, REACHED
from edsel_assets.store import atomic_path, read_table, write_table

LOSSES = pa.schema(
    [
        ("seed", pa.int8()),
        ("target", pa.dictionary(pa.int8(), pa.string())),
        ("strategy", pa.dictionary(pa.int8(), pa.string())),
        ("budget", pa.int16()),
        ("item", pa.int16()),
        ("nll", pa.float32()),
    ]
)


def finish(data: Data, state: Path, out: Path) -> None:
    """Write the files of the seeds that are whole."""
    seeds = complete(data, state)
    if len(seeds) < 2:
        raise SystemExit(f"{len(seeds)} seeds are whole in {state}; a spread needs two. Run on.")
    losses = read_losses(data, state, seeds)
    kept = losses.drop(columns="tokens").sort_values(["seed", "target", "strategy", "budget", "item"])
    write_table(out / "losses.parquet", pa.Table.from_pandas(kept, LOSSES, preserve_index=False))
    write_table(out / "items.parquet", _items(data, losses))
    readings = read(data, losses, seeds)
    rows = table(readings, _inside(data, state, seeds))
    with atomic_path(out / "results.csv") as path:
        rows.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    with atomic_path(out / "results.md") as path:
        path.write_text(_page(data, rows, seeds), encoding="utf-8")
    with atomic_path(out / "saved.png") as path:
        path.write_bytes(_plot(rows, data.design.budgets))
    print(f"{len(seeds)} of {len(data.design.seeds)} seeds: {out / 'results.md'}")


def _items(data: Data, losses: pd.DataFrame) -> pa.Table:
    """``item, prompt_id, task, tokens``, and for each target whether an item is of it or of its rest."""
    base = losses[losses["budget"] == 0].sort_values("item")
    columns = {
        "item": pa.array(base["item"], pa.int16()),
        "prompt_id": data.ids[data.items],
        "task": data.frame["task"].to_numpy()[data.items],
        "tokens": pa.array(base["tokens"], pa.int16()),
    }
    for target in data.design.targets:
        columns[target] = np.isin(data.items, data.held_out[target])
        columns[f"{target}_rest"] = np.isin(data.items, data.rest(target))
    return pa.table(columns)


def _inside(data: Data, state: Path, seeds: list[int]) -> pd.DataFrame:
    """``target, strategy, budget, inside``: the mean share of the picks that are the target's own."""
    chosen = pd.concat(read_table(state / "picks" / f"{seed}.parquet").to_pandas() for seed in seeds)
    parts = []
    for target in data.design.targets:
        mine = chosen[chosen["target"].isin([ALL, target])]
        inside = data.members(target)[mine["row"]]
        for budget in data.design.budgets:
            first = mine.assign(inside=inside)[mine["rank"] < budget]
            shares = first.groupby("strategy")["inside"].mean().reset_index()
            parts.append(shares.assign(target=target, budget=budget))
    return pd.concat(parts, ignore_index=True)


def _page(data: Data, rows: pd.DataFrame, seeds: list[int]) -> str:
    design = data.design
    whole = len(seeds) == len(design.seeds)
    head = (
        f"# When choosing pays\n\nBy [the plan](plan.md), which was there before the first trial. "
        f"{len(seeds)} of {len(design.seeds)} seeds"
        + (".\n\n" if whole else ", so this is a reading before the end.\n\n")
        + "Losses are nats per token of held-out responses; lower is better. *Worth*: random answers that\n"
        "give the same loss on the target, with 95 % interval. *Open*: beyond random's budgets.\n"
        "`results.csv` has all figures, `losses.parquet` and `items.parquet` the loss of every held-out\n"
        "prompt in every trial.\n\n"
    )
    claims = rows[(rows["strategy"] == AIMED)].sort_values(["share", "budget"])
    passed = int(claims["saves"].sum())
    said = (
        f"## The claim: `{AIMED}` against random\n\n"
        f"{passed} of {len(claims)} claims are borne out (Holm, 5 %, over all {len(claims)}).\n\n"
    )
    parts = [head, said, _markdown(_claims(rows, claims)), "\n![answers saved by share](saved.png)\n"]
    for target in rows.sort_values("share")["target"].unique():
        mine = rows[rows["target"] == target]
        share = mine["share"].iloc[0]
        parts.append(f"\n## `{target}`, {share:.1%} of the pool\n\n{_markdown(_strategies(mine))}")
    return "".join(parts)


def _claims(rows: pd.DataFrame, claims: pd.DataFrame) -> list[dict[str, str]]:
    found = []
    for _, row in claims.iterrows():
        control = _cell(rows, row["target"], RANDOM, row["budget"])
        base = _cell(rows, row["target"], "base", 0)
        found.append(
            {
                "target": f"`{row['target']}`",
                "share": f"{row['share']:.1%}",
                "answers": f"{row['budget']:,}",
                "worth": worth(row),
                "loss": f"{row['loss']:.3f}",
                "random": f"{control['loss']:.3f}",
                "p (Holm)": "< 0.001" if row["p_claims"] < 0.001 else f"{row['p_claims']:.3f}",
                "saves": "yes" if row["saves"] else "not shown",
                "rest": f"{row['rest_loss']:.3f}",
                "rest, random": f"{control['rest_loss']:.3f}",
                "rest, base": f"{base['rest_loss']:.3f}",
                "price on the rest": _gap(row, "rest_difference"),
            }
        )
    return found


def _strategies(mine: pd.DataFrame) -> list[dict[str, str]]:
    trained = mine[mine["budget"] > 0].sort_values(["budget", "loss"])
    return [
        {
            "answers": f"{row['budget']:,}",
            "strategy": f"`{row['strategy']}`",
            "seeds": f"{row['n']:.0f}",
            "loss": f"{row['loss']:.3f} ± {row['se']:.3f}",
            "to random": _gap(row, "difference"),
            "worth": worth(row),
            "rest": f"{row['rest_loss']:.3f} ± {row['rest_se']:.3f}",
            "rest, to random": _gap(row, "rest_difference"),
            "picks inside": "" if np.isnan(row["inside"]) else f"{row['inside']:.0%}",
        }
        for _, row in trained.iterrows()
    ]


def _cell(rows: pd.DataFrame, target: str, strategy: str, budget: int) -> pd.Series:
    found = rows[(rows["target"] == target) & (rows["strategy"] == strategy) & (rows["budget"] == budget)]
    return found.iloc[0]


def _gap(row: pd.Series, name: str) -> str:
    if np.isnan(row[name]):
        return ""
    return f"{row[name]:+.3f} ({row[f'{name}_low']:+.3f} to {row[f'{name}_high']:+.3f})"


def _markdown(rows: list[dict[str, str]]) -> str:
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _plot(rows: pd.DataFrame, budgets: tuple[int, ...]) -> bytes:
    """Above what an aimed answer is worth in random ones, below what it costs on the rest; by share."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(7.5, 7.0), layout="constrained")
    above, below = (style.plain(each) for each in made.subplots(2, 1, sharex=True))
    for place, budget in enumerate(budgets):
        mine = rows[(rows["strategy"] == AIMED) & (rows["budget"] == budget)].sort_values("share")
        look = style.line_style(place) | {
            "linestyle": "none",
            "capsize": 3,
            "label": f"{budget} aimed answers",
        }
        x = 100 * mine["share"] * (1.04 if place else 0.96)
        low, value, high = (_ratio(mine, name) for name in ("saved_low", "needed", "saved_high"))
        # Beyond random's largest budget only "at least" is known.
        value = value.where(mine["status"] != NOT_REACHED, low)
        # An open end is drawn to the edge.
        errors = [value - low.fillna(1e-6), high.fillna(1e6) - value]
        above.errorbar(x, value, yerr=[each.clip(lower=0).fillna(0) for each in errors], **look)
        price = mine["rest_difference"]
        errors = [price - mine["rest_difference_low"], mine["rest_difference_high"] - price]
        below.errorbar(x, price, yerr=errors, **look)
    above.set(xscale="log", yscale="log", ylabel="random answers that one\naimed answer is worth")
    above.axhline(1, color=style.CONTROL, linewidth=1)
    below.set(xlabel="share of the target in the pool, %", ylabel="loss on the rest,\nmore than random's")
    below.axhline(0, color=style.CONTROL, linewidth=1)
    above.set_ylim(0.5, 100)
    for axis in (above.yaxis, below.xaxis):
        axis.set_major_formatter("{x:g}")
    above.legend(frameon=False)
    return style.png(made)


def _ratio(rows: pd.DataFrame, name: str) -> pd.Series:
    """Random answers to one aimed answer; NaN where they are not known."""
    answers = rows[name] if name == "needed" else rows[name] + rows["budget"]
    if name == "needed":
        answers = answers.where(rows["status"] == REACHED)
    return (answers / rows["budget"]).where(np.isfinite(answers))
