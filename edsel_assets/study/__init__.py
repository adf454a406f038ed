"""Every setting of an experiment, and the YAML file that it is read from."""

from edsel_assets.study.choosing import SelectionSettings
from edsel_assets.study.file import StudyError
from edsel_assets.study.inputs import EmbeddingSettings, PoolSettings
from edsel_assets.study.scorers import DeitaSettings, JudgeModel, QualitySettings, RewardSettings, ScorerModel
from edsel_assets.study.signals import MEASURES
from edsel_assets.study.study import Study, shipped_studies
from edsel_assets.study.trials import FinetuningSettings

__all__ = [
    "MEASURES",
    "DeitaSettings",
    "EmbeddingSettings",
    "FinetuningSettings",
    "JudgeModel",
    "PoolSettings",
    "QualitySettings",
    "RewardSettings",
    "ScorerModel",
    "SelectionSettings",
    "Study",
    "StudyError",
    "shipped_studies",
]
