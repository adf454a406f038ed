"""Every setting of an experiment, and the YAML file that it is read from."""

from edsel_assets.study.choosing import SelectionSettings
from edsel_assets.study.file import StudyError
from edsel_assets.study.inputs import EmbeddingSettings, PoolSettings
from edsel_assets.study.judges import HumanEvalSettings, JudgeSettings
from edsel_assets.study.scorers import DeitaSettings, JudgeModel, QualitySettings, RewardSettings, ScorerModel
from edsel_assets.study.signals import MEASURES
from edsel_assets.study.study import Study, shipped_studies
from edsel_assets.study.trials import EvaluationSettings, FinetuningSettings, TaskSettings
from edsel_assets.study.triggers import TriggerSettings

__all__ = [
    "MEASURES",
    "DeitaSettings",
    "EmbeddingSettings",
    "EvaluationSettings",
    "FinetuningSettings",
    "HumanEvalSettings",
    "JudgeModel",
    "JudgeSettings",
    "PoolSettings",
    "QualitySettings",
    "RewardSettings",
    "ScorerModel",
    "SelectionSettings",
    "Study",
    "StudyError",
    "TaskSettings",
    "TriggerSettings",
    "shipped_studies",
]
