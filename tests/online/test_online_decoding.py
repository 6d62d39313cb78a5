"""Guided decoding: the beam's step and the mixture by hand, what they are without a guide, and what a guide scores."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_tokenizer
from torch import nn

from w2s_pref.data.tokens import answer_ids, prompt_ids
from w2s_pref.models.decoding import Emulation, Guide, Search, _Emulated, best_beams
from w2s_pref.models.generation import SampleSettings, sample
from w2s_pref.models.policies import load_saved_policy
from w2s_pref.stages.decoding import EmulatedLogProbs, affordable
from w2s_pref.testbed import ladder
from w2s_pref.testbed.world import generate

SETTINGS = SampleSettings(samples=2, max_new_tokens=7, batch_size=6)


@pytest.fixture(scope="module")
def strong():
    return load_saved_policy(ladder.path("xs"))


@pytest.fixture(scope="module")
def guide(strong):
    """What a bigger model says more than a smaller one: no training of one, but as good a difference."""
    model, tokenizer = load_saved_policy(ladder.path("xxs"))
    return Guide(strong[0], model.eval(), tokenizer, 64)


@pytest.fixture(scope="module")
def prompts() -> pd.DataFrame:
    return pd.DataFrame({"form": "text", "prompt": generate(4, seed=5)["prompt"]})


def test_the_best_beams_and_a_beam_that_ended_counts_once():
    scores = np.array([[[1.0, 4.0], [3.0, 3.0]], [[2.0, 0.0], [1.0, 2.0]]])
    ended = np.array([[[False, False], [True, True]], [[False, False], [False, False]]])
    assert best_beams(scores, ended, 2).tolist() == [[1, 2], [0, 3]]  # not 2 and its copy 3; of equals the first
    assert best_beams(scores[:1], ended[:1], 3).tolist() == [[1, 2, 0]]


class Script(nn.Module):
    """A "model" whose chunks are written down, row by row; the end is token 101."""

    def __init__(self, *chunks: list[list[int]]) -> None:
        super().__init__()
        self.weight, self.generation_config = nn.Parameter(torch.zeros(1)), None
        self.chunks, self.prefixes, self.number = chunks, [], count()

    def generate(self, input_ids, attention_mask, max_new_tokens, return_dict_in_generate, past_key_values=None):
        chunk = torch.tensor(self.chunks[next(self.number)])
        assert attention_mask.shape == input_ids.shape
        assert chunk.shape[1] == max_new_tokens
        self.prefixes.append(input_ids.tolist())
        cache = SimpleNamespace(reorder_cache=lambda rows: None)
        return SimpleNamespace(sequences=torch.cat([input_ids, chunk], 1), past_key_values=cache)


def test_two_rounds_of_a_beam_by_hand():
    """W = 2, K = 2, L = 2: of four first chunks two are kept; one of them ends and waits for the other."""
    tokenizer, worth = make_tokenizer(), {"w1 w2": 1.0, "w3": 5.0, "w4 w5": 3.0, "w6 w7": 2.0}
    worth |= {"w4 w5 w8 w9": 4.0, "w4 w5 w2": 6.0}
    asked: list[tuple[list[str], list[bool]]] = []

    def score(prompts: pd.DataFrame, texts: list[str], ended: list[bool]) -> np.ndarray:
        words = [text.strip() for text in texts]
        asked.append((words, ended))
        return np.array([worth[text] for text in words])

    end, w = tokenizer.eos_token_id, [tokenizer(f"w{n}")["input_ids"][0] for n in range(1, 10)]
    first = [[w[0], w[1]], [w[2], end], [w[3], w[4]], [w[5], w[6]]]
    junk = [w[8], w[8]]
    second = [junk, junk, [w[7], w[8]], [w[1], end]]
    model: Any = Script(first, second)
    search = Search(model, tokenizer, SimpleNamespace(score=score), 2, 2, 2)  # type: ignore[arg-type]
    config: Any = SimpleNamespace(eos_token_id=[end], pad_token_id=100, max_new_tokens=4)
    drawn = search(pd.DataFrame({"form": ["text"], "prompt": ["w9"]}), [[w[8]]], config, seed=0)
    assert asked[0] == (["w1 w2", "w3", "w4 w5", "w6 w7"], [False, True, False, False])
    assert model.prefixes[1] == [[w[8], *chunk] for chunk in (first[1], first[1], first[2], first[2])]
    assert asked[1] == (["w4 w5 w8 w9", "w4 w5 w2"], [False, True])  # the beam that ended is not scored again
    assert drawn.answers == [[w[3], w[4], w[1], end]]
    assert drawn.more["drawn"].tolist() == [8 + 4]
    assert drawn.more["guide"].tolist() == [6.0]
    assert np.isnan(drawn.logp).all()


class Table(nn.Module):
    """A language model that is a table: the last token's row of log-probabilities."""

    def __init__(self, *rows: list[float]) -> None:
        super().__init__()
        self.table = torch.tensor(rows).log()

    def forward(self, input_ids, attention_mask, past_key_values, use_cache):
        return SimpleNamespace(logits=self.table[input_ids], past_key_values=None)


