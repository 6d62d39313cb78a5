"""What a model's small files say that would fail only when training starts: broken JSON, no pad token of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from w2s_pref.core.errors import W2SError
from w2s_pref.models.spec import ModelSpec


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        W2SError: it is not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise W2SError(f"{what}: {path} is not readable JSON ({error}); copy or download it again") from error
    if not isinstance(value, dict):
        raise W2SError(f"{what}: {path} should hold a JSON object; copy or download it again")
    return value


def check_pad(spec: ModelSpec, folder: Path) -> None:
    """Refuse a tokenizer without a pad token of its own.

    Its configuration answers for most; only where that is silent (a class may have a default) is it loaded.

    Raises:
        W2SError: no pad token, or the same as eos.
    """
    named: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            named |= read_json(folder / name, f"model {spec.path!r}")
    pad, eos = (_text(named.get(key)) for key in ("pad_token", "eos_token"))
    pad = spec.pad_token or pad
    if pad is not None and eos is not None and pad != eos:
        return
    from w2s_pref.models.load import load_tokenizer

    load_tokenizer(folder, spec.pad_token, trust_remote_code=spec.trust_remote_code)


def _text(token: Any) -> str | None:
    """A special token as text: files hold either that or a mapping with ``content``."""
    value = token.get("content") if isinstance(token, dict) else token
    return value if isinstance(value, str) else None
