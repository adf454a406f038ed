"""The selection engine against its peers: ``python -m benchmarks.selection --help``."""
