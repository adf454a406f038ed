"""What ``workspace.yaml`` loads: the graph of the study that EDSEL_STUDY names, else the demo."""

from edsel_assets.defs.build import build_definitions
from edsel_assets.study import Study

defs = build_definitions(Study.from_env())
