"""The lineage of a study in a home: which cells there are, and what each is made from."""

from pathlib import Path

from edsel_assets.planning.cells import Lineage
from edsel_assets.planning.external import order_names
from edsel_assets.study import Study


def lineage_of(study: Study, home: Path) -> Lineage:
    """The assets, cells and parents of ``study``, with the orders placed by now."""
    return Lineage.of(study, order_names(home / "store" / study.name))
