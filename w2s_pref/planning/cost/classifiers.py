"""What the laboratory's classifiers compute and keep: activations, fine-tunings, examples in a prompt."""

from __future__ import annotations

from math import ceil

from w2s_pref.models.shapes import BYTES, Shape
from w2s_pref.planning.cost.work import Lengths, Work, computed_share, passes_over, work
from w2s_pref.studies.generalization.answers import SELECTIONS
from w2s_pref.studies.generalization.finetune import FinetuneStage, PromptStage
from w2s_pref.studies.generalization.probes import ActivationStage

#: Evaluations of a fine-tuned classifier on its validation items in an epoch: ``training.selection`` imports torch.
POINTS = 20


@work.register
def _activations(stage: ActivationStage, shape: Shape, size: Lengths) -> Work:
    """One pass over every item; probes on them cost nothing that counts here."""
    tokens = len(stage.on) * size.row
    return Work(len(stage.on), 0.0, tokens, 0.0, shape.forward_flops(tokens, size.context))


@work.register
def _finetuned(stage: FinetuneStage, shape: Shape, size: Lengths) -> Work:
    """The training, its evaluations on the validation items, and each kept checkpoint's answers to all items."""
    items, batch = stage.rows, int(stage.arguments["batch_size"])
    epochs = float(stage.arguments["num_train_epochs"])
    share = computed_share(stage.model, shape)
    done = passes_over(epochs * items, shape, size, stage.arguments, share)
    looks = epochs * min(POINTS, ceil(items / batch)) * len(stage.split.validation)
    scored = (looks + len(SELECTIONS) * len(stage.on)) * size.row
    return done._replace(scored=scored, flops=done.flops + shape.forward_flops(scored, size.context, share=share))


@work.register
def _few_shot(stage: PromptStage, shape: Shape, size: Lengths) -> Work:
    """Every item behind its examples; the next token is read."""
    context = size.row * (1 + stage.settings["shots"])
    tokens = len(stage.on) * context
    return Work(len(stage.on), 0.0, tokens, 0.0, shape.forward_flops(tokens, context, len(stage.on)))


def vectors(stage: ActivationStage, shape: Shape) -> float:
    """Bytes of the activations, in float32 whatever the model computes in."""
    return float(stage.rows * shape.hidden * BYTES["float32"])
