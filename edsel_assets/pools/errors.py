"""The one error of this package."""


class PoolError(ValueError):
    """Input that cannot be read as prompts: one line of the file, the row and the remedy."""
