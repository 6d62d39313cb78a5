"""What a model's path means, and what is said of one that leads nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.models.spec import resolve


def said(path: str, base: Path) -> str:
    with pytest.raises(W2SError) as caught:
        resolve(path, base)
    return str(caught.value)


def test_a_near_name_is_offered(tmp_path: Path) -> None:
    (tmp_path / "smollm2-135m-instruct").mkdir()
    (tmp_path / "a.gguf").write_bytes(b"")
    for path in ("./smollm2-135m-instuct", f"{tmp_path}/smollm2-135m-instuct"):
        assert said(path, tmp_path).endswith("; did you mean 'smollm2-135m-instruct'?")
    assert said("b.gguf", tmp_path).endswith(
        f"no such file (looked in {tmp_path} and the working directory); did you mean 'a.gguf'?"
    )


def test_an_absolute_path_is_looked_for_in_one_place(tmp_path: Path) -> None:
    for path in (f"{tmp_path}/none/here", "~/none/nowhere"):
        assert "looked in" not in said(path, tmp_path)
        assert "give the path of a model's folder" in said(path, tmp_path)
    assert f"looked in {tmp_path} and the working directory" in said("./none", tmp_path)


def test_how_to_get_the_small_models(tmp_path: Path) -> None:
    for path in ("../../runs/models/mpnet", f"{tmp_path}/runs/models/mpnet", "a/runs/models/mpnet"):
        assert "`bash scripts/get_models.sh runs/models`" in said(path, tmp_path)


def test_the_ladder_is_no_model(tmp_path: Path) -> None:
    assert "write ladder/NAME, one of xxs, xs" in said("ladder", tmp_path)
    assert resolve("gpt2", tmp_path) is None
