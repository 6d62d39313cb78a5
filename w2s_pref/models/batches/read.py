"""Read heads and log-probabilities of a batch of rows through the model's own forward.

The model may be wrapped (DDP, FSDP, ZeRO-3, an adapter, autocast): it is called as it is, and a hook on its head takes
what is needed. Our hook is added at the call, so it runs after the wrappers' own and their backward hooks still fire.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from w2s_pref.models.batches import count
from w2s_pref.models.batches.batch import RowBatch
from w2s_pref.models.batches.last_mlp import only_read
from w2s_pref.models.batches.mask import attention_mask
from w2s_pref.models.batches.wrapped import head, inner

#: Logits of one slice of the log-softmax (128 MiB in float32).
SLICE = 2**25


def read_heads(model: nn.Module, batch: RowBatch) -> Tensor:
    """The classification head's outputs at each text's last token, (K, R, outputs), float32."""
    if batch.layout == "padded":
        pooled: Tensor = forward(model, batch, batch.last.flatten()).logits
        return pooled.float().view(*batch.last.shape, -1)
    seen: list[Tensor] = []
    layer = head(model)
    assert layer is not None
    handle = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        pooled = forward(model, batch, batch.last.flatten()).logits
    finally:
        handle.remove()
    outputs = seen[0].flatten(0, 1)[batch.last.flatten()].float().view(*batch.last.shape, -1)
    # FSDP and ZeRO gather weights again when the gradient passes the model's own output: it has to pass there
    return outputs + 0 * pooled.sum() if pooled.requires_grad else outputs


def read_token_logprobs(model: nn.Module, batch: RowBatch) -> Tensor:
    """Log-probability of every response token, (M,), float32, nats; text by text as in ``batch.responses.owners``."""
    if batch.responses is None:
        raise ValueError("rows without starts have no response to read")
    predictors, shape = batch.responses.predictors, batch.input_ids.shape
    used: list[bool] = []

    def at_predictors(_module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = inputs[0][:, -shape[1] :]  # an adapter may put virtual tokens in front
        used.append(True)
        return (hidden.flatten(0, 1)[predictors][None], *inputs[1:])

    handle = inner(model).get_output_embeddings().register_forward_pre_hook(at_predictors)
    try:
        logits = forward(model, batch, batch.responses.columns).logits
    finally:
        handle.remove()
    if not used:  # a model that multiplies by the head's weight without calling it
        logits = logits[:, -shape[1] :].flatten(0, 1)[predictors][None]
    step = max(1, SLICE // logits.shape[-1])
    parts = zip(torch.split(logits[0], step), torch.split(batch.responses.targets, step), strict=True)
    return torch.cat([-cross_entropy(part.float(), at, reduction="none") for part, at in parts])


def read_logprobs(model: nn.Module, batch: RowBatch) -> tuple[Tensor, Tensor]:
    """Summed log-probabilities of the responses, float32, nats, and their lengths in tokens, each (K, R)."""
    each = read_token_logprobs(model, batch)
    assert batch.responses is not None
    sums = each.new_zeros(batch.last.numel()).index_add(0, batch.responses.owners, each)
    return sums.view(batch.last.shape), batch.responses.counts


def forward(model: nn.Module, batch: RowBatch, read: Tensor) -> Any:
    """One call of the model on the batch, counted; in the shared layout only the columns of ``read`` are finished."""
    count.add(batch.input_ids.numel(), batch.real)
    shape = batch.input_ids.shape
    with only_read(model, (shape[0], shape[1]), read) if batch.layout == "shared" else nullcontext():
        return _call(model, batch)


def _call(model: nn.Module, batch: RowBatch) -> Any:
    if batch.layout == "padded":
        mask = (batch.segments == 0).long()
        return model(input_ids=batch.input_ids, attention_mask=mask, use_cache=False)
    if batch.texts == 1:  # causal, padded on the right: no text sees what lies behind it, and no mask is faster
        return model(input_ids=batch.input_ids, attention_mask=None, use_cache=False)
    own = inner(model)
    mask = attention_mask(batch.segments, own.config._attn_implementation, own.dtype)
    return model(input_ids=batch.input_ids, attention_mask=mask, position_ids=batch.positions, use_cache=False)
