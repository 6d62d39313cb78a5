"""Equalities of training policies: to stock TRL, to other splits of the batch, to numbers worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_tokenizer
from float64 import EXACT
from policy_helpers import ARGUMENTS, both, decoder, job, make_policy, train, weights

from w2s_pref.core.errors import W2SError
from w2s_pref.losses.pairs import PairObjective
from w2s_pref.losses.spec import LossSpec
from w2s_pref.training import policy
from w2s_pref.training.arguments import merged
from w2s_pref.training.policy import PolicyJob, policy_rows
from w2s_pref.training.raven import SupervisorWeights


def stock(folder: Path, work: PolicyJob, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """Weights and losses of trl.DPOTrainer with a reference model at work, on the same rows, a preferred."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    monkeypatch.setattr(DPOTrainer, "_prepare_dataset", lambda self, dataset, *_: dataset)
    arguments = {name: value for name, value in work.arguments.items() if name not in {"batch_size", "save_steps"}}
    config = DPOConfig(
        output_dir=str(folder), per_device_train_batch_size=8, seed=3, data_seed=3, max_length=None, use_cpu=True,
        disable_tqdm=True, save_strategy="no", **options, **arguments,
    )  # fmt: skip
    rows = Dataset.from_dict(
        {
            "prompt_ids": [ids[:at] for ids, at in zip(work.a_ids, work.a_starts, strict=True)],
            "chosen_ids": [ids[at:] for ids, at in zip(work.a_ids, work.a_starts, strict=True)],
            "rejected_ids": [ids[at:] for ids, at in zip(work.b_ids, work.b_starts, strict=True)],
        }
    )
    model = make_policy()
    trainer = DPOTrainer(
        model=model, ref_model=make_policy(1), args=config, train_dataset=rows, processing_class=make_tokenizer()
    )
    trainer.train()
    return weights(model), [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "loss_type", "arguments"),
    [("dpo", "sigmoid", {}), ("dpo", "sigmoid", {"optim": "adamw_torch", "adam_epsilon": 1.0e-3}), ("ipo", "ipo", {})],
    ids=["dpo", "dpo-adam", "ipo"],
)
def test_certain_labels_equal_stock_trl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, loss_type: str, arguments: dict[str, Any]
) -> None:
    """p = 1: same losses and weights as trl.DPOTrainer with its reference model, after 10 steps."""
    work = job(PairObjective(name, beta=0.3), p=1.0, **arguments)
    ours, losses = train(tmp_path / "ours", work)
    theirs, expected = stock(tmp_path / "stock", work, monkeypatch, beta=0.3, loss_type=loss_type)
    assert len(expected) == 10
    assert losses == pytest.approx(expected, rel=EXACT, abs=EXACT)
    assert (ours - theirs).abs().max() <= EXACT
    assert (ours - weights(make_policy())).abs().max() > 1e-3


