"""``python -m edsel_assets.cli``."""

from edsel_assets.cli import main

main()
