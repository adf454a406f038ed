"""``edsel verify``: whether everything that a study stored is as it was written."""

import typer

from edsel_assets.cli.options import HomeOption, StudyOption
from edsel_assets.store import Home

_NAMED = 5  # of those without a checksum


def verify(study: StudyOption = "demo", home: HomeOption = None) -> None:
    """Compare everything that is stored with its checksums; exit 1 where something is damaged."""
    from edsel_assets.planning.ledger import check_store
    from edsel_assets.planning.lineage import lineage_of
    from edsel_assets.running.verifying import look
    from edsel_assets.study import Study

    experiment, root = Study.load(study), Home.at(home)
    check_store(root.store(experiment.name))
    lineage = lineage_of(experiment, root)
    found = list(look(experiment, lineage, root))
    damaged = [one for one in found if one.wrong]
    for one in damaged:
        typer.echo(f"{one.name}: {one.wrong}")
    typer.echo(f"{len(found) - len(damaged)} artifacts are as they were written, {len(damaged)} are not.")
    older = [one.name for one in found if not one.checksum]
    if older:
        more = f" and {len(older) - _NAMED} more" if len(older) > _NAMED else ""
        typer.echo(
            f"{len(older)} ledgers and orders are without checksum, as an earlier version wrote them: "
            f"{', '.join(older[:_NAMED])}{more}."
        )
    bought = sum(one.bought for one in damaged)
    remedies = []
    if len(damaged) > bought:
        remedies.append(
            f"{len(damaged) - bought} artifacts are damaged; edsel run --study {study} makes them again."
        )
    if bought:
        remedies.append(f"{bought} things that were paid for are damaged: restore them from a backup.")
    if remedies:
        raise RuntimeError(" ".join(remedies))
