"""LoRA policies: one base for policy, reference and value model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_helpers import furthest, run, start, weights

from w2s_pref.core.errors import W2SError
from w2s_pref.models.batches import RowBatch
from w2s_pref.models.policies import load_saved_policy
from w2s_pref.testbed import ladder
from w2s_pref.training.ppo.learner import Learner
from w2s_pref.training.ppo.players import Players, logprobs_of
from w2s_pref.training.ppo.rollout import sequences

LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "down_proj"]}
ADAPTED: dict[str, Any] = {"lora": LORA, "base_path": str(ladder.path("xs")), "learning_rate": 1e-2}
CPU = torch.device("cpu")


def some(rows: int = 3) -> RowBatch:
    ids = torch.randint(5, 200, (rows, 9), generator=torch.Generator().manual_seed(0))
    return sequences(ids[:, :5].tolist(), ids[:, 5:], torch.full((rows,), 4), pad_id=0)


def shake(parameters: Any) -> None:
    for each in parameters:
        each.data.add_(0.1 * torch.randn_like(each))


@pytest.mark.usefixtures("float64")
def test_the_base_is_the_reference_and_nobody_copies_it() -> None:
    torch.manual_seed(0)
    plain = Players(start()[0], None, None, 1.0, CPU)
    players = Players(start()[0], None, LORA, 1.0, CPU)
    assert players.reference is None
    count = sum(each.numel() for each in start()[0].parameters())
    adapters = 2 * sum(each.numel() for name, each in players.trainable()["policy"].items())
    assert sum(each.numel() for each in players.policy.parameters()) == count + adapters
    trainable = players.trainable()
    assert all("lora_" in name for name in trainable["policy"])
    shake(trainable["policy"].values())
    torch.testing.assert_close(players.reference_logprobs(some()), plain.reference_logprobs(some()))
    with torch.no_grad():
        assert float((players.policy_logits(some()) - plain.policy_logits(some())).abs().max()) > 0.1


def test_value_and_policy_train_apart() -> None:
    """Each loss moves its own adapter, and what the other computes stays as it was."""
    players = Players(start()[0], None, LORA, 1.0, CPU)
    parts = players.trainable()
    assert not {id(each) for each in parts["policy"].values()} & {id(each) for each in parts["value"].values()}
    shake([players.head.weight])
    with players.valuing():
        players.values(some()).sum().backward()
    assert all(each.grad is None for each in parts["policy"].values())
    assert any(float(each.grad.abs().max()) > 0 for name, each in parts["value"].items() if "lora_B" in name)
    with torch.no_grad():
        before = players.policy_logits(some())
        shake(parts["value"].values())
        assert torch.equal(players.policy_logits(some()), before)
    players.policy_logits(some()).sum().backward()
    assert all(each.grad is not None for each in parts["policy"].values())


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a new adapter."""
    folder = tmp_path_factory.mktemp("adapter")
    run(folder, **ADAPTED, total_episodes=16)
    return folder


def test_only_the_policy_s_adapter_is_saved(adapter: Path) -> None:
    assert not [path for path in (adapter / "saved").iterdir() if path.is_dir()]
    assert all("lora_" in name and "w2s_" not in name for name in weights(adapter))
    loaded, tokenizer = load_saved_policy(adapter / "saved")
    assert set(loaded.peft_config) == {"default"}
    ids = torch.tensor([tokenizer("mix the salt")["input_ids"]])
    with torch.no_grad():
        on = loaded(ids).logits
        with loaded.disable_adapter():
            assert float((loaded(ids).logits - on).abs().max()) > 1e-3
            torch.testing.assert_close(loaded(ids).logits, start()[0](ids).logits)


def test_a_saved_adapter_is_its_own_reference(adapter: Path) -> None:
    model, _ = load_saved_policy(adapter / "saved", trainable=True)
    players = Players(model, None, None, 1.0, CPU)
    with torch.no_grad():
        first = players.policy_logits(some())
        reference = players.reference_logprobs(some())
        expected = logprobs_of(first, some().responses.targets)
    torch.testing.assert_close(reference, expected)
    shake(players.trainable()["policy"].values())
    with torch.no_grad():
        assert float((players.policy_logits(some()) - first).abs().max()) > 0.1
    assert torch.equal(players.reference_logprobs(some()), reference)
    assert set(players.finish().peft_config) == {"default"}


def test_training_goes_on_from_a_saved_adapter(adapter: Path, tmp_path: Path) -> None:
    model, _ = load_saved_policy(adapter / "saved", trainable=True)
    lines = run(tmp_path, model=model, base_path=str(ladder.path("xs")), total_episodes=16)["history"]
    assert lines[0]["kl"] == pytest.approx(0.0, abs=1e-5)
    assert 1e-4 < furthest(adapter, tmp_path) < 0.1


def test_lora_resumes_bit_for_bit(adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, taken = Learner.step, []

    def stop(self: Learner, *args: Any) -> Any:
        taken.append(1)
        if len(taken) == 7:
            raise KeyboardInterrupt
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, **ADAPTED, total_episodes=16)
    assert (tmp_path / "work" / "checkpoint-5" / "rollouts.safetensors").is_file()
    run(tmp_path, **ADAPTED, total_episodes=16)
    assert furthest(adapter, tmp_path) == 0.0


def test_an_adapter_that_fits_nowhere(tmp_path: Path) -> None:
    with pytest.raises(W2SError, match=r"lora: .*nowhere"):
        run(tmp_path, lora={**LORA, "target_modules": ["nowhere"]})
