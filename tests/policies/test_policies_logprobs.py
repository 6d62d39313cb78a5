"""Log-probabilities of responses: equal to the plain computation, whatever the batch; where responses begin."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, make_pairs, make_tokenizer
from float64 import EXACT
from policy_helpers import decoder, make_policy, naive, naive_tokens, sequences
from transformers import LlamaForCausalLM

sys.path.insert(0, str(ROOT / "tests" / "data"))

from data_helpers import LINES, byte_tokenizer, encoder_tokenizer

from w2s_pref.data.tokens import prompt_ids, tokenize
from w2s_pref.models.batches import each
from w2s_pref.models.scoring import logprob_ids, logprob_pairs


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["gpt2", "opt", "llama", "mistral", "qwen2", "neox"])
def test_equal_to_one_sequence_at_a_time(name: str) -> None:
    """Also for responses of no token, and whatever the token budget."""
    model = decoder(name)
    ids, starts = sequences(40, 1)
    starts[3] = len(ids[3])
    expected = np.array([naive(model, tokens, start) for tokens, start in zip(ids, starts, strict=True)])
    assert expected[3] == 0
    assert expected.min() < -20
    for budget in (1, 64, 8192):
        assert np.abs(logprob_ids(model, ids, starts, 100, budget=budget) - expected).max() <= EXACT


class HeadUncalled(LlamaForCausalLM):  # type: ignore[misc]
    """Multiplies by the head's weight without calling the head."""

    def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        hidden = self.model(input_ids, attention_mask=attention_mask).last_hidden_state
        return SimpleNamespace(logits=hidden @ self.lm_head.weight.T)


@pytest.mark.usefixtures("float64")
def test_models_that_do_not_call_their_head_give_the_same() -> None:
    model = make_policy()
    ids, starts = sequences(20, 1)
    expected = logprob_ids(model, ids, starts, 100)
    other = HeadUncalled(model.config)
    other.load_state_dict(model.state_dict())
    assert np.abs(logprob_ids(other, ids, starts, 100) - expected).max() <= EXACT


def test_large_vocabularies_make_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from w2s_pref.models.batches import budget

    model, seen = make_policy(), []
    model.register_forward_pre_hook(lambda *given: seen.append(given[2]["input_ids"].numel()), with_kwargs=True)
    ids, starts = sequences(20, 1)
    logprob_ids(model, ids, starts, 100)
    assert max(seen) > 60
    seen.clear()
    monkeypatch.setattr(budget, "MOST_LOGITS", 60 * 104)
    logprob_ids(model, ids, starts, 100)
    assert max(seen) <= 60


def test_ranks_share_the_batches() -> None:
    model = make_policy()
    ids, starts = sequences(20, 1)
    whole = logprob_ids(model, ids, starts, 100, budget=40)
    parts = np.stack([logprob_ids(model, ids, starts, 100, budget=40, shard=(rank, 2)) for rank in (0, 1)])
    assert (np.isnan(parts).sum(axis=0) == 1).all()
    assert (np.nanmax(parts, axis=0) == whole).all()


def test_the_first_token_is_no_response() -> None:
    with pytest.raises(ValueError, match="index 1 or later"):
        logprob_ids(make_policy(), [[1, 2]], [0], 100)


@pytest.mark.usefixtures("float64")
def test_pairs_by_hand() -> None:
    """A response is the answer and its eos, given the prompt."""
    model, tokenizer, frame = make_policy(), make_tokenizer(), make_pairs(12)
    table = logprob_pairs(model, tokenizer, frame, max_length=64)
    assert list(table["id"]) == list(frame["id"])
    for row, done in zip(frame.to_dict("records"), table.to_dict("records"), strict=True):
        prompt = tokenizer(row["prompt"])["input_ids"]
        for side in ("a", "b"):
            answer = [*tokenizer(row[side])["input_ids"], 101]
            assert done[f"tokens_{side}"] == len(answer)
            assert done[f"logp_{side}"] == pytest.approx(naive(model, prompt + answer, len(prompt)), abs=EXACT)


