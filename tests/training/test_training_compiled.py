"""``torch_compile``: layers compiled for any shape, the same weights and losses, and the model afterwards as before."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t
from conftest import make_model, make_tokenizer
from test_training_micro_batches import ARGUMENTS, Stop, job, texts, train
from torch._dynamo.testing import CompileCounterWithBackend
from trl import RewardConfig

from w2s_pref.core.errors import W2SError
from w2s_pref.losses.pairs import PairObjective
from w2s_pref.models import states
from w2s_pref.models.batches import Row
from w2s_pref.models.frozen import freeze, layers_of
from w2s_pref.training.arguments import merged
from w2s_pref.training.compiled import GRAPHS, Compiler, _say, compilable, compiled, take
from w2s_pref.training.policy import PolicyJob, fit_policy
from w2s_pref.training.trainer import Batch, configuration

COMPILED = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
#: Float32 adds in another order where it is compiled; one row weighed twice shows at 1e-3.
CLOSE = 1e-6
#: Graphs are made and run as they are: a second less a test.
EAGER = {"torch_compile": True, "torch_compile_backend": "eager"}


def llama(**changes: Any) -> Any:
    """Three layers, the first two of which are compiled."""
    return make_model(layers=3, **changes)


def compiled_layers(model: torch.nn.Module) -> list[int]:
    """Numbers of the layers that a call would run compiled."""
    return [at for at, layer in enumerate(layers_of(model)) if "_compiled_call_impl" in vars(layer)]


class Watch:
    """Notes which layers are compiled while a model trains, as the job's ``progress``."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self.seen: list[int] = []

    def __call__(self, step: int, _: int) -> None:
        self.seen = compiled_layers(self._model)


@pytest.mark.parametrize("layout", ["shared", "packed"])
def test_rewards_are_trained_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    if layout == "packed":
        monkeypatch.setattr("w2s_pref.models.batches.layout.PACKED_FROM", 1)
    plain, losses, done = train(tmp_path / "plain", job(32, micro_batch_tokens=90), llama())
    model, work = llama(), job(32, micro_batch_tokens=90, **COMPILED)
    work.progress = watch = Watch(model)
    names, limit = list(model.state_dict()), torch._dynamo.config.recompile_limit
    found, others, again = train(tmp_path / "compiled", work, model)
    assert (found - plain).abs().max() <= CLOSE
    assert others == pytest.approx(losses, abs=CLOSE)
    assert again["forward_tokens"] == done["forward_tokens"]  # packed as before
    assert watch.seen == [0, 1]
    assert compiled_layers(model) == []
    assert (list(model.state_dict()), torch._dynamo.config.recompile_limit) == (names, limit)


def test_policies_are_trained_the_same(tmp_path: Path) -> None:
    (a, b), found = (texts(16, 1), texts(16, 2)), []
    for name, more in (("plain", {}), ("compiled", COMPILED)):
        torch.manual_seed(0)
        model = t.LlamaForCausalLM(llama().config)
        columns = {"p": [row / 16 for row in range(16)], "ref_a": [-20.0] * 16, "ref_b": [-21.0] * 16,
                   "sign": [1.0] * 16}  # fmt: skip
        work = PolicyJob(a, b, [2] * 16, [2] * 16, columns, PairObjective("dpo"), seed=3,
                         arguments=merged(ARGUMENTS, {"micro_batch_tokens": 90}, more))  # fmt: skip
        work.progress = watch = Watch(model)
        done = fit_policy(model, make_tokenizer(), work, tmp_path / name / "work", tmp_path / name / "saved")
        assert watch.seen == ([0, 1] if more else [])
        found.append((torch.cat([weight.detach().flatten() for weight in model.parameters()]), done["history"]))
    (plain, losses), (other, others) = found
    assert (other - plain).abs().max() <= CLOSE
    assert [each["loss"] for each in others] == pytest.approx([each["loss"] for each in losses], abs=CLOSE)


