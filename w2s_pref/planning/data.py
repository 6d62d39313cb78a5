"""The data before a run: what a model reads of a split, token by token, and what every task leaks (``w2s audit``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from w2s_pref.analysis.leaks.audit import Audit, audit
from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import nearest
from w2s_pref.core.text_table import TextTable
from w2s_pref.data.control import text_stays_text
from w2s_pref.data.inspect import safe
from w2s_pref.data.tasks.load import LoadedTask, load
from w2s_pref.data.tasks.show import configs

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
    from w2s_pref.models.load import spec_tokenizer
    from w2s_pref.studies.run import open_recipe

    opened = open_recipe(recipe_path, overrides)
    study = opened.study
    if split not in study.rows:
        raise W2SError(f"--split {split!r}: {nearest(split, list(study.rows))}")
    name = model or next(iter(study.models), "")
    if name not in study.models:
        raise W2SError(f"--model {name!r}: {nearest(name, list(study.models))}")
    tokenizer = spec_tokenizer(study.models[name].spec, opened.base)
    tokens, frame = study.tokens, study.rows[split].frame
    console.print(render_counts(opened.prepared.splits, opened.prepared.counts))
    title = f"{split} as {name} sees it"
    if (frame["form"] == "item").all():
        show_items(frame, tokenizer, tokens["max_length"], rows, console, title)
        return
    with text_stays_text(getattr(study, "text_stays_text", False)):
        show(frame, tokenizer, tokens["max_length"], tokens["overlong"], rows, console, title)


def audit_tasks(what: str, path: Sequence[str], seed: int, console: Console) -> list[dict[str, Any]]:
    """Audit every task that ``what`` names, print a table a task, and return the audits as plain values."""
    chosen, base = configs(what, path)
    done = []
    for config in chosen:
        loaded = load(config, base)
        found = audit(loaded.frame, seed)
        console.print(audit_table(found, loaded))
        done.append(asdict(found) | {"counts": loaded.counts, "warnings": found.warnings})
    return done


def audit_table(found: Audit, loaded: LoadedTask) -> RenderableType:
    """Probes as a table, then what the table of items is like, then the warnings."""
    size = f"{found.rows:,} items, {found.groups:,} groups, {found.positives:.0%} positive"
    table = TextTable(title=Text(f"{safe(found.task)}: {size}"), caption_justify="left", title_justify="left")
    for title in ("probe", "accuracy", "95 %", "shuffled labels below", "verdict"):
        table.add_column(title, justify="left" if title in ("probe", "verdict") else "right")
    for probe in found.probes:
        style = {"leak": "bold red", "signal": "yellow"}.get(probe.verdict, "")
        span = f"{probe.low:.3f} … {probe.high:.3f}"
        table.add_row(probe.name, f"{probe.accuracy:.3f}", span, f"{probe.null:.3f}", Text(probe.verdict, style=style))
    looked = "" if found.probed == found.rows else f"probed {found.probed:,} items; "
    notes = [f"{name.replace('_', ' ')} {share:.1%}" for name, share in found.defects.items()]
    counts = [f"{key.replace('dropped.', '').replace('_', ' ')} {count:,}" for key, count in loaded.counts.items()]
    lines = [Text(looked + ", ".join(notes)), Text("read: " + ", ".join(counts))]
    warnings = [Text(f"warning: {safe(sentence)}", style="bold red") for sentence in found.warnings]
    return Group(table, *lines, *(warnings or [Text("no warning")]))
