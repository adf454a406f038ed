"""edsel: decide which prompts are worth paying to annotate."""

__version__ = "0.2.0"
