"""Token ids: equal to TRL's where nothing is too long, cut from the left where something is, eos once."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from data_helpers import LINES, byte_tokenizer, encoder_tokenizer, loaded, real

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import canonical
from w2s_pref.data.token_cache import kept_in
from w2s_pref.data.tokens import describe, prompt_ids, tokenize

EOS = "<|endoftext|>"
TEXTS = [
    ("how do i clean the oven?", " use lemon!", " use caustic lye, it works at once"),
    ("", "hello", "!!"),
    ("ends in eos?", f" yes{EOS}", " no"),
    ("Human: é 漢字 🙂?\n\nAssistant:", " «voilà»", " !"),
    ("no space between", "words", "wordless"),
]


def lists(ids: Any) -> list[list[int]]:
    """Ids are kept in arrays; TRL's are lists."""
    return [list(each) for each in ids]


def pairs(texts: list[tuple[str, str, str]], form: str = "text") -> pd.DataFrame:
    """A table in which ``a`` is the first answer."""
    items = [
        {"id": f"n{i}", "group": p, "form": form, "prompt": p, "a": a, "b": b} for i, (p, a, b) in enumerate(texts)
    ]
    return pd.DataFrame(items).assign(truth=1, objective="target")


def chats() -> list[dict[str, list[dict[str, str]]]]:
    """Conversations: one turn, several turns, a system message, blanks around an answer."""
    user = [{"role": "user", "content": "how do i clean the sink?"}]
    more = [{"role": "system", "content": "be brief"}, *user, {"role": "assistant", "content": "how?"}, *user]
    return [
        {
            "prompt": prompt,
            "chosen": [{"role": "assistant", "content": " soap!"}],
            "rejected": [{"role": "assistant", "content": good}],
        }
        for prompt, good in ((user, "acid and bleach"), (more, "! "))
    ]


def chat_pairs() -> pd.DataFrame:
    return pairs([tuple(canonical(row[key]) for key in ("prompt", "chosen", "rejected")) for row in chats()], "chat")  # type: ignore[misc]


def trl_ids(rows: list[dict[str, Any]], tokenizer: Any) -> Any:
    """What TRL's RewardTrainer feeds its model."""
    from datasets import Dataset
    from trl.trainer.reward_trainer import RewardTrainer

    args = SimpleNamespace(dataset_num_proc=None, max_length=None)
    return RewardTrainer._prepare_dataset(None, Dataset.from_list(rows), tokenizer, args, "train")


@pytest.mark.parametrize("bos", [False, True])
def test_text_ids_equal_trl(bos: bool) -> None:
    tokenizer = byte_tokenizer(bos=bos)
    expected = trl_ids([{"prompt": p, "chosen": a, "rejected": b} for p, a, b in TEXTS], tokenizer)
    done = tokenize(pairs(TEXTS), tokenizer, 200)
    assert lists(done.a_ids) == expected["chosen_ids"]
    assert lists(done.b_ids) == expected["rejected_ids"]
    assert done.ids == [f"n{i}" for i in range(5)]
    assert done.counts["kept"] == 5
    assert not any(done.truncated)


def test_chat_ids_equal_trl() -> None:
    tokenizer = byte_tokenizer(template=True)
    expected = trl_ids(chats(), tokenizer)
    done = tokenize(chat_pairs(), tokenizer, 200)
    assert lists(done.a_ids) == expected["chosen_ids"]
    assert lists(done.b_ids) == expected["rejected_ids"]
    assert done.a_ids[0].count(tokenizer.bos_token_id) == 1


def test_real_hh_ids_equal_trl() -> None:
    (path,) = real("hh/harmless_test.parquet")
    frame = loaded(path, on_bad_row="drop").frame.head(300)
    tokenizer = byte_tokenizer()
    rows = [{"prompt": row["prompt"], "chosen": row["a"], "rejected": row["b"]} for row in frame.to_dict("records")]
    expected = trl_ids(rows, tokenizer)
    done = tokenize(frame, tokenizer, None)
    assert (lists(done.a_ids), lists(done.b_ids)) == (expected["chosen_ids"], expected["rejected_ids"])


