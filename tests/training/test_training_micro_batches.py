"""How an effective batch goes through the model: by tokens, items and pairs alike, counted, and never to be seen."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_model, make_tokenizer
from float64 import EXACT

from w2s_pref.core.errors import W2SError
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.batches import Row, budget, row_length
from w2s_pref.models.batches.batch import FILL
from w2s_pref.training import effective, reward
from w2s_pref.training.arguments import check, keyed, merged
from w2s_pref.training.callbacks import seal
from w2s_pref.training.effective import AtOnce
from w2s_pref.training.fit import FitJob, fit
from w2s_pref.training.reward import Loss
from w2s_pref.training.trainer import Batch

ARGUMENTS = {"batch_size": 8, "learning_rate": 1.0e-1, "logging_steps": 1, "save_steps": 100, "optim": "sgd"}
PROMPT, ANSWER = 6, 5


def texts(n: int, seed: int) -> list[list[int]]:
    """Row i's prompt is the same under every seed, and no answer begins as another."""
    own = random.Random(seed)
    rows = []
    for row in range(n):
        shared = random.Random(row)
        prompt = [shared.randrange(90) for _ in range(shared.randint(2, PROMPT))]
        rows.append([*prompt, 90 + seed, *(own.randrange(90) for _ in range(own.randint(1, ANSWER))), 101])
    return rows


def job(n: int = 24, loss: Loss | None = None, **arguments: Any) -> FitJob:
    draw = random.Random(0)
    columns = {"p": [draw.random() for _ in range(n)], "sign": [1.0 if row % 3 else -1.0 for row in range(n)]}
    return FitJob(texts(n, 1), texts(n, 2), columns, loss or Loss(), arguments=merged(ARGUMENTS, arguments), seed=3)


def train(folder: Path, work: FitJob, model: Any = None) -> tuple[torch.Tensor, list[float], dict[str, Any]]:
    model = model or make_model()
    done = fit(model, make_tokenizer(), work, folder / "work", folder / "saved")
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    return weights, [entry["loss"] for entry in done["history"]], done


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, bool]]:
    """(rows, computed tokens, with gradients) of every forward pass."""
    passes: list[tuple[int, int, bool]] = []
    original = reward.read_heads

    def watched(model: Any, batch: Any) -> torch.Tensor:
        passes.append((batch.last.shape[1], batch.input_ids.numel(), torch.is_grad_enabled()))
        return original(model, batch)

    monkeypatch.setattr(reward, "read_heads", watched)
    return passes


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "loss", [Loss(), Loss(alpha=0.5), Loss(student=LossSpec(name="aux_confidence"))], ids=["soft", "explicit", "aux"]
)
def test_a_token_budget_changes_nothing(tmp_path: Path, seen: list[tuple[int, int, bool]], loss: Loss) -> None:
    """Batches of 8 rows as a whole, and 64 tokens at a time; 21 rows, so three of the last batch weigh nothing."""
    whole, losses, done = train(tmp_path / "whole", job(21, loss))
    ranked = 2 if loss.student.ranks else 1
    assert sum(rows for rows, *_ in seen) == 21 * ranked  # the rows that weigh nothing are not computed
    few = len(seen)
    parts, others, again = train(tmp_path / "parts", job(21, loss, micro_batch_tokens=64))
    assert len(seen) - few > 2 * few
    assert max(tokens for _, tokens, _ in seen[few:]) <= 64
    assert sum(rows for rows, *_ in seen[few:]) == 21 * ranked
    assert others == pytest.approx(losses, abs=EXACT)
    assert (whole - parts).abs().max() <= EXACT
    assert again["tokens"] == done["tokens"]
    assert again["forward_tokens"] < done["forward_tokens"]


@pytest.mark.usefixtures("float64")
def test_a_cap_on_pairs_changes_nothing(tmp_path: Path, seen: list[tuple[int, int, bool]]) -> None:
    whole, losses, _ = train(tmp_path / "whole", job(16))
    few = len(seen)
    capped, others, _ = train(tmp_path / "capped", job(16, per_device_train_batch_size=3))
    assert max(rows for rows, *_ in seen[few:]) <= 3
    assert others == pytest.approx(losses, abs=EXACT)
    assert (whole - capped).abs().max() <= EXACT


