"""Rewrite the tables of docs/recipes.md from the recipe's schema: python scripts/recipe_table.py [--check]."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from w2s_pref.core.strict import ReportSection
from w2s_pref.data.config import DataConfig, Sizes
from w2s_pref.data.sources import Source
from w2s_pref.labels.make import LabelConfig, RefineConfig
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.spec import ModelSpec
from w2s_pref.monitor.config import MonitorConfig
from w2s_pref.studies.preferences.config import AnalysisConfig, BootstrapConfig, ConflictConfig, SpeechConfig
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.preferences.supervisors import SupervisorConfig
from w2s_pref.training.arguments import DEFAULTS, NOT_IN_KEY
from w2s_pref.training.methods import MethodConfig
from w2s_pref.training.refused import NEVER_WHOLE, OURS, OURS_OF

PAGE = Path(__file__).parent.parent / "docs" / "recipes.md"
START, END = "<!-- recipe tables: start -->", "<!-- recipe tables: end -->"

#: Heading -> (prefix of the keys, section of the schema).
SECTIONS: dict[str, tuple[str, type[BaseModel]]] = {
    "Top level": ("", Recipe),
    "data": ("data.", DataConfig),
    "data.splits": ("data.splits.", Sizes),
    "A source: data.target and data.conflict, or one below each split": ("", Source),
    "models.NAME": ("", ModelSpec),
    "methods.NAME": ("", MethodConfig),
    "supervisors.NAME": ("", SupervisorConfig),
    "labels": ("labels.", LabelConfig),
    "labels.refine": ("labels.refine.", RefineConfig),
    "loss": ("loss.", LossSpec),
    "conflict": ("conflict.", ConflictConfig),
    "bootstrap": ("bootstrap.", BootstrapConfig),
    "speech": ("speech.", SpeechConfig),
    "monitor": ("monitor.", MonitorConfig),
    "analysis": ("analysis.", AnalysisConfig),
    "report": ("report.", ReportSection),
}

#: Meanings of keys that the schema leaves to their names, and where a section has a table of its own.
MEANINGS = {
    "seeds": "every model is trained once with each; a seed draws the head and the order of the pairs",
    "data": "see below, and [data](data.md)",
    "models": "name → model, see below; `models.ladder: [a, b, …]` names them by the last part of their paths",
    "methods": "see below, and [policies](policies.md)",
    "speech": "see below, and [policies](policies.md)",
    "monitor": "see below, and [monitor](monitor.md); off where it is not given",
    "labels": "see below, and [labels](labels.md)",
    "loss": "see below, and [losses](losses.md)",
    "conflict": "see below, and [conflict](conflict.md)",
    "bootstrap": "see below, and [bootstrapping](bootstrapping.md)",
    "analysis": "see below, and [analysis](analysis.md)",
    "report": "see below, and [extend](extend.md)",
    "analysis.known_rule": "known: the true answer gets at least T, or either answer does",
    "analysis.seed": "of the resampling, not of any model",
}


def tables() -> str:
    """The block between the two marks."""
    parts = [_section(heading, *section) for heading, section in SECTIONS.items()]
    return "\n\n".join([*parts, _defaults(), _ours()])


def page(text: str) -> str:
    """The page with its block written anew."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{tables()}\n\n{END}{after}"


def _section(heading: str, prefix: str, section: type[BaseModel]) -> str:
    rows = [(f"`{prefix}{name}`", _default(field), _meaning(prefix + name, field)) for name, field in _fields(section)]
    return f"### {heading}\n\n" + _table(("key", "default", "meaning"), rows)


def _fields(section: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return list(section.model_fields.items())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "the defaults below"
    return "" if value is None or value in ("", {}, []) else f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    return str(value)


def _meaning(key: str, field: FieldInfo) -> str:
    text = field.description or MEANINGS[key]
    choices = _choices(field.annotation)
    return f"{text} ({', '.join(f'`{choice}`' for choice in choices)})" if choices else text


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    inner = [_choices(part) for part in get_args(annotation)]
    return next((choices for choices in inner if choices), ())


def _defaults() -> str:
    rows = [(f"`{n}`", f"`{_number(v)}`", "no" if n in NOT_IN_KEY else "yes") for n, v in DEFAULTS.items()]
    return "### training: what is set unless you set it\n\n" + _table(("argument", "default", "part of the key"), rows)


def _number(value: Any) -> str:
    return f"{value:.1e}" if isinstance(value, float) and 0 < value < 1e-3 else _yaml(value)


def _ours() -> str:
    rows = [(f"`{name}`", instead) for name, instead in OURS.items()]
    for kind, where in (("dpo", "policies on pairs"), ("rloo", "RLOO, GRPO")):
        rows += [(f"`{name}` ({where})", instead) for name, instead in OURS_OF[kind].items()]
    never = ", ".join(f"`{word}`" for word in NEVER_WHOLE)
    rows.append((f"`optim` with {never}", "it updates weights before a whole effective batch"))
    return "### training: arguments that are refused\n\n" + _table(("argument", "why, or what instead"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def main() -> int:
    """Write the page, or with --check say whether it is current."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--check" in sys.argv[1:]:
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
