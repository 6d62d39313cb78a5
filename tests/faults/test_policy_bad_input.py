"""Policies and bad input, through the real command line: a sentence with place and fix, nothing half-written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import copy_tiny
from fault_helpers import Change, refused, succeeded, w2s
from policy_fault_helpers import MARGINS, ORACLES, REWARDS, SHORT, SMALL, dpo, margin, oracle, ppo, rloo


def encoder(folder: Path) -> None:
    """The strong model becomes a BERT, which transformers would load as a language model without a word."""
    from transformers import BertConfig, BertForMaskedLM

    (folder / "large" / "model.safetensors").unlink()
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(vocab_size=104, pad_token_id=100, **size)).save_pretrained(folder / "large")


PLANNED: dict[str, tuple[Change | None, list[str], tuple[str, ...]]] = {
    "unknown method": (None, ["students=[pppo]"], ("students: no method is called 'pppo'", "did you mean 'ppo'?")),
    "unknown key": (None, ["methods={dpo: {bta: 1.0}}"], ("methods.dpo", "unknown key 'bta'; did you mean 'beta'?")),
    "key of another method": (None, ["methods={sft: {beta: 1.0}}"], ("methods.sft.beta: sft does not read it",)),
    "encoder": (encoder, ["students=[dpo]"], ("model 'large' is a BertForMaskedLM", "not a policy", "method reward")),
    "frozen": (
        None, ["students=[dpo]", "models.strong.freeze_backbone=true"], ("a policy has no new head to train; drop it",)
    ),
    "greedy twice": (
        None, ["speech={temperature: 0.0, samples: 2}"], ("speech: temperature 0 writes the same answer 2 times",)
    ),
    "answers over the limit": (
        None, ["students=[dpo]", "speech={max_new_tokens: 31}"],
        ("speech.max_new_tokens is 31", "no room for a prompt: data.max_length is 32", "lower the one or raise"),
    ),
    "answers over the context": (
        None, ["students=[dpo]", "data.max_length=1000", "speech={max_new_tokens: 255}"],
        ("speech.max_new_tokens is 255", "the context of 'strong' is 256 tokens"),
    ),
    "ppo over the limit": (
        None, ["students=[ppo]", ppo(response_length=40)], ("ppo.training.response_length is 40", "is 32 tokens")
    ),
    "rloo over the limit, by default": (
        None, ["students=[rloo]"], ("methods.rloo.training.max_completion_length is 64", "is 32 tokens")
    ),
    "rloo without a limit": (
        None, ["students=[rloo]", "methods.rloo.training={max_completion_length: null}"], ("should be a number",)
    ),
    "rloo groups": (
        None, [rloo(num_generations=3)], ("rloo.training: batch_size 8", "no multiple of num_generations 3; use 9")
    ),
    "grpo groups, by default": (
        None, ["methods={grpo: {training: {batch_size: 4}}}"], ("no multiple of num_generations 8; use 8",)
    ),
    "rloo draws": (
        None, [rloo(generation_batch_size=12)], ("generation_batch_size 12 is no multiple of batch_size 8",)
    ),
    "no reward file": (
        None, ["students=[ppo]", ppo(reward="reward.py:one")], ("methods.ppo.reward: reward.py:one: there is no file",)
    ),
    "no reward": (None, ["students=[ppo]", ppo(reward="rewards.py:on")], ("has no 'on'; did you mean 'one'?",)),
    "reward is none": (None, ["students=[ppo]", ppo(reward="rewards.py:number")], ("of type int, but a reward is",)),
    "reward of one list": (
        None, ["students=[ppo]", ppo(reward="rewards.py:alone")], ("alone: too many positional", "two lists")
    ),
    "no margin": (None, ["students=[mine]", margin("margins.py:scala")], ("methods.mine.algorithm", "mean 'scalar'?")),
    "no margin of that name": (None, ["students=[mine]", margin("simpoo")], ("unknown margin 'simpoo'; did you mean",)),
    "margin's options": (
        None, ["students=[mine]", margin("margins.py:scalar", options={"k": 1})], ("unexpected keyword argument 'k'",)
    ),
    "no oracle": (None, ["students=[dpo]", oracle("phrase")], ("speech.oracle: unknown oracle", "mean 'phrases'?")),
    "supervisor without a reward": (
        None, ["arms={a: [weak@sft, strong@ppo]}", ppo()],
        ("ceiling/weak@sft on w2s", "mean_logprob is neither", "Set score: implicit_reward for that method"),
    ),
    "no oracle function": (None, ["students=[dpo]", oracle("oracles.py:hal")], ("speech.oracle", "mean 'half'?")),
}  # fmt: skip


@pytest.fixture
def place(study: Path) -> Path:
    for name, text in (("rewards", REWARDS), ("margins", MARGINS), ("oracles", ORACLES)):
        (study / f"{name}.py").write_text(text)
    return study


@pytest.mark.parametrize("case", PLANNED)
def test_said_before_anything_is_built(place: Path, case: str) -> None:
    change, overrides, said = PLANNED[case]
    if change:
        change(place)
    short = [] if any("speech=" in word for word in overrides) else [SHORT]
    for command in ("plan", "run"):
        refused(place, command, "tiny.yaml", *SMALL, *short, *overrides, said=said)
        shutil.rmtree(place / "__pycache__", ignore_errors=True)


BUILT: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "reward raises": (["students=[ppo]", ppo(reward="rewards.py:raises")], (
        "direct@ppo/none · seed 0: reward 'rewards.py:raises' failed (rewards.py, line 3): KeyError",
    )),
    "reward is nan": (["students=[ppo]", ppo(reward="rewards.py:none")], (
        "reward 'rewards.py:none': 8 of 8 rewards are not finite", "return a number for every answer",
    )),
    "one reward": (["students=[ppo]", ppo(reward="rewards.py:one")], ("8 answers need 8 numbers", "shape (1,)")),
    "words for rewards": (["students=[ppo]", ppo(reward="rewards.py:words")], ("should return a list of numbers",)),
    "reward raises in rloo": (["students=[rloo]", rloo(reward="rewards.py:raises")], ("line 3): KeyError",)),
    "margin of one number": (["students=[mine]", margin("margins.py:scalar")], (
        "ceiling/strong@mine · seed 0: margin 'margins.py:scalar' returned shape (); return one number a pair",
    )),
    "margin is nan": (["students=[mine]", margin("margins.py:nothing")], ("returned numbers that are not finite",)),
    "margin is no tensor": (["students=[mine]", margin("margins.py:count")], ("is of type float; return a",)),
    "margin raises": (["students=[mine]", margin("margins.py:raises")], ("line 12): RuntimeError: no idea",)),
    "oracle leaves out keys": (["students=[dpo]", oracle("oracles.py:half")], ("returned no helpful, unparseable",)),
    "oracle is short": (["students=[dpo]", oracle("oracles.py:short")], ("the oracle got 8 answers but returned 1",)),
    "oracle's words": (["students=[dpo]", oracle("oracles.py:words")], ("values of harmless are no numbers",)),
    "oracle says nothing": (["students=[dpo]", oracle("oracles.py:nothing")], ("should return a dictionary of lists",)),
    "oracle raises": (["students=[dpo]", oracle("oracles.py:raises")], (
        "judged · seed 0: speech.oracle 'oracles.py:raises' failed (oracles.py, line 17): ValueError",
    )),
    "dpo diverges": (["students=[dpo]", dpo(learning_rate=1e12, max_grad_norm=0.0, logging_steps=1)], (
        "ceiling/strong@dpo · seed 0: training diverged at step", "lower learning_rate",
    )),
    "ppo diverges": (["students=[ppo]", ppo(total_episodes=32, num_ppo_epochs=2, learning_rate=1e15)], (
        "ceiling/strong@ppo · seed 0: ppo diverged in update 1, pass 2, minibatch 1", "lower learning_rate",
    )),
    "rloo diverges": (["students=[rloo]", rloo(max_steps=6, learning_rate=1e12, max_grad_norm=0.0)], (
        "ceiling/strong@rloo · seed 0: training diverged", "lower learning_rate",
    )),
}  # fmt: skip


@pytest.fixture(scope="module")
def stored(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with everything that the cases below share: reward models, a DPO policy and its answers."""
    folder = copy_tiny(original, tmp_path_factory.mktemp("stored") / "study")
    succeeded("run", folder / "tiny.yaml", *SMALL, SHORT, "students=[dpo]", dpo())
    return folder / "runs" / "store"


def whole(store: Path) -> set[str]:
    """Every artifact; none may be without a manifest, and no temporary folder stays."""
    found = [path for path in store.glob("*/*") if path.parent.name not in {"locks", "partial", "tokens"}]
    assert all((path / "manifest.json").is_file() for path in found), found
    return {str(path.relative_to(store)) for path in found}


@pytest.mark.parametrize("case", BUILT)
def test_what_only_building_can_tell(place: Path, stored: Path, case: str) -> None:
    overrides, said = BUILT[case]
    before = whole(stored)
    short = [] if any("speech=" in word for word in overrides) else [SHORT]
    done = w2s("run", "tiny.yaml", *SMALL, *short, f"store={stored}", *overrides)
    assert done.code == 1
    flat = " ".join(done.err.split())
    assert all(part in flat for part in said), done.err
    assert done.err.count("error:") == 1
    assert not (place / "runs" / "tiny").exists()
    assert whole(stored) >= before
