"""Text stays text: no spelling in the data becomes a control token, in plain texts and inside chat templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from data_helpers import TEMPLATE, byte_tokenizer, encoder_tokenizer

from w2s_pref.data.control import text_stays_text
from w2s_pref.data.token_cache import kept_in
from w2s_pref.data.tokens import describe, prompt_ids, tokenize

LINES = ["how do i clean the oven? use mild lemon and wait an hour!", "hot water, soap and a brush."] * 8


def llama(template: bool = True) -> Any:
    """SentencePiece as Llama has it: BPE with byte fallback, a blank in front, <s> before every text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    core.train_from_iterator([line.replace(" ", "▁") for line in LINES], trainer)
    state = json.loads(core.to_str())  # the trainer calls bytes special, which Llama's are not
    state["added_tokens"] = [token for token in state["added_tokens"] if "x" not in token["content"]]
    core = Tokenizer.from_str(json.dumps(state))
    core.add_special_tokens([AddedToken("<|user|>"), AddedToken("<|assistant|>"), AddedToken("<pad>")])
    core.add_tokens([AddedToken("</think>", normalized=False)])
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **names)
    tokenizer.chat_template = TEMPLATE if template else None
    return tokenizer


def qwen() -> Any:
    """Byte-level BPE with ChatML and a thinking mark that is no special token, as Qwen has them."""
    from tokenizers import AddedToken

    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.add_tokens([AddedToken("<think>"), AddedToken("</think>", normalized=False)])
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


def bert() -> Any:
    """WordPiece as BERT has it: [CLS] … [SEP], lower case."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz[]<>/|?!.,:"]
    pieces += [f"##{sign}" for sign in "abcdefghijklmnopqrstuvwxyz"]
    core = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=core, mask_token="[MASK]", **names)


def words() -> Any:
    """Word level by blanks: here a control token's spelling is a word of the vocabulary."""
    from conftest import make_tokenizer

    return make_tokenizer()


#: Tokenizer, and what its data spell.
KINDS = {
    "llama": (llama, "</s>", "</think>", "<|user|>"),
    "gpt2": (byte_tokenizer, "<|endoftext|>", "<pad>"),
    "gpt2 with bos": (lambda: byte_tokenizer(bos=True), "<|endoftext|>", "<s>"),
    "qwen": (qwen, "<|im_end|>", "</think>", "<|endoftext|>"),
    "bert": (bert, "[SEP]", "[CLS]"),
    "encoder": (encoder_tokenizer, "[SEP]"),
    "words": (words, "<eos>", "<pad>"),
}
CASES = [(kind, spelled) for kind, (_, *all_) in KINDS.items() for spelled in all_]


def pairs(form: str, spelled: str) -> pd.DataFrame:
    """Two pairs: the answer of the first spells a control token, and so does the prompt of the second."""
    texts = [("wait:", f" use soap {spelled} now", " use lye"), (f"is {spelled} good?", " hot water", " no")]
    if form == "chat":

        def turn(role: str, text: str) -> str:
            return json.dumps([{"role": role, "content": text.strip()}])

        texts = [(turn("user", p), turn("assistant", a), turn("assistant", b)) for p, a, b in texts]
    table = [{"id": f"n{at}", "form": form, "prompt": p, "a": a, "b": b} for at, (p, a, b) in enumerate(texts)]
    return pd.DataFrame(table)


def counted(ids: list[Any], token: int) -> list[int]:
    """How often each text holds a token."""
    return [list(each).count(token) for each in ids]


