"""A tokenizer is read as the recipe says of its model, whoever asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from transformers import AutoModelForCausalLM

from w2s_pref.core.errors import W2SError
from w2s_pref.models import load
from w2s_pref.models.load import load_spec, spec_tokenizer
from w2s_pref.models.spec import ModelSpec
from w2s_pref.planning.data import show_data

Asked = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What transformers was asked for."""
    calls: Asked = []
    read = load.AutoTokenizer.from_pretrained

    def from_pretrained(path: str | Path, **options: Any) -> Any:
        calls.append((str(path), options))
        if str(path) == "owner/name":
            raise OSError("not here")
        return read(path, **options)

    monkeypatch.setattr(load.AutoTokenizer, "from_pretrained", from_pretrained)
    monkeypatch.setattr(load, "hub_snapshot", lambda *_: None)
    return calls


def test_a_hub_model_is_read_at_its_revision_in_training_and_before_it(asked: Asked) -> None:
    spec = ModelSpec(path="owner/name", revision="v1", trust_remote_code=True)
    for read in (
        lambda: spec_tokenizer(spec, Path()),
        lambda: load_spec(spec, Path(), 0, AutoModelForCausalLM),
    ):
        with pytest.raises(W2SError, match="owner/name"):
            read()
    assert asked == [("owner/name", {"trust_remote_code": True, "revision": "v1"})] * 2


def test_inspection_reads_a_tokenizer_as_training_does(asked: Asked, tmp_path: Path) -> None:
    recipe = {
        "name": "look",
        "data": {"target": {"source": "testbed", "objective": "harmless"}, "splits": {"gt": 20, "w2s": 20, "test": 20}},
        "models": {"weak": {"path": "ladder/xxs", "trust_remote_code": True}, "strong": {"path": "ladder/xs"}},
        "conflict": {"settings": ["none"]},
    }
    (tmp_path / "look.yaml").write_text(yaml.safe_dump(recipe))
    console = Console(width=120, record=True, quiet=True)
    show_data(tmp_path / "look.yaml", [f"output={tmp_path}/runs"], "w2s", "weak", 1, console)
    path, options = asked[-1]
    assert Path(path).name == "xxs"
    assert options == {"trust_remote_code": True}
