"""Arguments about pairs, a stage a turn; the transcripts made of them; and pairs as a judge reads them, with these."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import canonical, digest
from w2s_pref.data.chat import as_answers, plain_prompts
from w2s_pref.engine.stage import Builder, Stage, present
from w2s_pref.labels import transcripts as texts
from w2s_pref.labels.transcripts import Protocol, Spoken, Transcripts, Turn
from w2s_pref.stages.asked import SPOKEN, asked, room_of, too_long
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.model_stage import ModelStage, StartStage
from w2s_pref.stages.rows import Rows

#: Arguers of the testbed, whose arguments are claims of fact.
TEMPLATED = "templated"
#: Raised when transcripts are written otherwise before the pairs.
FORM = 1


@dataclass(frozen=True, eq=False)
class Arguments(Stage):
    """What is said for either answer of every pair, or of it, in one turn: ``table.parquet`` with ``id, a, b``."""

    kind: ClassVar[str] = "arguments"
    on: Rows
    critique: bool
    seed: int


@dataclass(frozen=True, eq=False)
class TemplatedArguments(Arguments):
    """Claims about the testbed's facts: ``honest`` is the share of true ones where a false one would serve.

    ``side`` in the table is the better answer: these arguers know it.
    """

    on_main: ClassVar[bool] = True
    helpful: bool
    honest: float

    @property
    def payload(self) -> dict[str, Any]:
        """The pairs and how the claims are drawn; what is true is read off the texts."""
        how = {"critique": self.critique, "seed": self.seed, "helpful": self.helpful, "honest": self.honest}
        return {"templated": how, "rows": self.on.texts}

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``."""
        from w2s_pref.testbed.arguments import argue, better, criticise

        say, pairs = criticise if self.critique else argue, read_pairs(self.on.frame)
        said = [say(prompt, both, f"{self.seed} {prompt}", self.helpful, self.honest) for prompt, both in pairs]
        table = pd.DataFrame(said, columns=["a", "b"]).assign(side=[better(*pair, self.helpful) for pair in pairs])
        return _written(self.on, table, None, folder)


