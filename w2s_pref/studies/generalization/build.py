"""Enter the laboratory's stages into the pipeline's builder. Nothing heavy is imported until one is built."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from w2s_pref.engine.build import Builder
from w2s_pref.stages.rewards_labels_scores import Stage
from w2s_pref.studies.generalization import stages

#: What builds a stage: a function of this package, as module:name.
BUILDERS: dict[type[Stage], str] = {
    stages.ActivationStage: "build_probes:build_activations",
    stages.ProbeStage: "build_probes:build_probe",
    stages.FinetuneStage: "build_finetune:build_finetune",
    stages.PromptStage: "build_prompts:build_prompt",
    stages.ChosenStage: "build_labels:build_chosen",
    stages.AlteredLabels: "build_labels:build_altered",
    stages.FinishStage: "finish:build_analysis",
}


def _late(where: str) -> Callable[[Builder, Stage, Path], dict[str, Any]]:
    """The function behind ``where``, imported when it is called."""
    module, _, name = where.partition(":")

    def build(builder: Builder, stage: Stage, folder: Path) -> dict[str, Any]:
        function = getattr(import_module(f"{__package__}.{module}"), name)
        return cast(dict[str, Any], function(builder, stage, folder))

    return build


for _kind, _where in BUILDERS.items():
    cast(Any, Builder.build).register(_kind, _late(_where))
