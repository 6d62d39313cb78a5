"""Files of hidden states behind frozen layers: written once for the texts of some pairs, read by every student.

``states.safetensors`` holds (T, H) in the model's dtype, mapped into memory when it is read; what two answers share
is there once. ``index.safetensors`` holds the token ids of every text and where its states lie.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from w2s_pref.models.batches import Row, RowBatch
from w2s_pref.models.batches.alone import precision
from w2s_pref.models.batches.each import TOKEN_BUDGET, batches
from w2s_pref.models.batches.read import forward
from w2s_pref.models.batches.states import StatePlace, States, pieces, reading
from w2s_pref.models.batches.wrapped import inner, untouched
from w2s_pref.models.frozen import layers_of

log = logging.getLogger(__name__)

STATES, INDEX = "states.safetensors", "index.safetensors"
#: Bytes of the header, filled up with spaces: the number of states is known only when all are written.
HEADER = 256
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
#: Largest relative difference between states that were read and computed, in roundings of the precision that layers
#: compute in; at most ``MOST``. Some hundred roundings add up over layers; those of another model differ by their size.
ROUNDINGS, MOST = 1000, 0.05


class _ReachedError(Exception):
    """The last frozen layer has spoken: the layers above it need not."""


def write(model: nn.Module, cut: int, rows: Sequence[Row], pad_id: int, folder: Path) -> None:
    """Compute the states behind layer ``cut`` of every text of the rows, and write both files into ``folder``.

    The model is in its own precision and in eval mode, whatever it is trained in.
    """
    ids: list[bytes] = []
    places: list[StatePlace] = []
    total = 0
    with untouched(model), (folder / STATES).open("wb") as file:
        file.write(b" " * (8 + HEADER))
        hidden: Tensor | None = None
        for _, batch in batches(model, rows, pad_id, TOKEN_BUDGET):
            hidden, _ = behind(model, cut, batch)
            prefix: dict[int, int] = {}
            for piece in pieces(batch):
                sequence = hidden[piece.sequence].cpu()
                if piece.sequence not in prefix:
                    prefix[piece.sequence] = total
                    total += _append(file, sequence[: piece.prefix])
                places.append(StatePlace(prefix[piece.sequence], piece.prefix, total, piece.end - piece.begin))
                ids.append(piece.ids)
                total += _append(file, sequence[piece.begin : piece.end])
        assert hidden is not None
        _write_header(file, total, hidden)
    texts = [np.frombuffer(each, np.int32) for each in ids]
    lengths = np.array([len(each) for each in texts], np.int64)
    index: dict[str, Any] = {"ids": np.concatenate(texts), "lengths": lengths, "places": np.array(places, np.int64)}
    save_file(index, folder / INDEX)


def _append(file: IO[bytes], values: Tensor) -> int:
    file.write(values.contiguous().view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return len(values)


def _write_header(file: IO[bytes], total: int, like: Tensor) -> None:
    """Of a safetensors file with one tensor, behind a length of 8 bytes."""
    size = total * like.shape[-1] * like.element_size()
    entry = {"dtype": DTYPES[like.dtype], "shape": [total, like.shape[-1]], "data_offsets": [0, size]}
    file.seek(0)
    file.write(HEADER.to_bytes(8, "little") + json.dumps({"states": entry}).encode().ljust(HEADER))


def read(folders: Sequence[Path]) -> States:
    """The states of some folders; those of the pairs stay on the disk until they are asked for."""
    parts = []
    for folder in folders:
        with safe_open(folder / STATES, "pt") as file:
            values = file.get_tensor("states")
        index = load_file(folder / INDEX)
        texts = np.split(index["ids"], np.cumsum(index["lengths"])[:-1])
        numbers = index["places"].tolist()
        parts.append((values, {ids.tobytes(): StatePlace(*at) for ids, at in zip(texts, numbers, strict=True)}))
    return States(parts)


def behind(model: nn.Module, cut: int, batch: RowBatch) -> tuple[Tensor, bool]:
    """States of a batch behind layer ``cut``, (B, W, H), and whether layers return tuples; no layer above it runs."""
    seen: list[Any] = []

    def stop(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.append(output)
        raise _ReachedError

    handle = layers_of(model)[cut - 1].register_forward_hook(stop)
    try:
        with suppress(_ReachedError):
            forward(model, batch, None)
    finally:
        handle.remove()
    tuples = not isinstance(seen[0], Tensor)
    return (seen[0][0] if tuples else seen[0]), tuples


@contextmanager
def read_by(model: nn.Module, cut: int, states: States, pad_id: int) -> Iterator[None]:
    """Within the block the model reads states that are there instead of computing its first ``cut`` layers.

    Its own layers are asked about one text first: states of another model are not read, with one logged line.
    """
    from w2s_pref.models.batches import collate

    places = states.parts[0][1]
    ids = min(places, key=len)
    batch = collate([Row((np.frombuffer(ids, np.int32).tolist(),))], pad_id, "padded")
    known = states.columns(batch)
    assert known is not None
    with untouched(model):
        computed, tuples = behind(model, cut, batch.to(next(model.parameters()).device))
    computed = computed.cpu()
    apart = float((known.float() - computed.float()).abs().max() / computed.float().abs().max())
    if not apart <= min(MOST, ROUNDINGS * precision(next(model.parameters()).device.type, computed.dtype)):
        log.warning("%s: its first %d layers are computed every time: stored states differ by %.1e",
                    type(inner(model)).__name__, cut, apart)  # fmt: skip
        yield
        return
    with reading(model, list(layers_of(model)[:cut]), tuples, states):
        yield