@dataclass(frozen=True, eq=False)
class ArgumentStage(ModelStage, Arguments):
    """What a model says when it is asked to; ``before``: the turn that it answers to."""

    lower: ClassVar[str] = SPOKEN
    arguer: StartStage
    question: str
    settings: dict[str, Any]
    before: Arguments | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """The turn before."""
        return {} if self.before is None else {"before": self.before}

    @property
    def payload(self) -> dict[str, Any]:
        """The arguer, what it is asked, how it is sampled, and the pairs."""
        asked = {"question": self.question, "critique": self.critique}
        return {"start": self.arguer.payload, "rows": self.on.texts, **asked, **self.settings, "seed": self.seed}

    @property
    def rows(self) -> int:
        """Arguments."""
        return 2 * len(self.on)

    @property
    def start(self) -> StartStage:
        """Who is asked."""
        return self.arguer

    @property
    def room(self) -> int | None:
        """Tokens that a request may have."""
        return room_of(self.arguer, self.settings["max_new_tokens"])

    def foreseen(self, most: int) -> list[str]:
        """Requests of the first turn, about so many pairs at most."""
        pairs = read_pairs(self.on.frame.head(most))
        return [texts.request(self.question, prompt, both, 0, [], self.critique) for prompt, both in pairs]

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``.

        Raises:
            W2SError: most requests are too long for the arguer, or no argument has a word in it.
        """
        table = asked(builder, self.arguer, self._requests(builder), self.settings, self.seed)
        if problem := too_long(self.name, table.attrs["truncated"], len(table), self.room):
            raise W2SError(problem)
        said = table["text"].tolist()
        if not any(said):
            raise W2SError(
                f"{self.name}: none of {len(said)} arguments has a word in it; a model that was not taught to follow "
                "instructions cannot argue: name another one as arguers"
            )
        half, ended = len(self.on), table["ended"].to_numpy(dtype=bool)
        both = pd.DataFrame({"a": said[:half], "b": said[half:]})
        cut = {"prompts_truncated": table.attrs["truncated"], "written_tokens": int(table["tokens"].sum())}
        return _written(self.on, both, ended[:half] & ended[half:], folder if builder.world.main else None) | cut

    def _requests(self, builder: Builder) -> list[str]:
        """What is asked for ``a`` of every pair, then for ``b``."""
        pairs, ids = read_pairs(self.on.frame), self.on.frame["id"].tolist()
        before = _turns(builder, chain(self.before), ids, [(0, 1)] * len(pairs))
        return [
            texts.request(self.question, prompt, answers, side, said, self.critique)
            for side in (0, 1)
            for (prompt, answers), said in zip(pairs, before, strict=True)
        ]


def _written(on: Rows, table: pd.DataFrame, ended: np.ndarray | None, folder: Path | None) -> dict[str, Any]:
    """Write the table, and say what there is to say about the arguments: shares of pairs, each from 0 to 1."""
    table.insert(0, "id", on.frame["id"].to_numpy())
    if folder is not None:
        table.to_parquet(folder / "table.parquet", index=False)
    empty = (table["a"] == "") | (table["b"] == "")
    return {
        "pairs": len(table),
        "empty": float(empty.mean()),
        "same": float(((table["a"] == table["b"]) & ~empty).mean()),
        "unended": 0.0 if ended is None else float((~ended).mean()),
    }


def read_pairs(frame: pd.DataFrame) -> list[tuple[str, tuple[str, str]]]:
    """Prompt and both answers of every pair as a person reads them."""
    answers = [as_answers(frame, side)[1] for side in ("a", "b")]
    prompts = plain_prompts(as_answers(frame, "a")[0])
    return [(prompt, pair) for prompt, pair in zip(prompts, zip(*answers, strict=True), strict=True)]


def chain(last: Arguments | None) -> list[Arguments]:
    """All turns up to this one, the first first."""
    if last is None:
        return []
    before = last.before if isinstance(last, ArgumentStage) else None
    return [*chain(before), last]


def _turns(
    builder: Builder, turns: Sequence[Arguments], ids: Sequence[str], sides: Sequence[tuple[int, ...]]
) -> list[Spoken]:
    """What these sides say of every pair, turn by turn.

    By the pairs' ids: the table may have been written by a study that has the same pairs in another order.
    """
    tables = [builder.table(turn).set_index("id").loc[list(ids)] for turn in turns]
    said = [list(zip(table["a"].tolist(), table["b"].tolist(), strict=True)) for table in tables]
    return [[Turn(side, turn[row][side]) for turn in said for side in own] for row, own in enumerate(sides)]


@dataclass(frozen=True, eq=False)
class Transcript:
    """What a judge reads of the pairs of one split. ``choice``: scores by which an open consultant takes its side.

    Without it the arguments say which side that is (``side``).
    """

    last: Arguments
    protocol: Protocol
    transcripts: Transcripts
    seed: int
    choice: Scored | None = None

    @property
    def critique(self) -> bool:
        """Whether answers are criticised, each by itself."""
        return self.protocol == "critique"

    @property
    def inputs(self) -> dict[str, Stage]:
        """The last turn, which reads those before it, and the choice."""
        return present(arguments=self.last, choice=self.choice)

    @property
    def payload(self) -> dict[str, Any]:
        """Who speaks, and what is done to it; the seed where a coin is thrown."""
        coin = {"seed": self.seed} if self.protocol == "consultancy" else {}
        return {"protocol": self.protocol, "transcripts": self.transcripts, **coin}

    def spoken(self, builder: Builder) -> list[Spoken]:
        """The turns about every pair, in the order of the split."""
        ids = self.last.on.frame["id"].tolist()
        said = _turns(builder, chain(self.last), ids, self._sides(builder, ids))
        if self.transcripts == "shuffled":
            return texts.shuffled(said, ids)
        return texts.blank(said) if self.transcripts == "blank" else said

    def _sides(self, builder: Builder, ids: list[str]) -> list[tuple[int, ...]]:
        if self.protocol == "consultancy":
            return [(texts.coin(identity, self.seed),) for identity in ids]
        if self.protocol != "open_consultancy":
            return [(0, 1)] * len(ids)
        if self.choice is None:
            return [(side,) for side in builder.table(self.last).set_index("id").loc[ids, "side"]]
        scores = builder.table(self.choice).set_index("id").loc[ids]
        return [(int(b > a),) for a, b in zip(scores["score_a"], scores["score_b"], strict=True)]


@dataclass(frozen=True, eq=False)
class Argued(Rows):
    """Pairs with what was said about them; ``frame`` holds them without, so that ids, truth and sizes are at hand."""

    transcript: Transcript = field(kw_only=True)

    @cached_property
    def texts(self) -> str:
        """Hash of the pairs and of all that decides the transcripts."""
        told = {name: stage.key for name, stage in self.inputs.items()}
        return digest(Rows(self.name, self.frame, self.control).texts, canonical([FORM, self.transcript.payload, told]))

    @property
    def inputs(self) -> dict[str, Stage]:
        """What the transcripts are made of."""
        return self.transcript.inputs

    def read(self, builder: Builder) -> Rows:
        """The pairs with the transcript before question and answer, told from the side of each."""
        spoken, critique = self.transcript.spoken(builder), self.transcript.critique
        whole = {}
        for place, side in enumerate(("a", "b")):
            pairs = zip(self.frame["form"], self.frame["prompt"], self.frame[side], spoken, strict=True)
            whole[side] = [_joined(texts.told(place, said, critique), *rest) for *rest, said in pairs]
        nothing = ["[]" if form == "chat" else "" for form in self.frame["form"]]
        return Rows(self.name, self.frame.assign(prompt=nothing, **whole), self.control)


def _joined(said: str, form: str, prompt: str, answer: str) -> str:
    """Transcript, question and answer; of a chat the transcript opens its first message."""
    if form != "chat":
        return said + prompt + answer
    first, *rest = json.loads(prompt) + json.loads(answer)
    return json.dumps([{**first, "content": said + first["content"]}, *rest], ensure_ascii=False)
