"""Where a policy starts: a causal model as the recipe's files hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from w2s_pref.engine.stage import Stage
from w2s_pref.models.info import ModelFacts

if TYPE_CHECKING:
    from w2s_pref.engine.build import Builder
    from w2s_pref.stages.model_stage import Loaded


def model_payload(model: ModelFacts) -> dict[str, Any]:
    """What decides a model before training."""
    return {
        "weights": model.hash,
        "tokenizer": model.tokenizer_hash,
        **model.spec.model_dump(include={"dtype", "pad_token", "lora", "freeze_backbone", "trust_remote_code"}),
        "from_config": model.spec.from_config is not None,
        **({"quantization": model.spec.quantization} if model.spec.quantization is not None else {}),
    }


class CausalStage(Stage):
    """A causal model: it gives log-probabilities, it writes, and policies start from it."""

    def load(self, builder: Builder, trainable: bool = False) -> Loaded:
        """Model and tokenizer, ready to score on this process's device, or as a trainer wants them."""
        from w2s_pref.models.load import placed

        model, tokenizer = self._read(builder, trainable)
        return (model if trainable else placed(model.eval())), tokenizer

    def recalled(self, builder: Builder) -> Loaded:
        """The same, to score; the last one stays in memory."""
        return builder.recall(self.key, lambda: self.load(builder))

    def _read(self, builder: Builder, trainable: bool) -> Loaded:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class StartStage(CausalStage):
    """The causal model that a policy starts from: files of the recipe, never built and never stored."""

    kind: ClassVar[str] = "start"
    model: ModelFacts
    seed: int

    @property
    def payload(self) -> dict[str, Any]:
        """The model; the seed only where it draws the weights."""
        return {
            "model": model_payload(self.model),
            "seed": self.seed if self.model.spec.from_config is not None else None,
        }

    def _read(self, builder: Builder, trainable: bool) -> Loaded:
        from w2s_pref.models.load import load_policy

        return load_policy(self.model.spec, builder.base, self.seed)