def test_few_graphs_serve_all_shapes_and_the_next_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after attention, of the first layer and of those that get its outputs; no shape asks for one more."""
    monkeypatch.setattr("w2s_pref.models.batches.layout.PACKED_FROM", 1)
    torch._dynamo.reset()
    counter, made = CompileCounterWithBackend("eager"), []
    for number in range(2):
        work = job(64, micro_batch_tokens=70, torch_compile=True, torch_compile_backend=counter)
        train(tmp_path / str(number), work, llama(seed=number))
        made.append(counter.frame_count)
    assert 0 < made[0] <= 6
    assert made[1] == made[0]


def test_an_adapter_is_trained_the_same(tmp_path: Path) -> None:
    found = []
    for name, more in (("plain", {}), ("compiled", EAGER)):
        model, work = llama(), job(16, **more)
        work.lora = {"r": 4}
        work.progress = watch = Watch(model)
        found.append(train(tmp_path / name, work, model))
        assert watch.seen == ([0, 1] if more else [])
    assert (found[0][0] - found[1][0]).abs().max() <= CLOSE
    assert found[1][1] == pytest.approx(found[0][1], abs=CLOSE)


def test_a_stopped_training_leaves_the_model_as_it_was_and_goes_on(tmp_path: Path) -> None:
    arguments = {**EAGER, "save_steps": 2, "optim": "adamw_torch"}
    undisturbed, losses, _ = train(tmp_path / "whole", job(32, **arguments), llama())
    model, stopped = llama(), job(32, **arguments)

    def stop(step: int, _: int) -> None:
        if step == 3:
            raise Stop

    stopped.progress = stop
    with pytest.raises(Stop):
        train(tmp_path / "two", stopped, model)
    assert compiled_layers(model) == []
    resumed, others, _ = train(tmp_path / "two", job(32, **arguments), llama())
    assert torch.equal(resumed, undisturbed)
    assert others == losses


def test_frozen_layers_are_read_and_not_compiled(tmp_path: Path) -> None:
    model, work = llama(), job(16, **EAGER)
    freeze(model, 1)
    rows = [Row((a, b)) for a, b in zip(work.a_ids, work.b_ids or [], strict=True)]
    states.write(model, 1, rows, 100, tmp_path)
    computed = llama()
    freeze(computed, 1)
    plain, losses, _ = train(tmp_path / "plain", job(16), computed)
    work.progress = watch = Watch(model)
    with states.read_by(model, 1, states.read([tmp_path]), 100):
        found, others, _ = train(tmp_path / "read", work, model)
    assert watch.seen == [1]
    assert (found - plain).abs().max() <= CLOSE
    assert others == pytest.approx(losses, abs=CLOSE)


def test_models_without_such_layers_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bert = t.BertForSequenceClassification(t.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=104,
        num_labels=1, pad_token_id=100,
    ))  # fmt: skip
    _say.cache_clear()
    with caplog.at_level(logging.WARNING):
        for name in ("first", "second"):  # said once
            train(tmp_path / name, job(8, **COMPILED), bert)
        assert compilable(make_model(layers=1)) == []
    said = [record.message for record in caplog.records if "torch_compile" in record.message]
    assert said == [
        "BertForSequenceClassification: training.torch_compile compiles nothing: it has no decoder layers by a known "
        "name",
        "LlamaForSequenceClassification: training.torch_compile compiles nothing: no layer but the last is trained",
    ]


def test_only_layers_that_are_trained_and_not_the_last() -> None:
    model = t.GPT2ForSequenceClassification(t.GPT2Config(n_embd=16, n_layer=4, n_head=2, vocab_size=104))
    assert list(compilable(model)) == list(model.transformer.h)[:3]
    freeze(model, 2)
    assert list(compilable(model)) == [model.transformer.h[2]]
    with compiled(model, None):
        assert compiled_layers(model) == []


def test_neither_transformers_nor_accelerate_hears_of_it(tmp_path: Path) -> None:
    work = job(8, torch_compile_mode="max-autotune-no-cudagraphs")
    batch = Batch.of(work.arguments, by_layer=True)
    assert batch.compiler == Compiler("inductor", "max-autotune-no-cudagraphs")
    config = configuration(RewardConfig, work, batch, tmp_path, **batch.whole)
    assert (config.torch_compile, config.torch_compile_backend, config.torch_compile_mode) == (False, None, None)
    assert Batch.of(work.arguments).arguments["torch_compile_mode"] == "max-autotune-no-cudagraphs"


@pytest.mark.parametrize(
    ("given", "launch"),
    [
        ({}, ""),
        ({"torch_compile": False}, ""),
        ({"torch_compile": True, "activation_checkpointing": True}, ""),
        ({"torch_compile": True}, "ACCELERATE_USE_FSDP"),
        ({"torch_compile": True}, "ACCELERATE_USE_DEEPSPEED"),
    ],
)
def test_what_stays_with_accelerate(given: dict[str, Any], launch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if launch:
        monkeypatch.setenv(launch, "true")
    left = dict(given)
    assert take(left) is None
    assert left == given


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("no C++ compiler here")


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        (Compiler("inducter"), "Invalid backend: 'inducter'"),
        (Compiler(mode="fastest"), "Unrecognized mode=fastest"),
        (Compiler(broken), "no C\\+\\+ compiler here"),
    ],
)
def test_what_cannot_be_compiled_is_a_sentence(compiler: Compiler, reason: str) -> None:
    model = llama()

    def call() -> None:
        with compiled(model, compiler):
            assert torch._dynamo.config.recompile_limit >= GRAPHS
            model(input_ids=torch.tensor([[1, 2, 3]]))

    with pytest.raises(W2SError, match=f"training.torch_compile: .*{reason}.*; leave it out"):
        call()
    assert compiled_layers(model) == []
