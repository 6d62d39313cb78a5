"""The probe set: what is read, and what is refused with a sentence."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_model, make_tokenizer
from float64 import EXACT

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import canonical
from w2s_pref.data.chat import group_key
from w2s_pref.monitor.probe import make_probe
from w2s_pref.monitor.scorers import PolicyMargins, RewardMargins


def rows(n: int = 40) -> list[dict[str, Any]]:
    return [{"prompt": f"question {i} ", "chosen": f"w{i} yes", "rejected": f"w{i} no"} for i in range(n)]


def same(pairs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"id": pairs["id"], "p_a": 0.5})


def table(n: int = 40) -> pd.DataFrame:
    return make_probe(rows(n), same, []).pairs


def weak(pairs: pd.DataFrame, p: float = 0.6) -> pd.DataFrame:
    return pd.DataFrame({"id": pairs["id"], "p_a": p + np.arange(len(pairs)) / 1000})


def scored(pairs: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """A score table as ``w2s score`` writes it: delta is that of the better answer."""
    delta = np.linspace(-1, 2, len(pairs))
    facts = {"id": pairs["id"], "group": pairs["group"], "model": "weak", "seed": 0, "delta": delta, "tau": 2.0}
    return pd.DataFrame({**facts, **columns}).sample(frac=1, random_state=3)


def test_rows_as_trl_takes_them() -> None:
    probe = make_probe(
        rows(), lambda pairs: same(pairs).assign(p_a=pairs["a"].str.endswith("yes") * 0.8 + 0.1), ["other"]
    )
    assert probe.truth is not None
    better = np.where(probe.truth == 1, probe.pairs["a"], probe.pairs["b"])
    assert all(text.endswith("yes") for text in better)
    assert 0 < probe.truth.mean() < 1  # neutral order: chosen is not always a
    assert np.array_equal(probe.weak > 0.5, probe.truth == 1)


def test_a_data_frame_of_rows_is_the_same_probe() -> None:
    pd.testing.assert_frame_equal(table(), make_probe(pd.DataFrame(rows()), same, []).pairs)


def test_conversations_and_their_training_prompts() -> None:
    turn = [{"role": "user", "content": "how are you"}]
    answers = [[{"role": "assistant", "content": text}] for text in ("fine", "go away")]
    chat = [{"prompt": turn, "chosen": answers[0], "rejected": answers[1]}]
    assert make_probe(chat, same, [[{"role": "user", "content": "who?"}]]).pairs["form"][0] == "chat"
    for trained in (turn, canonical(turn), "how are you", "\n\nHuman: how are you\n\nAssistant:"):
        with pytest.raises(W2SError, match="share a group or prompt"):
            make_probe(chat, same, [trained])


def test_weak_scores_join_by_id() -> None:
    pairs = table()
    shuffled = weak(pairs).sample(frac=1, random_state=1)
    more = pd.concat([shuffled, pd.DataFrame({"id": ["else"], "p_a": [0.1]})])
    assert make_probe(pairs, more, []).weak.tolist() == weak(pairs)["p_a"].tolist()


def test_a_score_table_is_turned_to_the_answer_that_comes_first(tmp_path: Path) -> None:
    """delta is the better answer's; a probe of the same pairs with the answers exchanged gets the same p of ``a``."""
    pairs = table()
    given = scored(pairs)
    expected = 1 / (1 + np.exp(-np.linspace(-1, 2, 40) / 2))
    better = np.where(pairs["truth"] == 1, expected, 1 - expected)
    given.to_parquet(tmp_path / "weak.parquet")
    given.to_csv(tmp_path / "weak.csv", index=False)
    for weak_scores in (given, tmp_path / "weak.parquet", str(tmp_path / "weak.csv"), given[["id", "delta", "tau"]]):
        assert make_probe(pairs, weak_scores, []).weak == pytest.approx(better, abs=1e-12)
    raw = pd.DataFrame({"id": pairs["id"], "score_a": np.where(pairs["truth"] == 1, 3.0, 1.0), "score_b": 2.0})
    assert make_probe(pairs, raw, []).weak == pytest.approx(np.where(pairs["truth"] == 1, 1, 1 / np.e) / (1 + 1 / np.e))


def test_the_folder_of_a_model_is_scored(tmp_path: Path) -> None:
    from w2s_pref.models.scoring import score_pairs

    model, tokenizer, pairs = make_model().eval(), make_tokenizer(), table()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    raw = score_pairs(model, tokenizer, pairs)
    p = 1 / (1 + np.exp(raw["score_b"] - raw["score_a"]))
    for place in (tmp_path, str(tmp_path)):
        assert make_probe(pairs, place, []).weak == pytest.approx(p.to_numpy(), abs=1e-6)


def test_truth_may_be_unknown() -> None:
    pairs = table()
    assert make_probe(pairs.drop(columns="truth"), weak(pairs), []).truth is None
    assert make_probe(pairs.assign(truth=np.nan), weak(pairs), []).truth is None
    with pytest.raises(W2SError, match="truth must be 1"):
        make_probe(pairs.assign(truth=0.7), weak(pairs), [])