@pytest.mark.parametrize(
    ("beta", "law"), [(0.0, [0.5, 0.3, 0.2]), (1.0, [0.25 / 0.9, 0.45 / 0.9, 0.2 / 0.9]), (2.0, [0.125, 0.675, 0.2])]
)
def test_the_mixture_by_hand(beta: float, law: list[float]):
    """Odds .2/.4, .6/.4, 1 of the guide, to the power of β, times .5, .3, .2 of the model; then over their sum."""
    even = [1 / 3] * 3
    guide: Any = SimpleNamespace(tuned=Table(even, [0.2, 0.6, 0.2], even), untuned=Table(even, [0.4, 0.4, 0.2], even))
    mixture = _Emulated(guide, beta, torch.ones(1, 2, dtype=torch.long))
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log() + 7.0
    mixed = mixture(torch.tensor([[0, 1]]), logits)
    assert mixed.softmax(-1)[0].tolist() == pytest.approx(law, abs=1e-6)
    assert beta or torch.equal(mixed, logits)
    mixture.note(torch.tensor([2]))
    assert mixture.chosen[0].tolist() == pytest.approx([np.log(law[2])], abs=1e-5)


def test_without_a_guide_or_a_choice_it_is_plain_sampling(strong, guide, prompts):
    plain = sample(*strong, prompts, SETTINGS, 1, None)
    for draw in (Emulation(strong[0], guide, 0.0), Search(*strong, guide, 1, 1, 3)):
        table = sample(*strong, prompts, SETTINGS, 1, None, draw=draw)
        columns = ["row", "sample", "text", "tokens", "ended", "ids", "prompt_tokens"]
        pd.testing.assert_frame_equal(table[columns], plain[columns], check_exact=True)
        if isinstance(draw, Search):
            assert (table["drawn"] == plain["tokens"]).all()
        else:
            assert table["logp"].to_numpy() == pytest.approx(plain["logp"].to_numpy(), abs=1e-4)
    assert (sample(*strong, prompts, SETTINGS, 1, None, draw=Emulation(strong[0], guide, 2.0)).text != plain.text).any()


def test_an_answer_depends_neither_on_its_batch_nor_on_who_draws_it(strong, guide, prompts):
    greedy = SampleSettings(samples=1, temperature=0.0, max_new_tokens=7, batch_size=1)
    together = greedy.model_copy(update={"batch_size": 5})
    mixed = [
        sample(*strong, prompts, each, 1, None, draw=Emulation(strong[0], guide, 1.0)) for each in (greedy, together)
    ]
    assert mixed[0]["ids"].tolist() == mixed[1]["ids"].tolist()
    assert mixed[0]["logp"].to_numpy() == pytest.approx(mixed[1]["logp"].to_numpy(), abs=1e-3)
    search = Search(*strong, guide, 2, 2, 4)
    whole, *parts = (
        sample(*strong, prompts, SETTINGS, 1, None, shard=shard, draw=search) for shard in ((0, 1), (0, 2), (1, 2))
    )
    joined = pd.concat(parts).sort_values(["row", "sample"], ignore_index=True)
    pd.testing.assert_frame_equal(whole, joined, check_exact=True)
    assert whole["tokens"].max() <= 7


