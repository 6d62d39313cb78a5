"""Read heads and log-probabilities of a batch of rows through the model's own forward.

The model may be wrapped (DDP, FSDP, ZeRO-3, an adapter, autocast): it is called as it is, and a hook on its head takes
what is needed. Our hook is added at the call, so it runs after the wrappers' own and their backward hooks still fire.
A mask of four dimensions, or a BlockMask, transformers hands to the attention as it is (``masking_utils.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from w2s_pref.models.batches.batch import Responses, RowBatch
from w2s_pref.models.batches.packed import by_row, visible
from w2s_pref.models.batches.states import skipping
from w2s_pref.models.batches.wrapped import decoder_layers, head, inner

#: Logits of one slice of the log-softmax (128 MiB in float32).
SLICE = 2**25

#: Kernels of FlexAttention that a process may compile. Number and size of heads, precision, widths (two), and whether
#: gradients and autocast are on each ask for another; behind torch's limit of 8 it computes uncompiled, with the whole
#: matrix of attention in memory, and says so in a warning only.
FLEX_KERNELS = 64


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


def read_logits(model: nn.Module, batch: RowBatch) -> Tensor:
    """What predicts every response token, (M, V), in the model's precision; text by text, token after token."""
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
    read: Tensor = logits[0]
    return read


def read_token_logprobs(model: nn.Module, batch: RowBatch) -> Tensor:
    """Log-probability of every response token, (M,), float32, nats; text by text as in ``batch.responses.owners``."""
    logits = read_logits(model, batch)
    assert batch.responses is not None
    step = max(1, SLICE // logits.shape[-1])
    parts = zip(torch.split(logits, step), torch.split(batch.responses.targets, step), strict=True)
    return torch.cat([-cross_entropy(part.float(), at, reduction="none") for part, at in parts])


def read_logprobs(model: nn.Module, batch: RowBatch) -> tuple[Tensor, Tensor]:
    """Summed log-probabilities of the responses, float32, nats, and their lengths in tokens, each (K, R)."""
    each = read_token_logprobs(model, batch)
    assert batch.responses is not None
    return sums(each, batch.responses), batch.responses.counts


def sums(each: Tensor, responses: Responses) -> Tensor:
    """(M,) -> (K, R), token after token: ``index_add`` on a GPU adds in whatever order its threads come in."""
    counts = responses.counts.flatten()
    if each.numel() and each.device.type in ("cpu", "cuda"):
        return torch.segment_reduce(each, "sum", lengths=counts, unsafe=True).view(responses.counts.shape)
    return each.new_zeros(counts.numel()).index_add(0, responses.owners, each).view(responses.counts.shape)


def forward(model: nn.Module, batch: RowBatch, read: Tensor | None) -> Any:
    """One call of the model on the batch, counted; but in the padded layout only the columns of ``read`` are finished.

    ``read`` is None where all columns are wanted.
    """
    count_forward(batch.input_ids.numel(), batch.real)
    shape = batch.input_ids.shape
    narrow: AbstractContextManager[None] = nullcontext()
    if read is not None and batch.layout != "padded":
        narrow = only_read(model, (shape[0], shape[1]), read)
    with narrow, skipping(model, batch):
        return _call(model, batch)


def _call(model: nn.Module, batch: RowBatch) -> Any:
    if batch.layout == "padded":
        mask = (batch.segments == 0).long()
        return model(input_ids=batch.input_ids, attention_mask=mask, use_cache=False)
    if batch.texts == 1 and batch.layout == "shared":
        # causal, padded on the right: no text sees what lies behind it, and no mask is faster
        return model(input_ids=batch.input_ids, attention_mask=None, use_cache=False)
    own = inner(model)
    if batch.layout == "packed":
        with by_row(own, batch):
            return model(input_ids=batch.input_ids, attention_mask=None, position_ids=batch.positions, use_cache=False)
    mask = attention_mask(batch.segments, own.config._attn_implementation, own.dtype)
    return model(input_ids=batch.input_ids, attention_mask=mask, position_ids=batch.positions, use_cache=False)


def mask_mod(segments: Tensor) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The rule of ``visible`` in FlexAttention's form: (batch, head, query, key) -> bool."""

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        of_key = segments[batch, key]
        return ((of_key == 0) | (of_key == segments[batch, query])) & (key <= query)

    return sees


def attention_mask(segments: Tensor, implementation: str, dtype: torch.dtype) -> Any:
    """The mask in the form that the model's attention takes.

    Raises:
        ValueError: an attention that takes no mask of ours (flash attention).
    """
    if implementation == "flex_attention":
        from torch._dynamo import config
        from torch.nn.attention.flex_attention import create_block_mask

        config.recompile_limit = max(config.recompile_limit, FLEX_KERNELS)
        height, width = segments.shape
        return create_block_mask(mask_mod(segments), height, None, width, width, device=str(segments.device))
    seen = visible(segments)[:, None]
    if implementation == "sdpa":
        return seen
    if implementation == "eager":
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)
    raise ValueError(f"the attention implementation {implementation!r} takes no mask with branches")


@contextmanager
def only_read(model: nn.Module, shape: tuple[int, int], columns: Tensor) -> Iterator[None]:
    """Within the block, the last MLP runs on some columns only, and gives 0 in all others: no other reaches a head.

    Rewards are read in two columns of a pair, log-probabilities before response tokens. The MLP is most of a layer, so
    a model of 3 layers saves an eighth of its time, one of 24 layers little. What is read, and its gradient, stay.

    Hooks of the moment, like those on the head. Models without such an MLP run as they are, and so do those whose last
    layer is recomputed in the backward pass, when the hooks are gone.

    Args:
        shape: (B, W) of the batch.
        columns: flat indices into (B, W), each once: twice would count a gradient twice.
    """
    mlp = last_mlp(model)
    if mlp is None:
        yield
        return

    def gather(_module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0].flatten(0, 1)[columns][None], *inputs[1:])

    def scatter(_module: Any, _inputs: tuple[Any, ...], output: Any) -> Any:
        found, *more = (output,) if isinstance(output, Tensor) else output
        whole = found.new_zeros(shape[0] * shape[1], found.shape[-1]).index_copy(0, columns, found[0]).view(*shape, -1)
        return whole if isinstance(output, Tensor) else (whole, *more)

    handles = [mlp.register_forward_pre_hook(gather), mlp.register_forward_hook(scatter)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def last_mlp(model: nn.Module) -> nn.Module | None:
    """The MLP of the last decoder layer, by the names of transformers; None where nothing is so called."""
    layers = decoder_layers(model)
    if layers is None or _recomputed(layers[-1]):
        return None
    mlp: nn.Module | None = getattr(layers[-1], "mlp", None)
    return mlp


def _recomputed(layer: nn.Module) -> bool:
    """Activation checkpointing: transformers' own, or the wrapper that accelerate puts around a layer for FSDP."""
    return hasattr(layer, "_checkpoint_wrapped_module") or (
        layer.training and getattr(layer, "gradient_checkpointing", False)
    )


@dataclass
class Tokens:
    """``positions`` computed, padding included; ``real`` ones among them."""

    positions: int = 0
    real: int = 0


_total = Tokens()


def count_forward(positions: int, real: int) -> None:
    """One forward pass more."""
    _total.positions += positions
    _total.real += real


@contextmanager
def counting() -> Iterator[Tokens]:
    """Tokens computed inside the block; the numbers stand when it ends, also by an exception."""
    positions, real, seen = _total.positions, _total.real, Tokens()
    try:
        yield seen
    finally:
        seen.positions, seen.real = _total.positions - positions, _total.real - real
