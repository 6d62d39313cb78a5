"""The training rows in memory, and the effective batch: what all micro-batches and processes of a step share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import DistributedType
from accelerate.utils.memory import clear_device_cache
from datasets import Dataset
from torch import Tensor, nn

from w2s_pref.losses import named as losses
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.batches import Row, RowBatch, budget, collate, layout_of, row_length, training_layout
from w2s_pref.models.batches.read import counting
from w2s_pref.training.callbacks import TokenCount
from w2s_pref.training.raven import SupervisorWeights

if TYPE_CHECKING:
    from transformers import Trainer as Base
else:
    Base = object


@dataclass(frozen=True)
class AtOnce:
    """The most that goes through the model at once: memory and time depend on it, no result does.

    Attributes:
        tokens: computed tokens, padding included; None for what suits the model and its device.
        rows: rows (pairs, items); None for any number.
    """

    tokens: int | None = None
    rows: int | None = None


class EffectiveBatch(Base):  # type: ignore[misc]
    """A mixin in front of a TRL trainer: the loss is the exact weighted mean over the effective batch.

    The Trainer's "batch" is all rows that this process gets of an effective batch, and it accumulates nothing.
    They go through the model in micro-batches of similar length under a token budget, and the mean runs over
    the rows of all of them and of all processes (by weight), so that no split changes the gradient. A loss that ranks
    does so over the same rows. A trainer says what its margin and its losses are: ``_margin`` and ``_losses``.
    """

    student: LossSpec

    def __init__(
        self,
        *args: Any,
        rows: TrainingSet,
        at_once: AtOnce | None = None,
        raven: SupervisorWeights | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, train_dataset=rows.dataset, data_collator=rows.collate, **kwargs)
        self._at_once = at_once or AtOnce()
        self._pad_id = self.processing_class.pad_token_id
        # torch_compile: the whole model (a trainer that compiles layers one by one is not told so)
        again = self.args.activation_checkpointing or self.args.torch_compile
        plain = not (again or self.is_fsdp_enabled or self.is_deepspeed_enabled)
        # adapters of quantized models are bfloat16 over float32: such a model can be read under autocast alone
        mixed = len({weight.dtype for weight in self.model.parameters() if weight.is_floating_point()}) > 1
        with self.accelerator.autocast() if mixed else nullcontext():
            self._layout = (training_layout if plain else layout_of)(self.model, self._pad_id, rows.longest)
        self.counted = TokenCount()
        self.add_callback(self.counted)
        self._raven = raven
        if raven is not None:
            self.add_callback(raven)

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """The rows are ready."""
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["row", "tokens"]

    def _margin(self, model: nn.Module, batch: RowBatch, numbers: dict[str, Tensor]) -> Tensor:
        """Margins of a micro-batch, shape (R,)."""
        raise NotImplementedError

    def _losses(self, model: nn.Module, batch: RowBatch, numbers: dict[str, Tensor]) -> Tensor:
        """Losses of a micro-batch, shape (R,)."""
        raise NotImplementedError

    def training_step(
        self, model: nn.Module, inputs: dict[str, ProcessBatch], num_items_in_batch: Any = None
    ) -> Tensor:
        """Gradients of the whole effective batch, synchronised once; returns this process's part of the loss.

        The mean of that over processes is the loss of the effective batch.
        """
        own = inputs["batch"]
        parts, total = self._parts(own)
        loss = torch.zeros((), device=self.args.device)
        with self.maybe_activation_offload_context, counting() as seen:
            if self.student.ranks:
                self._attach_hardened(model, own, parts)
            model.train()
            if callable(getattr(self.optimizer, "train", None)):  # schedule-free optimizers
                self.optimizer.train()
            for number, part in enumerate(parts, 1):
                loss += self._backward(model, own, part, total, last=number == len(parts))
        self.counted.add(own.tokens, seen.positions)
        every = self.args.torch_empty_cache_steps
        if every is not None and self.state.global_step % every == 0:
            clear_device_cache()
        return loss

    def _parts(self, own: ProcessBatch) -> tuple[list[list[int]], float]:
        """Micro-batches, as numbers of rows, and the weight of the effective batch over all processes.

        Every process makes as many micro-batches as the one with most of them, for sharded models meet in every
        forward pass. Rows of weight 0 are left out, unless there are too few others to make that many.
        """
        lengths = [row_length(row, self._layout) for row in own.rows]
        if self._raven is not None:
            own.numbers["weight"] = self._raven.counted(own.numbers, self._progress)
        weight = own.numbers["weight"]
        there = weight.nonzero().flatten().tolist()
        parts = self._split(there or [0], lengths)
        total, most = weight.sum().item(), len(parts)
        if self.accelerator.num_processes > 1:
            here = torch.tensor([[total, most]], dtype=torch.float64, device=self.args.device)
            everyone = self.accelerator.gather(here).cpu()
            total, most = everyone[:, 0].sum().item(), int(everyone[:, 1].max())
        return _as_many(parts, most, lengths), total or 1.0  # no row may count: then there is nothing to learn

    def _split(self, rows: list[int], lengths: list[int]) -> list[list[int]]:
        if self._at_once.tokens is None:  # asked for once: free memory is another number in the middle of a step
            self._at_once = AtOnce(
                budget.tokens_at_once(self.model, self.optimizer, self._layout == "packed"), self._at_once.rows
            )
        assert self._at_once.tokens is not None
        sizes, overhead = [lengths[row] for row in rows], budget.overhead(self.model)
        groups = budget.split(sizes, self._at_once.tokens, overhead, padded=self._layout != "packed")
        most = self._at_once.rows or len(rows)
        return [[rows[at] for at in group[start : start + most]] for group in groups
                for start in range(0, len(group), most)]  # fmt: skip

    def _micro_batch(self, own: ProcessBatch, part: list[int]) -> tuple[RowBatch, dict[str, Tensor]]:
        """Some rows of this process and their numbers, on the model's device."""
        batch = collate([own.rows[row] for row in part], self._pad_id, self._layout)
        numbers = {name: column[part].to(self.args.device) for name, column in own.numbers.items()}
        return batch.to(self.args.device), numbers

    def _backward(self, model: nn.Module, own: ProcessBatch, part: list[int], total: float, last: bool) -> Tensor:
        """Add a micro-batch's gradients: its weighted sum over the weight of the whole effective batch."""
        self.accelerator.sync_gradients = last  # DeepSpeed updates the weights at the end of the last backward pass
        with self._unsynchronised(model, last):
            batch, numbers = self._micro_batch(own, part)
            with self.compute_loss_context_manager():
                losses = self._losses(model, batch, numbers)
                loss: Tensor = (numbers["weight"] * losses).sum() / total * self.accelerator.num_processes
            self.accelerator.backward(loss)
        return loss.detach()

    def _unsynchronised(self, model: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Gradients wait for the last micro-batch, as in the Trainer's own loop."""
        each = self.accelerator.gradient_state.plugin_kwargs.get("sync_each_batch", False)
        if last or each or self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            return nullcontext()
        waiting: AbstractContextManager[None] = self.accelerator.no_sync(model)
        return waiting

    @torch.no_grad()
    def _attach_hardened(self, model: nn.Module, own: ProcessBatch, parts: list[list[int]]) -> None:
        """Rank the student's margins over the effective batch, before any of it is trained on."""
        model.eval()
        margins = torch.zeros(len(own), device=self.args.device)
        for part in parts:
            with self.compute_loss_context_manager():
                margins[part] = self._margin(model, *self._micro_batch(own, part))
        columns = [own.numbers[name].to(self.args.device) for name in ("p", "weight")]
        everyone = self.accelerator.gather(torch.stack([margins, *columns], dim=1))
        hardened = losses.harden(self.student, everyone[:, 0], everyone[:, 1], everyone[:, 2])
        start = self.accelerator.process_index * len(own)
        own.numbers["hardened"] = hardened[start : start + len(own)].cpu()

    def _labelled(
        self, margin: Tensor, numbers: dict[str, Tensor], own: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """The student's loss against the labels, (R,); ``own``: the method's loss of a target (``losses.loss``)."""
        p = numbers["p"] if self._raven is None else self._raven.label(numbers)
        return losses.loss(self.student, margin, p, self._progress, numbers.get("hardened"), own)

    @property
    def _progress(self) -> float:
        """Share of the training done."""
        return float(self.state.global_step / max(1, self.state.max_steps))

    def totals(self) -> dict[str, int]:
        """Tokens of the whole training, over all processes; every process must call."""
        self.counted.sum_up(self.accelerator)
        return {"tokens": self.counted.tokens, "forward_tokens": self.counted.forward_tokens}

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self.counted.sum_up(self.accelerator)
        super()._save_checkpoint(model, trial)


def _as_many(parts: list[list[int]], most: int, lengths: list[int]) -> list[list[int]]:
    """The micro-batches of this process, made ``most`` by halving the largest again and again.

    Where none has two rows, one more is a row of weight 0 that no micro-batch holds, in the order of the rows.
    """
    parts = [*parts]
    held = {row for part in parts for row in part}
    others = iter([row for row in range(len(lengths)) if row not in held])
    while len(parts) < most:
        largest = max(parts, key=lambda part: (len(part) > 1) * len(part) * max(lengths[row] for row in part))
        if len(largest) == 1:
            parts.append([next(others)])
            continue
        parts.remove(largest)
        middle = len(largest) // 2
        parts += [largest[:middle], largest[middle:]]
    return parts


@dataclass(frozen=True)
class ProcessBatch:
    """The rows of an effective batch that one process gets.

    No mapping and no list, so that neither the Trainer nor accelerate walks through every token id of it.

    Attributes:
        rows: raw rows.
        numbers: columns of one number a row, each of shape (rows,), float32, on the CPU; ``weight`` is one of them.
    """

    rows: list[Row]
    numbers: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def tokens(self) -> int:
        """Tokens of all texts of the rows that count, a prompt once for every answer."""
        real = self.numbers["weight"].tolist()
        return sum(len(text) for row, weight in zip(self.rows, real, strict=True) if weight for text in row.texts)


class TrainingSet:
    """The training set, filled up with rows of weight 0 to a multiple of the effective batch.

    Without the fill the last batch of an epoch would be shared differently by different numbers of processes. The
    empty rows copy the shortest one, so they cost next to nothing, and fall anywhere in the shuffled order.
    """

    def __init__(
        self,
        texts: Sequence[Sequence[Sequence[int]]],
        numbers: Mapping[str, Sequence[float]],
        batch_size: int,
        starts: Sequence[Sequence[int]] = (),
        values: Sequence[Sequence[np.ndarray]] = (),
    ) -> None:
        """Keep the lists as they are: nothing is copied.

        Args:
            texts: token ids of the first text of every row and, for pairs, those of the second.
            numbers: columns of one number a row; ``weight`` is added.
            starts: where the responses begin, as ``texts``; empty where nobody reads it.
            values: numbers of the response tokens, as ``texts``; empty where nobody reads them.
        """
        rows = len(texts[0])
        shortest = min(range(rows), key=lambda row: sum(len(ids[row]) for ids in texts))
        self._texts, self._starts, self._values = texts, starts, values
        self._at = [*range(rows), *([shortest] * (-rows % batch_size))]
        self._numbers = {name: torch.tensor(values, dtype=torch.float)[self._at] for name, values in numbers.items()}
        self._numbers["weight"] = (torch.arange(len(self._at)) < rows).float()

    @property
    def dataset(self) -> Dataset:
        """What the Trainer shuffles: numbers of rows (``row``), and for whoever asks ``tokens`` of their texts."""
        tokens = [sum(len(ids[at]) for ids in self._texts) for at in self._at]
        return Dataset.from_dict({"row": list(range(len(self._at))), "tokens": tokens})

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text of a pair; None for items, which need no mask of ours however long they are."""
        if len(self._texts) == 1:
            return None
        return max(len(ids) for texts in self._texts for ids in texts)

    def collate(self, examples: list[dict[str, int]]) -> dict[str, ProcessBatch]:
        """The collator: from numbers of rows to the rows and their columns, as ``batch``."""
        numbers = [example["row"] for example in examples]
        columns = {name: column[numbers] for name, column in self._numbers.items()}
        return {"batch": ProcessBatch([self._row(number) for number in numbers], columns)}

    def _row(self, number: int) -> Row:
        at = self._at[number]
        texts, starts = tuple(ids[at] for ids in self._texts), tuple(start[at] for start in self._starts)
        return Row(texts, starts, tuple(each[at] for each in self._values))