@pytest.mark.usefixtures("float64")
def test_tokens_by_hand_whatever_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Token by token as one text alone says it: under any budget, in both layouts, shared among ranks."""
    model, tokenizer, frame = make_policy(), make_tokenizer(), make_pairs(6)
    pairs = pd.concat([frame, frame.assign(id=frame["id"] + "x", a=frame["b"], b=frame["a"])])  # each text twice
    table = logprob_pairs(model, tokenizer, pairs, max_length=64, each=True)
    assert list(table["id"]) == list(pairs["id"])
    for row, done in zip(pairs.to_dict("records"), table.to_dict("records"), strict=True):
        prompt = tokenizer(row["prompt"])["input_ids"]
        for side in ("a", "b"):
            answer = [*tokenizer(row[side])["input_ids"], 101]
            assert done[f"ids_{side}"].tolist() == answer
            assert done[f"each_{side}"] == pytest.approx(naive_tokens(model, prompt + answer, len(prompt)), abs=EXACT)
    sums = logprob_pairs(model, tokenizer, pairs, max_length=64)

    def same(*found: pd.DataFrame) -> None:
        for side in ("a", "b"):
            lists = zip(*(part[f"each_{side}"] for part in found), strict=True)
            merged = [np.nanmax(np.stack(said), axis=0) for said in lists]
            assert np.abs(np.concatenate(merged) - np.concatenate(table[f"each_{side}"].tolist())).max() <= EXACT
            assert [said.sum() for said in merged] == pytest.approx(sums[f"logp_{side}"].tolist(), abs=EXACT)

    same(logprob_pairs(model, tokenizer, pairs, max_length=64, budget=40, each=True))
    same(*(logprob_pairs(model, tokenizer, pairs, 64, budget=40, shard=(rank, 2), each=True) for rank in (0, 1)))
    monkeypatch.setattr(each, "layout_of", lambda *_: "padded")
    same(logprob_pairs(model, tokenizer, pairs, max_length=64, each=True))


def test_equal_texts_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from w2s_pref.models import scoring

    frame = make_pairs(6)
    twice = pd.concat([frame, frame.assign(id=frame["id"] + "x", a=frame["b"], b=frame["a"])])
    given: list[int] = []

    def count(_model: Any, rows: list[Any], *_: Any) -> tuple[np.ndarray, np.ndarray]:
        """As if each text had one token."""
        given.append(sum(len(row.texts) for row in rows))
        return np.arange(float(given[-1])), np.arange(given[-1] + 1)

    monkeypatch.setattr(scoring, "token_logprobs", count)
    table = logprob_pairs(make_policy(), make_tokenizer(), twice)
    assert given == [12]
    assert (table["logp_a"][:6].to_numpy() == table["logp_b"][6:].to_numpy()).all()


def text_frame(prompt: str, a: str, b: str, form: str = "text") -> pd.DataFrame:
    return pd.DataFrame([{"id": "x", "form": form, "prompt": prompt, "a": a, "b": b}])


@pytest.mark.parametrize("kind", ["plain", "bos", "chat"])
def test_starts_are_where_trl_parts_prompt_and_completion(kind: str) -> None:
    """TRL takes the earlier one of both answers for both; prompt, response and their ids are the same."""
    from datasets import Dataset
    from trl import DPOTrainer

    tokenizer = byte_tokenizer(bos=kind == "bos", template=kind == "chat")
    texts = [("how do i clean the oven?", " use lemon!", " no"), ("clean the o", "ven", "ld oven")]
    frames = [text_frame(*text) for text in texts]
    rows: list[dict[str, Any]] = [{"prompt": p, "chosen": a, "rejected": b} for p, a, b in texts]
    if kind == "chat":
        roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
        rows = [{key: [{"role": roles[key], "content": text}] for key, text in row.items()} for row in rows]
        frames = [text_frame(*map(json.dumps, row.values()), form="chat") for row in rows]
    args = SimpleNamespace(dataset_num_proc=None, max_length=None)
    own = SimpleNamespace(_tokenizer=tokenizer)
    expected = DPOTrainer._prepare_dataset(own, Dataset.from_list(rows), tokenizer, args, "train")
    for frame, row in zip(frames, expected, strict=True):
        done = tokenize(frame, tokenizer, None, starts=True)
        assert list(done.a_ids[0]) == row["prompt_ids"] + row["chosen_ids"]
        assert list(done.b_ids[0]) == row["prompt_ids"] + row["rejected_ids"]
        assert min(done.a_starts[0], done.b_starts[0]) == len(row["prompt_ids"])
        assert prompt_ids(frame, tokenizer, None)[0][: len(row["prompt_ids"])] == row["prompt_ids"]


def test_a_token_over_the_boundary_is_the_answers() -> None:
    """ "the o" + "ven" merges: the response begins before the letters of the answer do."""
    tokenizer = byte_tokenizer()
    clean, rest, the, oven = tokenizer("clean the oven")["input_ids"]
    assert tokenizer("clean the o")["input_ids"] == [clean, rest, the, *tokenizer(" o")["input_ids"]]
    done = tokenize(text_frame("clean the o", "ven", "x"), tokenizer, None, starts=True)
    assert [list(ids) for ids in done.a_ids] == [[clean, rest, the, oven, tokenizer.eos_token_id]]
    assert done.a_starts == [3]


@pytest.mark.parametrize("kind", ["plain", "bos", "chat"])
@pytest.mark.parametrize("limit", [9, 14, 30])
def test_starts_move_with_what_is_cut(kind: str, limit: int) -> None:
    """The response keeps its tokens; where it is cut itself it begins after the bos, or at 1."""
    tokenizer = byte_tokenizer(bos=kind == "bos", template=kind == "chat")
    frame = text_frame(" ".join(LINES), " use mild lemon and wait", " no")
    if kind == "chat":
        prompt = json.dumps([{"role": "user", "content": " ".join(LINES)}])
        turns = [json.dumps([{"role": "assistant", "content": text}]) for text in ("use mild lemon and wait", "no")]
        frame = text_frame(prompt, *turns, form="chat")
    whole = tokenize(frame, tokenizer, None, starts=True)
    cut = tokenize(frame, tokenizer, limit, starts=True)
    for full, start, ids, begins in (
        (whole.a_ids[0], whole.a_starts[0], cut.a_ids[0], cut.a_starts[0]),
        (whole.b_ids[0], whole.b_starts[0], cut.b_ids[0], cut.b_starts[0]),
    ):
        assert len(ids) == limit
        response = full[start:]
        assert ids[begins:] == response[-(limit - 1) :]
        assert begins == max(1, limit - len(response))


def test_starts_are_at_least_one_and_at_most_the_length() -> None:
    tokenizer = byte_tokenizer()
    done = tokenize(text_frame("", "hello", ""), tokenizer, None, starts=True)
    assert done.a_starts == [1]
    assert ([list(ids) for ids in done.b_ids], done.b_starts) == ([[tokenizer.eos_token_id]], [1])
    assert tokenize(text_frame("", "hello", ""), tokenizer, None).a_starts == []


def test_prompt_ids() -> None:
    """As the policy sees them: bos, generation prompt, no eos, cut from the left after the bos."""
    chat = json.dumps([{"role": "user", "content": "clean the sink"}])
    frame = pd.DataFrame({"form": ["text", "chat", "text"], "prompt": ["clean the oven", chat, "clean the oven"]})
    tokenizer = byte_tokenizer(template=True)
    text, dialogue, again = prompt_ids(frame, tokenizer, None)
    assert text == again == tokenizer("clean the oven")["input_ids"]
    assert tokenizer.decode(dialogue).endswith("<|assistant|>")
    assert dialogue[0] == tokenizer.bos_token_id
    short = prompt_ids(frame, tokenizer, 4)[1]
    assert short == [dialogue[0], *dialogue[-3:]]
    plain = prompt_ids(frame, byte_tokenizer(), None)[1]
    assert byte_tokenizer().decode(plain) == "\n\nHuman: clean the sink\n\nAssistant:"


def test_prompt_ids_are_never_empty_and_never_end() -> None:
    empty = pd.DataFrame({"form": ["text"], "prompt": [""]})
    assert prompt_ids(empty, byte_tokenizer(), None) == [[byte_tokenizer().eos_token_id]]
    ends = encoder_tokenizer(eos=True)
    ids = prompt_ids(pd.DataFrame({"form": ["text"], "prompt": ["clean the oven"]}), ends, None)[0]
    assert ids == ends("clean the oven")["input_ids"][:-1]
