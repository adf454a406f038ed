"""Models as they run fastest on a CPU: products and attention compiled for the processor at hand."""

from .model import cpu_model

__all__ = ["cpu_model"]