@pytest.mark.parametrize("trained", ["question 7 ", "Question  7", group_key("question 7", "text")])
def test_a_probe_that_is_trained_on_is_refused(trained: str) -> None:
    pairs = table()
    with pytest.raises(W2SError, match=f"1 of 40 pairs share a group or prompt .*{pairs['id'][7]}"):
        make_probe(pairs, weak(pairs), ["something", trained])
    make_probe(pairs, weak(pairs), ["something", "question 77", ""])


def broken(pairs: pd.DataFrame) -> list[tuple[Any, Any, str]]:
    good = weak(pairs)
    return [
        (pairs, good.iloc[3:], "3 of 40 probe pairs have none"),
        (pairs, good.assign(p_a=good["p_a"] + 0.5), "not a probability"),
        (pairs, good.assign(p_a=np.nan), "not a probability"),
        (pairs, good.rename(columns={"p_a": "score"}), "no column says what they are"),
        (pairs, pd.concat([good, good]), "the id '.*' stands twice"),
        (pd.concat([pairs, pairs]), good, "stands twice"),
        (pairs, lambda x: np.full(40, 0.5), r"the function returned a ndarray, which does not say of which answer"),
        (
            pairs,
            good.rename(columns={"p_a": "p"}),
            "a column 'p' does not say of which answer it is; give weak='FOLDER'",
        ),
        (pairs, good.drop(columns="id"), "no column 'id'"),
        (pairs, good.assign(id=range(40)), r"the ids are row numbers \(0, 1 …\)"),
        (pairs.assign(id=range(1, 41)), scored(pairs, id=range(1, 41)), "the ids are row numbers"),
        (pairs, scored(pairs).iloc[3:], "3 of 40 probe pairs have none"),
        (pairs, pd.concat([scored(pairs), scored(pairs, seed=1)]), r"2 values of seed \(0, 1\); keep the rows of one"),
        (pairs.drop(columns="truth"), scored(pairs), "delta is that of the better answer, which this probe does not"),
        (pairs, "nowhere/at/all", "there is no folder or file nowhere/at/all"),
        ([], good, "no pairs"),
        (pairs.head(0), good, "no pairs"),
        ([{"prompt": "x", "chosen": "same", "rejected": "same"}], good, "the same text"),
        ([{"prompt": "x", "better": "one", "worse": "two"}], good, "no column 'chosen'"),
    ]


@pytest.mark.parametrize("case", range(19))
def test_bad_probes_are_refused(case: int) -> None:
    pairs, scores, sentence = broken(table())[case]
    with pytest.raises(W2SError, match=sentence):
        make_probe(pairs, scores, [])


def test_what_is_only_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    whole = table()
    few = whole.head(5)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "w2s_pref"):
        make_probe(whole, weak(whole), [])
        assert not caplog.records
        make_probe(few, pd.DataFrame({"id": few["id"], "p_a": 0.99}), [])
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert "5 pairs" in said[0]
    assert "never uncertain" in said[1]
    assert "the same p" in said[2]


@pytest.mark.usefixtures("float64")
def test_margins_of_policies() -> None:
    """beta times the difference of log-ratios, and per token without a reference; shards add up."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from w2s_pref.models.scoring import logprob_pairs

    reward = make_model()
    small = LlamaConfig(**{**reward.config.to_dict(), "architectures": None})
    policy, tokenizer, pairs = LlamaForCausalLM(small), make_tokenizer(), table(12)
    logp = logprob_pairs(policy, tokenizer, pairs)
    ratio = (logp["logp_a"] - logp["logp_b"]).to_numpy()
    implicit = PolicyMargins(pairs, tokenizer, beta=0.5, reference=logp.sample(frac=1, random_state=0))
    assert implicit(policy, (0, 1)) == pytest.approx(np.zeros(12), abs=EXACT)
    assert PolicyMargins(pairs, tokenizer, beta=0.5)(policy, (0, 1)) == pytest.approx(0.5 * ratio, abs=EXACT)
    each = (logp["logp_a"] / logp["tokens_a"] - logp["logp_b"] / logp["tokens_b"]).to_numpy()
    assert PolicyMargins(pairs, tokenizer, beta=1, per_token=True)(policy, (0, 1)) == pytest.approx(each, abs=EXACT)
    with pytest.raises(W2SError, match="lacks log-probabilities"):
        PolicyMargins(pairs, tokenizer, reference=logp.head(3))
    with pytest.raises(W2SError, match="takes no reference"):
        PolicyMargins(pairs, tokenizer, reference=logp, per_token=True)


@pytest.mark.usefixtures("float64")
def test_margins_of_reward_models_are_their_scores() -> None:
    from w2s_pref.models.scoring import score_pairs

    model, tokenizer, pairs = make_model(), make_tokenizer(), table()
    scores = score_pairs(model, tokenizer, pairs)
    scorer = RewardMargins(pairs, tokenizer)
    assert scorer(model, (0, 1)) == pytest.approx((scores["score_a"] - scores["score_b"]).to_numpy(), abs=EXACT)
    assert scorer.tokens == 40 * 2 * len(tokenizer("question 1 w1 yes<eos>")["input_ids"])
