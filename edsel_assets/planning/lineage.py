"""The lineage of a study in a home: which cells there are, and what each is made from."""

from edsel_assets.planning.cells import Lineage
from edsel_assets.store import Home
from edsel_assets.study import Study


def lineage_of(study: Study, home: Home) -> Lineage:
    """The assets, cells and parents of ``study``, with the orders placed by now."""
    return Lineage.of(study, home.store(study.name).order_names())
