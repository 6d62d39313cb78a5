"""vLLM generates only in a version that TRL supports; otherwise a sentence says so."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.training import online

UNSUPPORTED = (
    "TRL currently supports vLLM versions from 0.22.0 to 0.31.0. You have version 0.1.0 installed. We recommend "
    "installing a supported version to avoid compatibility issues."
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with or without a GPU and vLLM; ``warning``: what TRL says of its version."""

    def make(gpu: bool, installed: bool, warning: str | None = None) -> None:
        def available() -> bool:
            if installed and warning:
                warnings.warn(warning, stacklevel=2)
            return installed

        monkeypatch.setattr(online.torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(online, "find_spec", lambda name: object() if installed else None)
        monkeypatch.setattr(online, "is_vllm_available", available)

    return make


def test_a_supported_version_is_used_where_a_gpu_is(machine: Any) -> None:
    machine(gpu=True, installed=True)
    assert online._vllm({}) == {"use_vllm": True, "vllm_mode": "colocate"}
    assert online._vllm({"use_vllm": False}) == {}
    assert online._vllm({"use_vllm": True}) == {}  # the recipe's own word stands
    machine(gpu=False, installed=True)
    assert online._vllm({}) == {}


def test_another_version_is_left_alone_and_said(machine: Any, caplog: pytest.LogCaptureFixture) -> None:
    machine(gpu=True, installed=True, warning=UNSUPPORTED)
    with caplog.at_level(logging.WARNING):
        assert online._vllm({}) == {}
    assert "from 0.22.0 to 0.31.0. You have version 0.1.0 installed; transformers generates the answers" in caplog.text
    with pytest.raises(W2SError, match=r"use_vllm: TRL currently supports .* install one of those, or leave use_vllm"):
        online._vllm({"use_vllm": True})


def test_asked_for_and_not_there(machine: Any) -> None:
    machine(gpu=True, installed=False)
    assert online._vllm({}) == {}
    with pytest.raises(W2SError, match="use_vllm: vLLM is not installed"):
        online._vllm({"use_vllm": True})
