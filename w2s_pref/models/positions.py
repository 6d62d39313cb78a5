"""What the configuration of a model says it can do: how long its texts may be, and which heads exist for its kind."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

#: Kinds with a learned (or fixed) table of positions, and how many of its rows are no position: there, a longer text is
#: an index out of range. All others compute positions as they go.
TABLES = {
    **dict.fromkeys(
        ("gpt2", "opt", "bert", "distilbert", "electra", "gpt_neo", "albert", "openai-gpt", "gpt_bigcode"), 0
    ),
    **dict.fromkeys(("biogpt", "gptj", "codegen", "convbert"), 0),
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "roberta-prelayernorm"), 2),
}


def positions(config: Mapping[str, Any]) -> int | None:
    """The longest text in tokens, special tokens included; None where the kind of model sets no end."""
    kind, rows = config.get("model_type"), context(config)
    return None if kind not in TABLES or rows is None else rows - TABLES[kind]


def context(config: Mapping[str, Any]) -> int | None:
    """Tokens that a model was made for, whatever its kind; None where its configuration names no number."""
    own = config.get("text_config") or config
    rows = next((own[key] for key in ("max_position_embeddings", "n_positions") if own.get(key)), None)
    return rows if isinstance(rows, int) else None


def has_class(kind: str, head: str) -> bool | None:
    """Whether transformers has a model of this kind with that head; None where that cannot be known.

    Args:
        head: as in the names of its tables: ``SEQUENCE_CLASSIFICATION``, ``CAUSAL_LM``.
    """
    known = _kinds(head)
    return kind in known if known else None


@cache
def _kinds(head: str) -> frozenset[str]:
    """Kinds in transformers' own table, read from its source: importing it takes seconds, and a plan has few."""
    found = importlib.util.find_spec("transformers")
    places = found.submodule_search_locations if found is not None else None
    file = Path(next(iter(places or [""]))) / "models" / "auto" / "modeling_auto.py"
    if not file.is_file():
        return frozenset()
    table = re.search(rf"^MODEL_FOR_{head}_MAPPING_NAMES\b.*?^\)", file.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return frozenset(re.findall(r'^\s+\("([^"]+)", ', table.group(), re.MULTILINE)) if table else frozenset()