@pytest.mark.parametrize("form", ["text", "chat"])
@pytest.mark.parametrize(("kind", "spelled"), CASES)
def test_data_never_become_a_control_token(kind: str, spelled: str, form: str) -> None:
    tokenizer = KINDS[kind][0]()
    token = tokenizer.convert_tokens_to_ids(spelled)
    frame, clean = pairs(form, spelled), pairs(form, "so")
    kept, usual = tokenize(frame, tokenizer, None), tokenize(clean, tokenizer, None)
    with text_stays_text():
        read, same = tokenize(frame, tokenizer, None), tokenize(clean, tokenizer, None)
        prompts = prompt_ids(frame, tokenizer, None)
        plain_prompts = prompt_ids(clean, tokenizer, None)
    # What the data do not spell is read as ever, and what tokenizer and template write is all there.
    assert (same.a_ids, same.b_ids) == (usual.a_ids, usual.b_ids)
    assert counted(read.a_ids, token) == counted(usual.a_ids, token)
    assert counted(read.b_ids, token) == counted(usual.b_ids, token)
    assert counted(prompts, token) == counted(plain_prompts, token)
    ends = [[ids[0], ids[-1]] for ids in read.a_ids]
    assert ends == [[ids[0], ids[-1]] for ids in usual.a_ids]
    assert read.counts["control_tokens"] == 2
    assert "2 pairs spell a control token, which is read as text" in describe(read.counts, None)
    assert "control_tokens" not in kept.counts


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen"])
def test_the_text_is_all_there(kind: str) -> None:
    """Decoded, a text says what the data say; for a tokenizer that keeps every sign."""
    tokenizer, spelled = KINDS[kind][0](), KINDS[kind][1]
    with text_stays_text():
        read = tokenize(pairs("text", spelled), tokenizer, None)
    said = tokenizer.decode(read.a_ids[0], skip_special_tokens=True)
    assert said.strip() == f"wait: use soap {spelled} now"


def test_a_template_does_not_look_into_the_data() -> None:
    """Qwen's templates cut what stands before </think>, so data could delete themselves."""
    tokenizer = qwen()
    with text_stays_text():
        read = tokenize(pairs("chat", "</think>"), tokenizer, None)
    assert "use soap </think> now" in tokenizer.decode(read.a_ids[0])
    assert "use soap" not in tokenizer.decode(tokenize(pairs("chat", "</think>"), tokenizer, None).a_ids[0])


def test_prompts_are_cut_and_starts_found_as_ever() -> None:
    tokenizer = llama()
    frame = pairs("text", "</s>")
    with text_stays_text():
        whole = tokenize(frame, tokenizer, None, starts=True)
        cut = tokenize(frame, tokenizer, len(whole.a_ids[1]) - 2, starts=True)
        prompts = prompt_ids(frame, tokenizer, None)
    assert [list(ids[:start]) for ids, start in zip(whole.a_ids, whole.a_starts, strict=True)] == prompts
    assert list(cut.a_ids[1]) == [whole.a_ids[1][0], *whole.a_ids[1][3:]]
    assert cut.a_starts[1] == whole.a_starts[1] - 2


def test_the_cache_keeps_both_readings_apart(tmp_path: Path) -> None:
    tokenizer, frame = byte_tokenizer(), pairs("text", "<pad>")
    with kept_in(tmp_path):
        kept = tokenize(frame, tokenizer, None)
        with text_stays_text():
            read = [tokenize(frame, tokenizer, None) for _ in range(2)]
    assert list(read[0].a_ids[0]) == list(read[1].a_ids[0]) != list(kept.a_ids[0])


def test_the_key_of_a_split_says_so_where_it_spells_a_token(tmp_path: Path) -> None:
    import re

    from w2s_pref.stages.rows import Rows, slices

    find = re.compile(re.escape("</s>"))
    spelled, clean = pairs("text", "</s>").assign(group="g"), pairs("text", "so").assign(group="g")
    assert Rows("w2s", spelled, find).texts != Rows("w2s", spelled).texts
    assert Rows("w2s", clean, find).texts == Rows("w2s", clean).texts
    assert slices(Rows("w2s", spelled, find), 1)["w2s/1"].texts == Rows("w2s", spelled, find).texts


def test_control_tokens_of_models() -> None:
    from w2s_pref.models.info import control_tokens, facts
    from w2s_pref.models.spec import ModelSpec

    find = control_tokens([facts(ModelSpec(path="ladder/xs"), Path())])
    assert find is not None
    assert {spelled for spelled in ("<pad>", "</s>", "<|eot|>") if find.search(f"a {spelled} b")} == {"<pad>", "</s>"}
    elsewhere = control_tokens([facts(ModelSpec(path="nobody/nothing"), Path())])
    assert elsewhere is not None
    assert all(elsewhere.search(spelled) for spelled in ("<|eot_id|>", "</think>", "[SEP]", "</s>"))
    assert control_tokens([]) is None
