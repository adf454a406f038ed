"""WHERE prompts come from: files, folders, URLs and data sets, read into one table of unique prompts.

``source`` says what to read; ``files`` finds what it names; ``rows`` opens and reads it, batch by batch
(``packed`` unpacks, ``text_rows`` and ``data_sets`` read what is not Parquet); ``layouts`` turns a row
of any common instruction layout into a prompt and a response (``chats`` the turns of a chat, ``text`` a
value); ``gather`` and ``pool`` join them into the pool and its ``report``; ``annotations`` reads what
is annotated already, by its ``answer_rows``. A row that cannot be read is left out and counted with its
reason; a file that cannot be is one ``PoolError`` that names it, the row and the remedy.
"""

from edsel_assets.demo import DEMO
from edsel_assets.pools.annotations import ANNOTATION_SCHEMA, read_annotations
from edsel_assets.pools.data_sets import data_set_commit
from edsel_assets.pools.files import ListedFile, pool_files
from edsel_assets.pools.pool import read_pool
from edsel_assets.pools.report import POOL_SCHEMA, FileCount, PoolReport
from edsel_assets.pools.source import PoolError, PoolSource
from edsel_assets.pools.text import normalise, prompt_id

__all__ = [
    "ANNOTATION_SCHEMA",
    "DEMO",
    "POOL_SCHEMA",
    "FileCount",
    "ListedFile",
    "PoolError",
    "PoolReport",
    "PoolSource",
    "data_set_commit",
    "normalise",
    "pool_files",
    "prompt_id",
    "read_annotations",
    "read_pool",
]
