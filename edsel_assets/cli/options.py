"""Options that several commands have in common."""

from pathlib import Path
from typing import Annotated

import typer

StudyOption = Annotated[str, typer.Option("--study", "-s", help="Name of a shipped study, or a YAML file.")]
HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Where results lie. Default: $EDSEL_HOME, else ./.edsel.")
]