def test_eos_once_whether_the_text_has_it_or_not() -> None:
    tokenizer = byte_tokenizer()
    done = tokenize(pairs([("q?", " yes", f" yes{EOS}")]), tokenizer, 50)
    assert done.a_ids == done.b_ids
    assert done.a_ids[0].count(tokenizer.eos_token_id) == 1
    assert done.counts["indistinguishable"] == 1
    assert "both answers of 1 pairs are the same tokens" in describe(done.counts, 50)


def test_exclamation_mark_is_token_zero_and_stays() -> None:
    tokenizer = byte_tokenizer()
    assert tokenizer("!")["input_ids"] == [0]
    done = tokenize(pairs([("wow", "!", "!!")]), tokenizer, 50)
    assert list(done.a_ids[0][-2:]) == [0, tokenizer.eos_token_id]
    assert done.b_ids[0].count(0) == 2


@pytest.mark.parametrize("eos", [False, True])
def test_encoders_keep_their_special_tokens(eos: bool) -> None:
    tokenizer = encoder_tokenizer(eos=eos)
    done = tokenize(pairs([("how do i clean", " the oven", " the sink" + ("[SEP]" if eos else ""))]), tokenizer, 50)
    for ids in lists((done.a_ids[0], done.b_ids[0])):
        assert (ids[0], ids[-1], ids.count(2), ids.count(3)) == (2, 3, 1, 1)
    assert list(done.a_ids[0]) == tokenizer("how do i clean the oven")["input_ids"]


@pytest.mark.parametrize("kind", ["plain", "bos", "encoder", "chat"])
def test_prompts_are_cut_from_the_left(kind: str) -> None:
    tokenizer = {
        "plain": byte_tokenizer(),
        "bos": byte_tokenizer(bos=True),
        "encoder": encoder_tokenizer(),
        "chat": byte_tokenizer(template=True),
    }[kind]
    prompt, answer, other = " ".join(LINES), " use mild lemon", " use a brush"
    frame = pairs([(prompt, answer, other)])
    if kind == "chat":
        turns = [
            [{"role": role, "content": t}]
            for role, t in (("user", prompt), ("assistant", answer), ("assistant", other))
        ]
        frame = pairs([(canonical(turns[0]), canonical(turns[1]), canonical(turns[2]))], "chat")
    whole, done = tokenize(frame, tokenizer, None), tokenize(frame, tokenizer, 20)
    full, cut = lists((whole.a_ids[0], done.a_ids[0]))
    assert len(cut) == 20
    if kind == "plain":
        assert cut == full[-20:]
    else:
        assert cut == [full[0], *full[-19:]]
        assert full[0] in (tokenizer.bos_token_id, tokenizer.cls_token_id)
    assert done.counts["prompt_truncated"] == 1
    assert done.counts["answer_cut"] == 0
    assert done.truncated == [True]


@pytest.mark.parametrize("form", ["text", "chat"])
def test_an_answer_that_is_too_long_alone_is_cut_and_counted(form: str) -> None:
    tokenizer = byte_tokenizer(template=form == "chat")
    texts = ("how?", " so " + " ".join(LINES[:2]), " no")
    if form == "chat":
        roles = ("user", "assistant", "assistant")
        texts = tuple(canonical([{"role": role, "content": text}]) for role, text in zip(roles, texts, strict=True))  # type: ignore[assignment]
    frame = pairs([texts], form)
    full = tokenize(frame, tokenizer, None).a_ids[0]
    done = tokenize(frame, tokenizer, 16)
    assert done.a_ids[0][-15:] == full[-15:]
    assert (done.counts["answer_cut"], done.counts["prompt_truncated"]) == (1, 0)
    assert "1 the start of an answer" in describe(done.counts, 16)


