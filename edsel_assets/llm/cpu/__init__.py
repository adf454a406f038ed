"""Models as they run fastest on a CPU: products and attention compiled for the processor at hand."""

from .likelihood import log_likelihood
from .model import cpu_model

__all__ = ["cpu_model", "log_likelihood"]
