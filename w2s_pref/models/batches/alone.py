"""Does a padded text read as it does alone? Asked of the model itself, before a text of the user's is read.

Texts are padded on the right. An architecture that reads its last column (XLNet), or has no attention mask (FNet),
gives a text another score with every other text beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from w2s_pref.core.errors import W2SError
from w2s_pref.models.batches.batch import Row, RowBatch, collate
from w2s_pref.models.batches.read import forward
from w2s_pref.models.batches.wrapped import inner, untouched
from w2s_pref.models.positions import positions

#: What a model says to an input that it does not take.
NOT_TAKEN = (TypeError, ValueError, LookupError, AttributeError, NotImplementedError)


def check_padded(model: nn.Module, rows: Sequence[Row], pad_id: int) -> None:
    """Compare what the last layer is given for texts in one batch with what it is given for each text alone.

    Raises:
        W2SError: they differ by more than rounding, or the model does not take a padded batch.
    """
    own, device = inner(model), next(model.parameters()).device
    limit = positions(own.config.get_text_config().to_dict())
    texts = [text[:limit] for row in rows for text in row.texts]
    with untouched(model):
        try:
            together = _read(model, collate([Row((text,)) for text in texts], pad_id, "padded").to(device))
            alone = [_read(model, collate([Row((text,))], pad_id, "padded").to(device)) for text in texts]
        except NOT_TAKEN as error:
            said = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise W2SError(f"model type {own.config.model_type!r} reads no batch of padded texts ({said})") from error
    apart = _apart(together, torch.cat(alone))
    if apart > _rounding(own, device.type):
        raise W2SError(
            f"model type {own.config.model_type!r} reads a text otherwise beside longer texts than alone (by "
            f"{apart:.0%} of the largest number that its last layer is given): it does not leave padding out, so its "
            "scores would depend on the batch; take another architecture"
        )


def _read(model: nn.Module, batch: RowBatch) -> Tensor:
    """What the last linear layer is given for each text, (texts, H). Not its outputs: a new head may be all zeros.

    Raises:
        ValueError: a layer that gives outputs for every token, of which the model takes others than the last one's.
    """
    seen: list[tuple[Tensor, Tensor]] = []

    def note(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[:] = [(inputs[0], output)]

    layers = [module for module in inner(model).modules() if isinstance(module, nn.Linear)]
    handles = [module.register_forward_hook(note) for module in layers]
    try:
        logits = forward(model, batch, batch.last.flatten()).logits
    finally:
        for handle in handles:
            handle.remove()
    given, output = seen[0] if seen else (logits, logits)
    if given.ndim == 2:
        return given.float()
    width, last = batch.input_ids.shape[1], batch.last.flatten()
    given, output = given[:, -width:], output[:, -width:]  # an adapter may put virtual tokens in front
    if logits.ndim == 2 and not torch.allclose(logits, output.flatten(0, 1)[last].to(logits.dtype), rtol=1e-3):
        raise ValueError("it takes another token's output for that of the last one")
    return given.flatten(0, 1)[last].float()


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest number; 0 where the second are no numbers: others say so."""
    if not other.isfinite().all() or not other.any():
        return 0.0
    return float((one - other).abs().max() / other.abs().max())


def _rounding(model: PreTrainedModel, device: str) -> float:
    """How far rounding alone may move a number that the last layer is given, 10 % at most.

    A layer rounds some ten times on the way (projections, attention, MLP, norms, sums). A matrix product of width d
    adds d roundings in float32, independent of each other: sqrt(d) of them; one of 16 bits adds up in float32 and
    rounds once. Over L layers: sqrt(10 L d) or sqrt(10 L) roundings, and ten standard deviations of that. What is
    asked moves by tens of per cent where padding is read.
    """
    config = model.config.get_text_config()
    layers, width = getattr(config, "num_hidden_layers", 12), getattr(config, "hidden_size", 768)
    size = precision(device, model.dtype)
    steps = 10 * layers * (width if size < 2**-20 else 1)
    return min(0.1, 10 * size * sqrt(steps))


def precision(device: str, dtype: torch.dtype) -> float:
    """The rounding error of what the layers compute in: the dtype of the weights, or of autocast, or TF32."""
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    return max(torch.finfo(dtype).eps, 2**-10 if device == "cuda" and _tf32() else 0)


def _tf32() -> bool:
    """Whether products in float32 round to TF32 on a GPU: by torch's new setting (2.9), or else by its old one.

    The old one cannot be read where the new one was set, as transformers does for ``training.tf32``.
    """
    products = torch.backends.cuda.matmul
    if getattr(products, "fp32_precision", None) == "tf32":
        return True
    try:
        return bool(products.allow_tf32)
    except RuntimeError:
        return False