def test_a_search_gives_the_answer_that_its_guide_puts_highest(strong, guide, prompts):
    """Best of 6, by one beam: the six whole answers of the same seed are those of as many plain samples."""
    one = SampleSettings(samples=1, max_new_tokens=12, batch_size=6)
    best = sample(*strong, prompts[:1], one, 1, None, draw=Search(*strong, guide, 1, 6, 12)).iloc[0]
    many = sample(*strong, prompts[:1], SampleSettings(samples=6, max_new_tokens=12, batch_size=6), 1, None)
    asked = prompts[:1].loc[[0] * 6].reset_index(drop=True)
    scores = guide.score(asked, many["text"].tolist(), many["ended"].tolist())
    assert best["ids"] == many["ids"][scores.argmax()]
    assert best["guide"] == pytest.approx(scores.max(), abs=1e-4)
    assert best["drawn"] == many["tokens"].sum()


def test_a_guide_scores_answers_by_their_tokens_and_what_goes_on_without_its_end(strong, guide, prompts):
    text = " add a cup of mint ."
    start, tokenizer = prompt_ids(prompts[:1], guide.tokenizer, None)[0], guide.tokenizer
    words = tokenizer(text, add_special_tokens=False)["input_ids"]
    for ended, ids in ((True, [*words, tokenizer.eos_token_id]), (False, words)):
        by_hand = 0.0
        for model, sign in ((guide.tuned, 1), (guide.untuned, -1)):
            with torch.no_grad():
                law = model(torch.tensor([start + ids])).logits[0].double().log_softmax(-1)
            by_hand += sign * sum(float(law[len(start) - 1 + at, token]) for at, token in enumerate(ids))
        assert guide.score(prompts[:1], [text], [ended])[0] == pytest.approx(by_hand, abs=1e-4)


def test_ids_of_answers_that_go_on():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}w1 {{ m['content'] }} <eos> {% endfor %}{% if add_generation_prompt %}w1 {% endif %}"
    )
    asked = pd.DataFrame({"form": ["chat", "text"], "prompt": ['[{"role": "user", "content": "w2"}]', "w2"]}).loc[
        [0, 0, 0, 1, 1]
    ]
    ids, starts = answer_ids(
        asked, ["w3 w4", "w3 w4", "", " w3", ""], [True, False, False, False, False], tokenizer, None
    )
    said = [tokenizer.convert_ids_to_tokens(list(each[start:])) for each, start in zip(ids, starts, strict=True)]
    assert said == [["w3", "w4", "<eos>"], ["w3", "w4"], [], ["w3"], []]


def test_emulated_fine_tuning_ranks_by_a_sum_of_log_probabilities(tmp_path: Path):
    def logps(a: float, b: float) -> pd.DataFrame:
        return pd.DataFrame({"id": ["p"], "logp_a": [a], "logp_b": [b], "tokens_a": [3], "tokens_b": [4]})

    tables = {"s": logps(-4.0, -6.0), "t": logps(-2.0, -5.0), "u": logps(-3.0, -1.0)}
    builder: Any = SimpleNamespace(table=tables.__getitem__)
    EmulatedLogProbs("eft", ["p"], "s", "t", "u", 0.5).build(builder, tmp_path)  # type: ignore[arg-type]
    table = pd.read_parquet(tmp_path / "table.parquet")
    assert table.iloc[0].tolist() == ["p", -4.0 + 0.5 * 1.0, -6.0 + 0.5 * -4.0, 3, 4]


def test_the_rival_of_a_search_pays_what_it_paid():
    plain = pd.DataFrame({"tokens": [10, 12]})
    assert affordable(pd.DataFrame({"drawn": [170.0, 180.0]}), plain) == 16  # 350 / 22 = 15.9
    assert affordable(pd.DataFrame({"drawn": [4.0, 5.0]}), plain) == 1