OBJECTIVES = {
    "dpo": PairObjective("dpo"),
    "explicit": PairObjective("dpo", alpha=0.5),
    "aux": PairObjective("simpo", beta=2.0, gamma=1.0, student=LossSpec(name="aux_confidence")),
    "sft": PairObjective("sft"),
    "ipo": PairObjective("ipo", alpha=0.5, conflict="sft"),
    "wspo": PairObjective("wspo", beta=0.5),
    "sepo": PairObjective("sepo", alpha=0.5),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_split_of_a_batch_changes_nothing(tmp_path: Path, name: str) -> None:
    """8 = at most 4 at a time = at most 64 tokens at a time, also where the rows are no multiple of the batch."""
    adapter = {"lora": {"r": 4}} if name == "sepo" else {}
    whole, losses = train(tmp_path / "8", job(OBJECTIVES[name], n=37, **adapter))
    for number, split in enumerate(({"per_device_train_batch_size": 4}, {"micro_batch_tokens": 64})):
        other, others = train(tmp_path / str(number), job(OBJECTIVES[name], n=37, **adapter, **split))
        assert others == pytest.approx(losses, rel=EXACT, abs=EXACT)
        assert (whole - other).abs().max() <= EXACT


@pytest.mark.usefixtures("float64")
def test_a_policy_weighs_its_supervisors_as_reward_models_do(tmp_path: Path) -> None:
    """Weights that stay equal are the mean of the labels; those that are learned stay on the simplex."""
    said = np.random.default_rng(0).random((2, 37))
    expected, losses = train(tmp_path / "mean", job(n=37, p=said.mean(axis=0).tolist()))
    found = []
    for number, rate in enumerate((0.0, 5.0)):
        work = job(n=37, p=said.mean(axis=0).tolist())
        work.columns |= {f"supervisor{at}": each.tolist() for at, each in enumerate(said)}
        work.raven = SupervisorWeights(2, rate, easy=0.0)
        found.append((*train(tmp_path / str(number), work), work.raven.epochs))
    (still, same, equal), (learned, _, weights) = found
    assert equal == [[0.5, 0.5]]
    assert same == pytest.approx(losses, rel=EXACT, abs=EXACT)
    assert (still - expected).abs().max() <= EXACT
    assert sum(weights[0]) == pytest.approx(1)
    assert weights[0] != equal[0]
    assert (learned - expected).abs().max() > 1e-6


def swapped(work: PolicyJob) -> PolicyJob:
    """The same pairs, told the other way round."""
    work.a_ids, work.b_ids, work.a_starts, work.b_starts = work.b_ids, work.a_ids, work.b_starts, work.a_starts
    work.a_values, work.b_values = work.b_values, work.a_values
    columns = work.columns
    work.columns = {
        "p": [1 - p for p in columns["p"]], "sign": [-s for s in columns["sign"]],
        "ref_a": columns["ref_b"], "ref_b": columns["ref_a"],
    }  # fmt: skip
    return work


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_order_of_answers_changes_nothing(tmp_path: Path, name: str) -> None:
    """A label p is 1 - p of the swapped pair; with p = 0 that is the swapped pair with p = 1."""
    labels = [0.0] * 8 + [0.3, 0.9] * 8
    plain, _ = train(tmp_path / "plain", job(OBJECTIVES[name], n=24, p=labels))
    other, _ = train(tmp_path / "swapped", swapped(job(OBJECTIVES[name], n=24, p=labels)))
    assert (plain - other).abs().max() <= EXACT


def first_loss(folder: Path, work: PolicyJob) -> float:
    return train(folder, work)[1][0]


@pytest.mark.usefixtures("float64")
def test_first_losses_worked_from_log_probabilities(tmp_path: Path) -> None:
    """One batch of 8 pairs: every method's loss from log-probabilities that were computed one by one."""
    labels = [0.0, 1.0, 0.5, 0.2, 0.7, 0.9, 0.4, 0.6]
    work = job(n=8, p=labels)
    a, b = both(make_policy(), work)
    p = np.array(labels)
    tokens = [np.array([len(i) - s for i, s in zip(ids, at, strict=True)])
              for ids, at in ((work.a_ids, work.a_starts), (work.b_ids, work.b_starts))]  # fmt: skip
    ratio_a, ratio_b = a - np.array(work.columns["ref_a"]), b - np.array(work.columns["ref_b"])
    mean_a, mean_b = a / tokens[0], b / tokens[1]

    def bce(m: np.ndarray, gamma: float = 0.0) -> float:
        return float((p * np.log1p(np.exp(gamma - m)) + (1 - p) * np.log1p(np.exp(gamma + m))).mean())

    m = ratio_a / tokens[0] - ratio_b / tokens[1]
    square = float((p * (m - 2.5) ** 2 + (1 - p) * (m + 2.5) ** 2).mean())
    expected = [
        (PairObjective("dpo", beta=0.2), bce(0.2 * (ratio_a - ratio_b))),
        (PairObjective("simpo", beta=2.0, gamma=0.5), bce(2 * (mean_a - mean_b), 0.5)),
        (PairObjective("ipo", beta=0.2), square),
        (PairObjective("sft"), float(-np.where(p >= 0.5, mean_a, mean_b).mean())),
    ]
    for objective, value in expected:
        loss = first_loss(tmp_path / objective.name, job(objective, n=8, p=labels))
        assert loss == pytest.approx(value, rel=EXACT)


@pytest.mark.usefixtures("float64")
def test_the_confidence_loss_worked_from_log_probabilities(tmp_path: Path) -> None:
    """Half of each label is the student's own prediction: 1 for the four largest margins of the batch of 8."""
    labels = [0.0, 1.0, 0.5, 0.2, 0.7, 0.9, 0.4, 0.6]
    a, b = both(make_policy(), job(n=8, p=labels))
    work = job(
        PairObjective("dpo", beta=0.2, student=LossSpec(name="aux_confidence", warmup=0.0)),
        n=8,
        p=labels,
        per_device_train_batch_size=4,
    )
    m = 0.2 * (a - b - np.array(work.columns["ref_a"]) + np.array(work.columns["ref_b"]))
    hardened = (m >= np.sort(m)[4]).astype(float)
    assert (hardened != (m > 0)).any()
    target = 0.5 * np.array(labels) + 0.5 * hardened
    expected = (target * np.log1p(np.exp(-m)) + (1 - target) * np.log1p(np.exp(m))).mean()
    assert first_loss(tmp_path, work) == pytest.approx(expected, rel=EXACT)


@pytest.mark.usefixtures("float64")
def test_a_label_between_gives_a_loss_between(tmp_path: Path) -> None:
    low, middle, high = (first_loss(tmp_path / str(p), job(n=8, p=p)) for p in (0.0, 0.25, 1.0))
    assert middle == pytest.approx(0.75 * low + 0.25 * high, abs=EXACT)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["gpt2", "opt"])
