"""``w2s inspect data``: what a model reads of a split, token by token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import nearest

if TYPE_CHECKING:
    from rich.console import Console


def show_data(
    recipe_path: Path, overrides: list[str], split: str, model: str | None, rows: int, console: Console
) -> None:
    """Print ``rows`` pairs of a split as the model's tokenizer sees them.

    Raises:
        W2SError: no such split or model, or everything that is wrong with recipe and data.
    """
    from w2s_pref.data.inspect import render_counts, show, show_items
    from w2s_pref.models.load import load_tokenizer
    from w2s_pref.models.spec import resolve
    from w2s_pref.studies.run import open_recipe

    opened = open_recipe(recipe_path, overrides)
    study = opened.study
    if split not in study.rows:
        raise W2SError(f"--split {split!r}: {nearest(split, list(study.rows))}")
    name = model or next(iter(study.models), "")
    if name not in study.models:
        raise W2SError(f"--model {name!r}: {nearest(name, list(study.models))}")
    spec = study.models[name].spec
    tokenizer = load_tokenizer(resolve(spec.path, opened.base) or spec.path, spec.pad_token)
    tokens, frame = study.tokens, study.rows[split].frame
    console.print(render_counts(opened.prepared.splits, opened.prepared.counts))
    title = f"{split} as {name} sees it"
    if (frame["form"] == "item").all():
        show_items(frame, tokenizer, tokens["max_length"], rows, console, title)
        return
    show(frame, tokenizer, tokens["max_length"], tokens["overlong"], rows, console, title)
