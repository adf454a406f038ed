"""WHAT A STUDY PAYS FOR: the next picks as an order, answers as training data, what the money brought.

``placing`` places an order: ``asking`` checks what is asked for, ``choosing`` says which prompts those are,
``replacing`` which take the place of rejected ones, and ``freezing`` makes them an order; ``cancelling``
takes it back. ``answers`` hands an order out and takes its answers in. ``tables`` and ``spending`` are what
the assets of the paid loop hold, and ``needs`` what a curve of them lacks. Here ``annotation``, which knows
of no study, meets selections. How cells are made does not belong here: a :class:`Desk` is handed it. Nor do
formats of files (``annotation``) and who answers (``annotators``).
"""

from edsel_assets.desk.answers import answer, export, record_orders, take_back
from edsel_assets.desk.asking import Asking
from edsel_assets.desk.cancelling import cancel
from edsel_assets.desk.desk import Desk, Placed
from edsel_assets.desk.needs import curve_needs
from edsel_assets.desk.placing import place, preview

__all__ = [
    "Asking",
    "Desk",
    "Placed",
    "answer",
    "cancel",
    "curve_needs",
    "export",
    "place",
    "preview",
    "record_orders",
    "take_back",
]