def test_dropout_is_off(tmp_path: Path, name: str) -> None:
    """GPT-2 has dropout modules, OPT calls the function: both are trained as they are scored."""
    model, work = decoder(name), job(PairObjective("sft"), n=8, p=1.0)
    assert model.config.to_dict().get("dropout", 0.1) == 0.1
    sums, _ = both(model, work)
    tokens = [len(ids) - start for ids, start in zip(work.a_ids, work.a_starts, strict=True)]
    _, losses = train(tmp_path, work, model)
    assert losses[0] == pytest.approx(-np.mean(sums / tokens), abs=EXACT)


@pytest.mark.usefixtures("float64")
def test_sft_runs_only_the_preferred_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Half the rows go through the model, and the loss is that of running both."""
    seen: list[int] = []
    original = policy.read_logprobs

    def counted(model: Any, batch: Any) -> Any:
        seen.append(batch.last.numel())
        return original(model, batch)

    monkeypatch.setattr(policy, "read_logprobs", counted)
    lean, _ = train(tmp_path / "lean", job(PairObjective("sft"), n=16))
    assert seen == [8, 8]
    silent = job(PairObjective("sft", alpha=0.5), n=16)
    silent.columns["sign"] = [0.0] * 16
    full, _ = train(tmp_path / "full", silent)
    assert seen == [8, 8, 16, 16]
    assert (lean - full).abs().max() <= EXACT


@pytest.mark.usefixtures("float64")
def test_a_margin_of_a_few_lines_trains(tmp_path: Path) -> None:
    """A file of the user's, without a reference; the same arithmetic as SimPO gives the same weights."""
    (tmp_path / "mine.py").write_text(
        "from w2s_pref.losses.margins import margin\n"
        "@margin('mine', reference=False)\n"
        "def mine(batch, beta, scale):\n"
        "    return scale * beta * (batch.logp_a / batch.tokens_a - batch.logp_b / batch.tokens_b)\n"
    )
    objective = PairObjective("mine.py:mine", beta=0.5, options={"scale": 4.0})
    work = job(objective, n=16, base=tmp_path)
    del work.columns["ref_a"], work.columns["ref_b"]
    ours, losses = train(tmp_path / "mine", work)
    simpo, expected = train(tmp_path / "simpo", job(PairObjective("simpo", beta=2.0), n=16))
    assert losses == pytest.approx(expected, abs=EXACT)
    assert (ours - simpo).abs().max() <= EXACT


