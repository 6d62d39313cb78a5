"""The resolved recipe as YAML text that can be saved and run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

from w2s_pref.report.draw.format import plain


def recipe_text(recipe: Mapping[str, Any]) -> str:
    """The recipe in its own order. Floats are written so that YAML reads them as numbers again (``1.0e-06``)."""
    simple = json.loads(json.dumps(dict(recipe), default=str))
    return plain(yaml.safe_dump(simple, sort_keys=False, allow_unicode=True, width=100))
