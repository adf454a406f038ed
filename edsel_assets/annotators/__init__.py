"""WHO ANSWERS: one protocol, and three annotators that have it.

``PoolAnnotator`` answers from the responses that the pool has, as in the papers. ``FolderAnnotator``
takes in the files that are dropped into a folder. ``ChatAnnotator`` asks a model behind an
OpenAI-compatible server. ``annotator_of`` makes the one that a study names; ``answer`` lets it answer
what is open. Everything that an annotator says goes through ``annotation.enter_answers``, in small
batches, so that a process that is killed loses none of what was entered. Knows no Dagster.
"""

from edsel_assets.annotators.answering import Answered, answer
from edsel_assets.annotators.chat import ChatAnnotator
from edsel_assets.annotators.choice import annotator_of
from edsel_assets.annotators.folder import FolderAnnotator
from edsel_assets.annotators.pool import PoolAnnotator
from edsel_assets.annotators.protocol import Annotator, Asked, Enter

__all__ = [
    "Annotator",
    "Answered",
    "Asked",
    "ChatAnnotator",
    "Enter",
    "FolderAnnotator",
    "PoolAnnotator",
    "annotator_of",
    "answer",
]
