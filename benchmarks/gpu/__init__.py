"""One prepared script for the first minutes on a GPU: ``python -m benchmarks.gpu``. See docs/gpu.md."""
