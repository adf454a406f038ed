"""Models as they run fastest on a CPU: products and attention compiled for the processor at hand."""

from .frozen import frozen_products
from .likelihood import log_likelihood
from .model import cpu_model

__all__ = ["cpu_model", "frozen_products", "log_likelihood"]