def test_a_margin_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "def scalar(batch):\n    return (batch.logp_a - batch.logp_b).mean()\n"
        "def infinite(batch):\n    return batch.logp_a / 0\n"
    )
    with pytest.raises(W2SError, match=r"returned shape \(\); return one number a pair, \(8,\)"):
        train(tmp_path, job(PairObjective("bad.py:scalar"), n=8, base=tmp_path))
    with pytest.raises(W2SError, match="not finite"):
        train(tmp_path, job(PairObjective("bad.py:infinite"), n=8, base=tmp_path))


def test_a_missing_reference_and_divergence_are_sentences(tmp_path: Path) -> None:
    work = job(n=8)
    del work.columns["ref_a"], work.columns["ref_b"]
    with pytest.raises(W2SError, match="'dpo' reads reference log-probabilities, but there are none"):
        train(tmp_path, work)
    with pytest.raises(W2SError, match="diverged at step"):
        train(tmp_path, job(PairObjective("sft"), n=80, learning_rate=1.0e12, max_grad_norm=0.0))


def test_the_collator_gives_raw_rows_and_fills_up_with_the_shortest() -> None:
    """Three pairs in batches of two: the fourth row is the shortest again, of weight 0."""
    lists = {
        "a_ids": [[1, 2, 3, 101], [5, 6], [1, 2, 3, 4]], "b_ids": [[1, 2, 101], [5, 101], [1, 2, 3, 4, 5]],
        "a_starts": [2, 1, 3], "b_starts": [1, 1, 3],
    }  # fmt: skip
    columns = {"p": [0.2, 0.5, 0.49], "sign": [0.0, 1.0, -1.0]}
    rows = policy_rows(lists, columns, batch_size=2)
    assert rows.dataset.to_dict() == {"row": [0, 1, 2, 3], "tokens": [7, 4, 9, 4]}
    share = rows.collate([{"row": 0}, {"row": 3}])["batch"]
    assert [row.texts for row in share.rows] == [([1, 2, 3, 101], [1, 2, 101]), ([5, 6], [5, 101])]
    assert [row.starts for row in share.rows] == [(2, 1), (1, 1)]
    assert {name: column.tolist() for name, column in share.numbers.items()} == {
        "p": pytest.approx([0.2, 0.5]), "sign": [0, 1], "weight": [1, 0],
    }  # fmt: skip
    assert (share.tokens, rows.longest) == (7, 5)
    best = policy_rows(lists, columns, batch_size=2, preferred_only=True).collate([{"row": n} for n in range(3)])
    assert [row.texts for row in best["batch"].rows] == [([1, 2, 101],), ([5, 6],), ([1, 2, 3, 4, 5],)]
    assert [row.starts for row in best["batch"].rows] == [(1,), (1,), (3,)]


def test_unknown_arguments_are_refused(tmp_path: Path) -> None:
    work = job(n=8)
    work.arguments = merged(ARGUMENTS, {"center_rewards_coefficient": 1.0})
    with pytest.raises(W2SError, match="do not go together"):
        train(tmp_path, work)


def test_the_model_is_itself_again_after_training(tmp_path: Path) -> None:
    """TRL changes the forward of what it trains, mixed precision wraps it; afterwards neither is left."""
    model = make_policy()
    train(tmp_path, job(n=8, bf16=True), model)
    assert "forward" not in model.__dict__
    assert model(input_ids=torch.tensor([[1, 2]])).logits.dtype == torch.float32
