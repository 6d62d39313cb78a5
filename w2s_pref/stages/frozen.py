"""The states behind frozen layers, kept beside the store's artifacts: computed once for all students of a model.

They are a cache, not an artifact: deleting the store's folder ``states`` changes no result beyond rounding, and no key.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_pref.core.files import by_umask, own_name
from w2s_pref.core.tables import canonical, digest
from w2s_pref.engine.stage import Builder
from w2s_pref.models.info import ModelFacts
from w2s_pref.parallel.world import division
from w2s_pref.stages.rows import Rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from w2s_pref.models.batches import Row

#: Raised when the states of the same model and texts would be others.
VERSION = 1


def frozen_layers(facts: ModelFacts) -> int:
    """Layers that ``freeze_layers`` or ``freeze_backbone`` leave as they are, from the first on; 0 for none.

    Random layers (``from_config``) are drawn from a seed, so no other student has them: they count as none.
    """
    if facts.spec.from_config is not None:
        return 0
    if facts.spec.freeze_backbone:
        return int(facts.config.get("num_hidden_layers") or facts.config.get("n_layer") or 0)
    return facts.spec.freeze_layers or 0


def states_key(facts: ModelFacts, rows: Rows, tokens: dict[str, Any]) -> str:
    """Hash of what decides the states: model, cut, texts, token limits. Not the seed: frozen layers are not drawn."""
    model = {"weights": facts.hash, "tokenizer": facts.tokenizer_hash, "cut": frozen_layers(facts)}
    said = facts.spec.model_dump(include={"dtype", "pad_token", "quantization", "trust_remote_code"})
    return digest("states", str(VERSION), canonical([model, said, tokens]), rows.texts)


@contextmanager
def reading_states(
    builder: Builder,
    facts: ModelFacts,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Rows],
    tokens: dict[str, Any],
) -> Iterator[None]:
    """Within the block the model reads the states of these pairs, or items, instead of computing its frozen layers.

    The first to come writes them. Nothing happens where no layer is frozen, or where a launch divides the model.
    """
    cut = frozen_layers(facts)
    if not cut or division() is not None:
        yield
        return
    from w2s_pref.models.states import read, read_by

    folders = list(dict.fromkeys(_folder(builder, facts, each, tokens) for each in rows))
    for folder, each in {_folder(builder, facts, each, tokens): each for each in rows}.items():
        if builder.world.main and not folder.is_dir():
            _write(folder, cut, model, tokenizer, each, tokens)
        builder.world.barrier()
    with read_by(model, cut, read(folders), tokenizer.pad_token_id):
        yield


def _folder(builder: Builder, facts: ModelFacts, rows: Rows, tokens: dict[str, Any]) -> Path:
    return builder.store.root / "states" / states_key(facts, rows, tokens)


def _write(
    folder: Path,
    cut: int,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Rows,
    tokens: dict[str, Any],
) -> None:
    """Both files at once or none; where another process was faster, its own."""
    from w2s_pref.models.load import placed
    from w2s_pref.models.states import write

    fresh = folder.with_name(own_name(folder.name))
    fresh.mkdir(parents=True)
    try:
        write(placed(model), cut, _distinct(rows, tokenizer, tokens), tokenizer.pad_token_id, fresh)
        by_umask(fresh)
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _distinct(rows: Rows, tokenizer: PreTrainedTokenizerBase, tokens: dict[str, Any]) -> list[Row]:
    """Each distinct text once: both answers of pairs, or items of a task, as their models read them."""
    from w2s_pref.data.tokens import item_ids, tokenize
    from w2s_pref.models.batches import Row
    from w2s_pref.models.batches.each import distinct, pair_rows

    if (rows.frame["form"] == "item").all():
        texts, _ = distinct(map(tuple, item_ids(rows.frame["prompt"].tolist(), tokenizer, tokens["max_length"])))
        return [Row((ids,)) for ids in texts]
    return pair_rows(tokenize(rows.frame, tokenizer, **tokens))[0]
