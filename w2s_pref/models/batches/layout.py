"""May a model compute rows in the shared layout? Decided on the model itself, by small forward passes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from w2s_pref.models.batches.alone import check_padded, precision
from w2s_pref.models.batches.batch import GROUPED_ON, Layout, Row, RowBatch, collate
from w2s_pref.models.batches.read import forward
from w2s_pref.models.batches.wrapped import head, inner, untouched

log = logging.getLogger(__name__)

#: Texts from this length on are worth FlexAttention; in shorter ones attention is a small part of the work.
FLEX_FROM = 4096

#: Models of this hidden size on are trained on packed rows: at 576 that is a seventh faster on a CPU. Others stay as
#: they were: their steps are launches of kernels, of which groups need more.
PACKED_FROM = 512


@dataclass
class Decision:
    """What is known of a model.

    Attributes:
        layout: its layout.
        window: the longest text for the shared one; None for any.
        warned: of a text that is longer.
        tried: FlexAttention was tried.
    """

    layout: Layout
    window: int | None = None
    warned: bool = False
    tried: bool = False


_decided: WeakKeyDictionary[nn.Module, Decision] = WeakKeyDictionary()


def layout_of(model: nn.Module, pad_id: int, longest: int | None = None) -> Layout:
    """The layout for this model's rows, decided once per model object and remembered.

    ``shared`` where two pairs give the same hidden states in both layouts; else ``padded``, with one logged line.
    Under several processes every one has to call it: a sharded model computes together.

    Args:
        model: as it will be called, wrappers included.
        pad_id: the tokenizer's pad token.
        longest: tokens of the longest text to come. Texts longer than a sliding window need the model's own mask.

    Raises:
        W2SError: in the padded layout a text reads otherwise than alone.
    """
    if model not in _decided:
        _decided[model] = _decide(model, pad_id)
    found = _decided[model]
    if found.layout == "shared" and not found.tried and _flex_pays(model, longest):
        found.tried = True
        _try_flex(model, pad_id)
    if found.layout == "padded" or found.window is None or longest is None or longest <= found.window:
        return found.layout
    if not found.warned:
        name = type(inner(model)).__name__
        log.warning("%s: texts of %d tokens exceed its attention window of %d; the prompt of a pair is computed twice "
                    "(padded layout)", name, longest, found.window)  # fmt: skip
        found.warned = True
    return "padded"


def training_layout(model: nn.Module, pad_id: int, longest: int | None = None) -> Layout:
    """``layout_of``, or ``packed`` where rows are shared and matrix products gain from it.

    On a CPU products of a hundred tokens reach two thirds of the speed of those of three hundred, and every further
    backward pass adds all gradients again. On a GPU a quarter and more of what is computed is padding, which packed
    rows need in attention alone. Small models gain nothing, since attention is then called for each row or group.
    Layers that are recomputed in the backward pass, when the rows are no longer known, must not be packed; a whole
    model that is compiled would be compiled in pieces, for attention stays outside. Layers that are compiled one by one
    may be: their graphs lie before and after attention, and take rows of any length.
    """
    layout, own = layout_of(model, pad_id, longest), inner(model)
    config = own.config.get_text_config()
    if (
        layout != "shared"
        or _decided[model].window is not None
        or next(model.parameters()).device.type not in ("cpu", *GROUPED_ON)
        or config._attn_implementation != "sdpa"
        or int(config.hidden_size) < PACKED_FROM
    ):
        return layout
    reason = _difference(model, pad_id, "packed")
    if reason:
        log.info("%s: rows are not packed: %s", type(own).__name__, reason)
    return layout if reason else "packed"


def _flex_pays(model: nn.Module, longest: int | None) -> bool:
    """Long texts on a GPU: FlexAttention's block mask skips what answers do not see, SDPA's dense mask does not.

    It takes no attention dropout. An attention implementation that the user chose stays.
    """
    own = inner(model)
    config = own.config.get_text_config()
    return (
        longest is not None
        and longest >= FLEX_FROM
        and next(model.parameters()).device.type == "cuda"
        and config._attn_implementation == "sdpa"
        and getattr(own, "_supports_flex_attn", False)
        and not any(getattr(config, name, 0) for name in ("attention_dropout", "attn_pdrop"))
    )


def _try_flex(model: nn.Module, pad_id: int) -> None:
    """Switch to FlexAttention through transformers' own interface, and back where the check fails."""
    inner(model).set_attn_implementation("flex_attention")
    reason = _difference(model, pad_id)
    if reason:
        inner(model).set_attn_implementation("sdpa")
        log.warning("%s: SDPA instead of FlexAttention: %s", type(inner(model)).__name__, reason)


