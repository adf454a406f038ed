"""edsel: decide which prompts are worth paying to annotate."""

__version__ = "0.1.0"
