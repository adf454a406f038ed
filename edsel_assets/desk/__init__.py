"""WHAT A STUDY PAYS FOR: the next picks as an order, answers as training data, what the money brought.

``placing`` places an order: ``asking`` checks what is asked for, ``choosing`` says which prompts those are,
``replacing`` which take the place of rejected ones, and ``freezing`` makes them an order. ``answers`` hands
an order out and takes its answers back. ``tables`` and ``spending`` are what the assets of the paid loop
hold. Here ``annotation``, which knows of no study, meets selections. How cells are made does not belong here:
a :class:`Desk` is handed it. Nor do formats of files (``annotation``) and who answers (``annotators``).
"""

from edsel_assets.desk.answers import answer, export, record_orders, take_back
from edsel_assets.desk.asking import Asking
from edsel_assets.desk.desk import Desk, Placed
from edsel_assets.desk.placing import place

__all__ = ["Asking", "Desk", "Placed", "answer", "export", "place", "record_orders", "take_back"]
