"""From answers to text and ids as one tokenizer wants them: chat template or plain dialogue, special tokens once."""

from __future__ import annotations

import json
import logging
import re
from array import array
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from w2s_pref.core.errors import W2SError
from w2s_pref.data.chat import plain, same_start
from w2s_pref.data.control import MARK, Control, stays_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

#: Token ids of one text, four bytes each: a list would need forty, and large data sets are kept whole.
Ids: TypeAlias = "array[int]"

#: Texts tokenised in one call: enough for the tokenizer's threads, few enough for memory.
CHUNK = 2048

#: What a chat template is told where it asks for the date: of today's, the same pairs would be other tokens tomorrow.
TODAY = datetime(2024, 7, 26)  # what Llama 3's template writes where it cannot ask
#: How templates ask for it, in a form of theirs.
ASKS_DATE = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")

#: Tokenizers whose missing chat template was mentioned.
_TOLD: set[str] = set()


class Answer(NamedTuple):
    """One answer with its prompt, as it stands in a table of pairs."""

    form: str
    prompt: str
    answer: str


class Renderer:
    """Writes answers as the text that one tokenizer is given, and tokenises it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.template = bool(tokenizer.chat_template)
        self.eos = str(tokenizer.eos_token or "")
        self.ends_itself = bool(self.eos) and _ends_itself(tokenizer)
        self._first = {tokenizer.bos_token_id, tokenizer.cls_token_id} - {None}
        self._last = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {None}
        self.control = Control(tokenizer) if stays_text() else None

    def text(self, answer: Answer) -> str:
        """Prompt and answer as one string, with the eos where the tokenizer does not write it."""
        if self.control is not None and self.spells_control(answer):
            return self._as_text(answer, self.control)
        if answer.form == "chat" and self.template:
            return self._apply(json.loads(answer.prompt) + json.loads(answer.answer))
        text = answer.prompt + answer.answer
        if answer.form == "chat":
            text = self._plain(json.loads(answer.prompt) + json.loads(answer.answer))
        ended = bool(self.eos) and text.endswith(self.eos)
        if self.ends_itself:
            return text.removesuffix(self.eos)
        return text if ended else text + self.eos

    def spells_control(self, answer: Answer) -> bool:
        """Whether the data spell a control token, which is to be read as text."""
        return self.control is not None and any(map(self.control.held_by, (answer.prompt, answer.answer)))

    def _as_text(self, answer: Answer, control: Control) -> str:
        """``text`` of data that spell a control token."""
        if answer.form != "chat":
            words = control.broken(answer.prompt + answer.answer)
        elif self.template:
            return control.named(self._apply(self._broken(answer.prompt) + self._broken(answer.answer)))
        else:
            words = self._plain(self._broken(answer.prompt) + self._broken(answer.answer))
        return control.named(words if self.ends_itself else words + self.eos)

    def _broken(self, messages: str) -> list[dict[str, str]]:
        """Messages whose contents no template takes for control tokens."""
        turns: list[dict[str, str]] = json.loads(messages)
        if self.control is None:
            return turns
        return [{**turn, "content": self.control.broken(turn["content"])} for turn in turns]

    def prompt(self, answer: Answer) -> str:
        """The part of ``text`` that comes before the words of the answer."""
        if answer.form != "chat":
            return self.ask(answer.form, answer.prompt)
        turns = json.loads(answer.answer)
        mark = "¶" if turns[0]["content"].startswith("§") else "§"
        other = [{**turns[0], "content": mark + turns[0]["content"]}, *turns[1:]]
        changed = answer._replace(answer=json.dumps(other))
        text = self.text(answer)
        return text[: same_start(text, self.text(changed))]

    def ask(self, form: str, prompt: str) -> str:
        """The prompt alone, up to where somebody has to answer."""
        control = self.control if self.control is not None and self.control.held_by(prompt) else None
        if form != "chat":
            return prompt if control is None else control.named(control.broken(prompt))
        messages = json.loads(prompt) if control is None else self._broken(prompt)
        if self.template:
            text = self._apply(messages, ask=True)
        else:
            text = self._plain([*messages, {"role": "assistant", "content": ""}]).removesuffix(" ")
        return text if control is None else control.named(text)

    def head(self, ids: Ids) -> int:
        """How many ids at the front are kept whatever is cut: the bos or cls token."""
        return 1 if ids and ids[0] in self._first else 0

    def encode_prompts(self, prompts: list[tuple[str, str]]) -> list[Ids]:
        """Ids of (form, prompt), without the token that a tokenizer ends every text with."""
        return self._encode_open([(self.ask(form, prompt), form) for form, prompt in prompts])

    def encode_unended(self, answers: list[Answer]) -> list[Ids]:
        """Ids of prompt and answer up to the answer's last word: it may go on."""
        return self._encode_open([(self._open(answer), answer.form) for answer in answers])

    def _open(self, answer: Answer) -> str:
        """``text`` without what ends an answer."""
        words = answer.answer if answer.form != "chat" else json.loads(answer.answer)[-1]["content"]
        whole = self.text(answer)
        at = whole.rfind(words)
        if not words:
            return self.ask(answer.form, answer.prompt)
        return whole if at < 0 else whole[: at + len(words)]

    def _encode_open(self, texts: list[tuple[str, str]]) -> list[Ids]:
        """``encode`` without the token that a tokenizer ends every text with."""
        encoded = self.encode(texts)
        if not self.ends_itself:
            return encoded
        for (_, form), ids in zip(texts, encoded, strict=True):
            if not (form == "chat" and self.template) and ids and ids[-1] in self._last:
                ids.pop()
        return encoded

    def encode(self, texts: Iterable[tuple[str, str]]) -> list[Ids]:
        """Ids of (text, form): a chat template writes its special tokens itself, all other texts get them here.

        The texts may come from a generator: only a chunk of them is held at a time.
        """
        ids: list[Ids] = []
        coming = iter(texts)
        while chunk := list(islice(coming, CHUNK)):
            ids += self._encode_chunk(chunk)
        return ids

    def _encode_chunk(self, chunk: list[tuple[str, str]]) -> list[Ids]:
        ids = [array("i") for _ in chunk]
        for templated in (False, True):
            here = [at for at, (_, form) in enumerate(chunk) if (form == "chat" and self.template) == templated]
            places = [at for at in here if not chunk[at][0].startswith(MARK)]
            if self.control is not None and (marked := [at for at in here if chunk[at][0].startswith(MARK)]):
                read = self.control.encode([chunk[at][0] for at in marked], specials=not templated)
                for at, each in zip(marked, read, strict=True):
                    ids[at] = array("i", each)
            if not places:
                continue
            encoded = self.tokenizer(
                [chunk[at][0] for at in places],
                add_special_tokens=not templated,
                padding=False,
                truncation=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
            for at, tokens in zip(places, encoded["input_ids"], strict=True):
                ids[at] = array("i", tokens)
        return ids

    @cached_property
    def _dated(self) -> str | None:
        """The chat template with the same date on every day; None for the tokenizer's own, which asks for none."""
        return pinned(str(self.tokenizer.get_chat_template())) if asks_date(self.tokenizer) else None

    def _apply(self, messages: list[dict[str, str]], ask: bool = False) -> str:
        try:
            told = {"chat_template": self._dated, "tokenize": False, "add_generation_prompt": ask}
            return str(self.tokenizer.apply_chat_template(messages, **told))
        except Exception as error:  # templates raise their own kinds, such as for roles they do not know
            roles = ", ".join(turn["role"] for turn in messages)
            raise W2SError(
                f"the chat template of {self.tokenizer.name_or_path!r} refuses a conversation of {roles}: {error}"
            ) from error

    def _plain(self, messages: list[dict[str, str]]) -> str:
        name = self.tokenizer.name_or_path or type(self.tokenizer).__name__
        if name not in _TOLD:
            _TOLD.add(name)
            log.warning(
                "%s has no chat template: conversations are written as '\\n\\nHuman: …\\n\\nAssistant: …'", name
            )
        return plain(messages)


def asks_date(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer's chat template may write today's date."""
    return ASKS_DATE.search(str(tokenizer.chat_template)) is not None


def pinned(template: str) -> str:
    """A chat template that writes the same date on every day."""
    return ASKS_DATE.sub(lambda found: repr(TODAY.strftime(found.group(2))), template)


def _ends_itself(tokenizer: PreTrainedTokenizerBase) -> bool:
    """True where the tokenizer puts a special token after every text, as encoders do."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    start = next((at for at in range(len(full)) if full[at : at + len(bare)] == bare), 0)
    return len(full) > start + len(bare)