def test_the_limit_between_prompt_and_answer_is_exact() -> None:
    tokenizer = byte_tokenizer()
    frame = pairs([("how do i clean the oven?", " use mild lemon", " no")])
    answer = len(tokenizer(" use mild lemon" + EOS)["input_ids"])
    assert tokenize(frame, tokenizer, answer).counts["prompt_truncated"] == 1
    assert tokenize(frame, tokenizer, answer - 1).counts["answer_cut"] == 1
    assert tokenize(frame, tokenizer, len(tokenize(frame, tokenizer, None).a_ids[0])).truncated == [False]


def test_overlong_can_be_dropped_or_refused() -> None:
    tokenizer = byte_tokenizer()
    frame = pairs([("short?", " yes", " no"), (" ".join(LINES), " yes", " no"), ("q?", " " + " ".join(LINES), " no")])
    done = tokenize(frame, tokenizer, 20, "drop")
    assert (done.ids, len(done.a_ids), len(done.b_ids)) == (["n0"], 1, 1)
    assert (done.counts["pairs"], done.counts["kept"], done.counts["dropped"]) == (3, 1, 2)
    with pytest.raises(W2SError) as caught:
        tokenize(frame, tokenizer, 20, "error")
    assert caught.value.problems[:2] == [f"pair n{i}: longer than max_length 20 tokens" for i in (1, 2)]
    assert "overlong: truncate" in caught.value.problems[-1]


def test_conversations_without_template_are_written_plainly(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = byte_tokenizer()
    with caplog.at_level(logging.WARNING):
        done = tokenize(chat_pairs(), tokenizer, None)
        tokenize(chat_pairs(), tokenizer, None)
    text = "\n\nHuman: how do i clean the sink?\n\nAssistant:  soap!" + EOS
    assert list(done.a_ids[0]) == tokenizer(text)["input_ids"]
    assert sum("has no chat template" in record.message for record in caplog.records) <= 1


def test_a_template_that_refuses_says_so() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no system message, please') }}"
    with pytest.raises(W2SError, match=r"refuses a conversation of user, assistant: no system message, please"):
        tokenize(chat_pairs(), tokenizer, 20)


def test_a_template_that_asks_for_the_date_writes_the_same_on_every_day(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "{{ date_string }}{% for turn in messages %} {{ turn.role }}: {{ turn.content }}{% endfor %}"
    )
    with kept_in(tmp_path):
        done = tokenize(chat_pairs(), tokenizer, None)
    asked = prompt_ids(chat_pairs(), tokenizer, None)
    assert tokenizer.decode(list(done.a_ids[0])).startswith("26 Jul 2024 user: how do i clean")
    assert tokenizer.decode(asked[0]).startswith("26 Jul 2024 user: how do i clean")


def test_unknown_words_are_counted() -> None:
    done = tokenize(pairs([("clean the", " oven", " zyzzyva quux")]), encoder_tokenizer(), 50)
    assert (done.counts["unknown_tokens"], done.counts["tokens"]) == (2, 5 + 6)
    assert "18.2% of the tokens are unknown" in describe(done.counts, 50)


def test_text_without_any_token_and_useless_limit() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    empty = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])))
    with pytest.raises(W2SError, match="has no token"):
        tokenize(pairs([("", "b", "a")]), empty, 20)
    with pytest.raises(ValueError, match="at least 2"):
        tokenize(pairs([("", "b", "a")]), empty, 1)


def test_ids_do_not_depend_on_the_other_rows() -> None:
    tokenizer = byte_tokenizer(bos=True)
    together = tokenize(pairs(TEXTS), tokenizer, 12)
    for at, text in enumerate(TEXTS):
        alone = tokenize(pairs([text]), tokenizer, 12)
        assert (alone.a_ids[0], alone.b_ids[0]) == (together.a_ids[at], together.b_ids[at])
    assert together.a_ids == tokenize(pairs(TEXTS), tokenizer, 12).a_ids