@pytest.fixture(params=["shared", "packed", "grouped"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The layout that the training chooses, by its model's size; ``grouped``: packed as on a GPU."""
    if request.param == "grouped":
        monkeypatch.setattr("w2s_pref.models.batches.batch.GROUPED_ON", ("cpu",))
    if request.param != "shared":
        monkeypatch.setattr("w2s_pref.models.batches.layout.PACKED_FROM", 1)
    return str(request.param)


@pytest.mark.usefixtures("float64")
def test_one_step_worked_by_hand(tmp_path: Path, seen: list[tuple[int, int, bool]], layout: str) -> None:
    """SGD on 8 pairs, each text alone through the model: loss, gradient norm and weights."""
    model, work = make_model(), job(8, lr_scheduler_type="constant", max_grad_norm=0.0)
    p = torch.tensor(work.columns["p"])
    score = torch.stack([torch.cat([model(input_ids=torch.tensor([ids])).logits[0] for ids in side])
                         for side in (work.a_ids, work.b_ids)])  # fmt: skip
    loss = torch.nn.functional.binary_cross_entropy_with_logits(score[0] - score[1], p)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    expected = torch.cat([w.detach().flatten() for w in model.parameters()]) - 0.1 * flat
    weights, losses, done = train(tmp_path, work, model)
    assert losses == [pytest.approx(loss.item(), abs=EXACT)]
    positions = sum(row_length(Row((a, b)), "shared") for a, b in zip(work.a_ids, work.b_ids, strict=True))
    computed = sum(computed for _, computed, _ in seen)
    power = 1 << (positions - 1).bit_length()
    assert positions < FILL
    assert computed == {"packed": positions, "grouped": power}[layout] if layout != "shared" else computed > positions
    assert done["history"][0]["grad_norm"] == pytest.approx(flat.norm().item(), rel=EXACT)
    assert (weights - expected).abs().max() <= EXACT


def two_outputs(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    model = make_model(seed)
    model.config.num_labels = model.num_labels = 2
    model.score = torch.nn.Linear(model.config.hidden_size, 2, bias=False)
    return model


@pytest.mark.usefixtures("float64", "layout")
def test_items_are_rows_of_one_text(tmp_path: Path) -> None:
    """Two outputs, margin z1 - z0: the soft cross-entropy of a softmax, saved with its two outputs."""
    model, work = two_outputs(), job(8)
    work.b_ids = None
    p = torch.tensor(work.columns["p"])
    logits = torch.cat([model(input_ids=torch.tensor([ids])).logits for ids in work.a_ids])
    expected = torch.nn.functional.cross_entropy(logits, torch.stack([1 - p, p], dim=1)).item()
    _, losses, done = train(tmp_path, work, model)
    assert losses == [pytest.approx(expected, abs=EXACT)]
    assert done["tokens"] == sum(map(len, work.a_ids))
    from transformers import AutoModelForSequenceClassification

    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    assert loaded.config.num_labels == model.config.num_labels == 2
    ids = torch.tensor([work.a_ids[0]])
    assert all(torch.equal(*both) for both in zip(loaded.parameters(), model.parameters(), strict=True))
    # where weights lie in memory decides the order in which kernels add
    assert (loaded(input_ids=ids).logits - model.eval()(input_ids=ids).logits).abs().max() <= EXACT


@pytest.mark.usefixtures("float64")
def test_items_longer_than_a_window_take_the_models_own_mask(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Some texts exceed a window of 18: nothing is shared, so nothing is computed twice, nor said to be."""
    from transformers import MistralConfig, MistralForSequenceClassification

    own = {"model_type": "mistral", "sliding_window": 18, "id2label": {0: "no", 1: "yes"}}
    model = MistralForSequenceClassification(MistralConfig(**make_model().config.to_dict() | own))
    work = job(8)
    work.a_ids, work.b_ids = [[*ids, *ids] for ids in work.a_ids], None
    assert max(map(len, work.a_ids)) > 18
    p = torch.tensor(work.columns["p"])
    logits = torch.cat([model(input_ids=torch.tensor([ids])).logits for ids in work.a_ids])
    expected = torch.nn.functional.cross_entropy(logits, torch.stack([1 - p, p], dim=1)).item()
    _, losses, _ = train(tmp_path, work, model)
    assert losses == [pytest.approx(expected, abs=EXACT)]
    assert not [record for record in caplog.records if record.name == "w2s_pref.models.batches.layout"]


def test_tokens_are_counted(tmp_path: Path) -> None:
    """8 pairs in one batch: the texts' tokens, and one rectangle as wide as the longest row with its prompt once."""
    work = job(8)
    _, _, done = train(tmp_path / "one", work)
    assert work.b_ids is not None
    assert done["tokens"] == sum(map(len, [*work.a_ids, *work.b_ids]))
    lengths = [row_length(Row((a, b)), "shared") for a, b in zip(work.a_ids, work.b_ids, strict=True)]
    groups = budget.split(lengths, 10**6, overhead=budget.overhead(make_model()))
    assert done["forward_tokens"] == sum(len(group) * max(lengths[row] for row in group) for group in groups)
    _, _, ranked = train(tmp_path / "ranked", job(8, Loss(student=LossSpec(name="aux_confidence"))))
    assert ranked["tokens"] == done["tokens"]
    assert ranked["forward_tokens"] == 2 * done["forward_tokens"]  # the ranking pass, and the one with gradients


class Stop(Exception):
    """A run that ends in the middle."""


@pytest.mark.parametrize("loss", [Loss(), Loss(student=LossSpec(name="aux_confidence"))], ids=["soft", "aux"])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, loss: Loss) -> None:
    """Weights, losses and counts, with micro-batches by tokens and dropout on (its random numbers come back too)."""

    def work() -> FitJob:
        return job(48, loss, optim="adamw_torch", save_steps=2, micro_batch_tokens=64, disable_dropout=False)

    def model() -> Any:
        return make_model(attention_dropout=0.2)

    undisturbed, losses, done = train(tmp_path / "whole", work(), model())
    stopped = work()

    def stop(step: int, _: int) -> None:
        if step == 3:
            raise Stop

    stopped.progress = stop
    with pytest.raises(Stop):
        train(tmp_path / "two", stopped, model())
    if loss == Loss():
        shutil.copytree(tmp_path / "two", tmp_path / "foreign")
        for checkpoint in (tmp_path / "foreign").rglob("checkpoint-*"):
            torch.save({"state": {}, "param_groups": []}, checkpoint / "optimizer.pt")
            seal(checkpoint)
        with pytest.raises(W2SError, match=r"checkpoint-2 does not fit this training .*remove that folder"):
            train(tmp_path / "foreign", work(), model())
    resumed, others, again = train(tmp_path / "two", work(), model())
    assert torch.equal(resumed, undisturbed)
    assert others == losses
    assert {name: again[name] for name in ("steps", "tokens", "forward_tokens")} == {
        name: done[name] for name in ("steps", "tokens", "forward_tokens")
    }


@pytest.mark.usefixtures("float64")
def test_activation_checkpointing_changes_nothing(tmp_path: Path) -> None:
    plain, losses, _ = train(tmp_path / "plain", job(8))
    other, others, _ = train(tmp_path / "checkpointed", job(8, activation_checkpointing=True))
    assert others == pytest.approx(losses, abs=EXACT)
    assert (plain - other).abs().max() <= EXACT


@pytest.mark.usefixtures("float64")
def test_an_adapter_trains_in_micro_batches(tmp_path: Path) -> None:
    work = job(8, micro_batch_tokens=64)
    work.lora = {"r": 4}
    whole = job(8)
    whole.lora = {"r": 4}
    (_, losses, _), (_, others, _) = train(tmp_path / "whole", whole), train(tmp_path / "parts", work)
    assert others == pytest.approx(losses, abs=EXACT)


def test_half_precision_trains_in_micro_batches(tmp_path: Path) -> None:
    _, full, _ = train(tmp_path / "full", job(8))
    _, half, _ = train(tmp_path / "half", job(8, bf16=True, micro_batch_tokens=64))
    assert half != full
    assert half == pytest.approx(full, abs=1e-2)


def test_every_process_makes_as_many_micro_batches_as_the_busiest() -> None:
    """Two rows of 5 and 4 tokens and a fill row: one micro-batch becomes two, then three; the fill row comes last."""
    parts, lengths = [[0, 1]], [5, 4, 3]
    assert effective._as_many(parts, 1, lengths) == [[0, 1]]
    assert effective._as_many(parts, 2, lengths) == [[0], [1]]
    assert effective._as_many(parts, 3, lengths) == [[0], [1], [2]]
    assert parts == [[0, 1]]  # the process's own split stays


def test_a_process_without_rows_of_weight_makes_up_micro_batches_of_fill_rows() -> None:
    """Its first one is a fill row already: that row comes once, and the others in their order."""
    assert effective._as_many([[0]], 3, [2, 2, 2, 2]) == [[0], [1], [2]]


def test_the_split_is_in_no_key_and_is_checked() -> None:
    assert "micro_batch_tokens" not in keyed(merged({"micro_batch_tokens": 10}))
    assert check({"micro_batch_tokens": 4096}, "training") == []
    assert "above zero" in check({"micro_batch_tokens": 0}, "training")[0]
    assert "unknown key" in check({"micro_batch_tokens": 4096}, "methods.rloo.training", "rloo")[0]
    assert "before a whole effective batch" in check({"optim": "galore_adamw_layerwise"}, "training")[0]
    assert "set micro_batch_tokens" in check({"auto_find_batch_size": True}, "training")[0]
    assert "set activation_checkpointing" in check({"gradient_checkpointing": True}, "training")[0]
    assert "set activation_checkpointing_kwargs" in check({"gradient_checkpointing_kwargs": {}}, "training")[0]
    assert "set batch_size and" in check({"gradient_accumulation_steps": 2}, "training")[0]
    batch = Batch.of({"batch_size": 8, "per_device_train_batch_size": 3, "micro_batch_tokens": 100})
    assert (batch.at_once, batch.arguments) == (AtOnce(100, 3), {})
    assert batch.whole == {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}


def test_a_model_of_two_precisions_trains(tmp_path: Path) -> None:
    """As an adapter of bfloat16 with its head, over a quantized base: outside of autocast it cannot be read."""
    model = make_model()
    model.score.to(torch.bfloat16)
    before = model.score.weight.detach().clone()
    _, losses, _ = train(tmp_path, job(8, bf16=True), model)
    assert len(losses) == 1
    assert not torch.equal(model.score.weight, before)
