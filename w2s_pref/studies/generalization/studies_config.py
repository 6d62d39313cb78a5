"""The studies that train more than the grid does. What only reads the grid (scaling, agreement, curves) has no key."""

from __future__ import annotations

from pydantic import Field

from w2s_pref.core.strict import Section
from w2s_pref.labels.noise import STRUCTURES, Structure


class StudyConfig(Section):
    """Where a study runs."""

    tasks: list[str] = Field(default_factory=list, description="default: all")
    chains: list[list[str]] = Field(default_factory=list, description="weak, strong; default: every direct pair")
    method: str = Field("", description="of the student; default the first of students")


class SaliencyConfig(StudyConfig):
    """Five bars: probe on weak labels, on truth; fine-tuning on weak labels, then a probe on truth; on truth."""

    probe: str = Field(description="the method that probes")
    finetune: str = Field(description="the method that fine-tunes")


class NoiseConfig(StudyConfig):
    """The supervisor's number of wrong labels, placed by six rules."""

    structures: list[Structure] = Field(list(STRUCTURES), min_length=1, description="which labels are wrong")


class EasyConfig(StudyConfig):
    """Ground truth of the items that the weak model finds easiest, against as many random ones."""

    share: float = Field(0.5, gt=0.0, lt=1.0, description="share of half B that counts as easy")


class TruncatedConfig(StudyConfig):
    """Weak supervisors that see only the first principal components of the student's own representation."""

    components: list[int] = Field(default_factory=lambda: [2, 8, 32], min_length=1)


class StudiesConfig(Section):
    """One entry a study; a study that is not named is not run."""

    bootstrapping: StudyConfig | None = Field(None, description="ladder chains through every middle model")
    saliency: SaliencyConfig | None = None
    noise: NoiseConfig | None = None
    imitation: StudyConfig | None = Field(None, description="the weak label stands in the student's input")
    easy_to_hard: EasyConfig | None = None
    truncated: TruncatedConfig | None = None