def _decide(model: nn.Module, pad_id: int) -> Decision:
    name, reason = type(inner(model)).__name__, _difference(model, pad_id)
    if reason != "":
        check_padded(model, _rows(inner(model).config.get_text_config(), pad_id), pad_id)
    if reason is None:
        log.info("%s reads a whole text at once; its texts are padded, each by itself", name)
        return Decision("padded")
    if reason:
        log.warning("%s: the prompt of a pair is computed twice (padded layout): %s", name, reason)
        return Decision("padded")
    return Decision("shared", _longest_shared(inner(model)))


def _longest_shared(model: PreTrainedModel) -> int | None:
    """Tokens of the longest text for the shared layout, None for any.

    A mask of ours replaces the model's own in all its layers, so a text must fit into a sliding window or a chunk.
    Models that cut by column number themselves (GPT-Neo's local layers, causal masks kept as a buffer) need the whole
    row, shorter than two texts, to fit.
    """
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    limits = []
    for kind, name in (("sliding_attention", "sliding_window"), ("chunked_attention", "attention_chunk_size")):
        size = getattr(config, name, None)
        if size is not None and (kinds is None or kind in kinds):
            limits.append(size)
    if "local" in (getattr(config, "attention_layers", None) or ()):
        limits.append(config.window_size // 2)
    buffers = (each for name, each in model.named_buffers() if name.rpartition(".")[2] == "bias" and each.ndim == 4)
    limits += [each.shape[-1] // 2 for each in buffers]
    return min(limits, default=None)


def _difference(model: nn.Module, pad_id: int, layout: Layout = "shared") -> str | None:
    """Why a layout is not the same as the padded one, "" where it is; None for a model that has the padded one only.

    Of several shapes, for kernels that are compiled for each.
    """
    config, device = inner(model).config.get_text_config(), next(model.parameters()).device
    with untouched(model):
        try:
            for number in (2, 1):
                rows = _rows(config, pad_id)[:number]
                padded, rounding = _hidden(model, collate(rows, pad_id, "padded").to(device))
                if padded is None:
                    return None
                shared, _ = _hidden(model, collate(rows, pad_id, layout).to(device))
                assert shared is not None
                apart = float((shared - padded).abs().max() / padded.abs().max())
                if not apart <= rounding:  # NaN too
                    return f"the two layouts differ by {apart:.1e} of the largest hidden state"
        except Exception as error:  # whatever a model says to a mask it does not know: it is then padded
            return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return ""


def _rows(config: PretrainedConfig, pad_id: int) -> list[Row]:
    """Two pairs of unlike lengths, without padding tokens; texts end in eos, as real ones do."""
    eos = getattr(config, "eos_token_id", None)
    ends = [eos] if isinstance(eos, int) and eos != pad_id and eos < config.vocab_size else []
    tokens = [token for token in range(min(config.vocab_size, 997)) if token not in (pad_id, eos)]

    def text(start: int, length: int, step: int) -> list[int]:
        return [tokens[(start + step * at) % len(tokens)] for at in range(length)]

    long, short = text(1, 9, 7), text(3, 2, 11)
    return [
        Row((long + text(5, 8, 13) + ends, long + text(2, 5, 17) + ends)),
        Row((short + text(8, 2, 5) + ends, short + text(4, 3, 19) + ends)),
    ]


def _hidden(model: nn.Module, batch: RowBatch) -> tuple[Tensor | None, float]:
    """What the head is given at each text's last token, (K, R, H), and how far rounding may move it.

    None where the head gives one output a text: such a model (an encoder) has no use for the shared layout. Not what
    the head gives: a new head may be all zeros.
    """
    seen: list[Tensor] = []
    rounding: list[float] = []

    def note(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.ndim == 3:
            seen.append(inputs[0].flatten(0, 1)[batch.last.flatten()].float())
            rounding.append(_rounding(inputs[0], inner(model).dtype))

    module = head(model)
    handle = (inner(model).get_output_embeddings() if module is None else module).register_forward_hook(note)
    try:
        forward(model, batch, batch.last.flatten())
    finally:
        handle.remove()
    return (seen[0], rounding[0]) if seen else (None, 0.0)


def _rounding(hidden: Tensor, dtype: torch.dtype) -> float:
    """100 rounding errors of the precision that the layers compute in, 3 % at most."""
    return min(0.03, 100 * precision(hidden.device.type, dtype))
