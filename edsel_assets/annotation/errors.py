"""The one error of this package."""


class AnnotationError(ValueError):
    """An order, an answer or a ledger that cannot be used: one line of the place and the remedy."""
