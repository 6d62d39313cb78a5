"""Arguments and transcripts as stages: who speaks, the nulls, and a judge that checks facts, against the truth."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.labels.transcripts import Turn, blank, compared, request, shuffled, told
from w2s_pref.models.info import facts
from w2s_pref.models.policies import load_policy
from w2s_pref.models.spec import ModelSpec
from w2s_pref.parallel.world import World
from w2s_pref.stages.arguments import Argued, ArgumentStage, TemplatedArguments, Transcript
from w2s_pref.stages.given import GivenScores
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.stages.prompted import PromptedScores
from w2s_pref.stages.rows import Rows
from w2s_pref.testbed.facts import agent_index, tables
from w2s_pref.testbed.world import generate
from w2s_pref.testbed.worlds import target_index

CLAIM = re.compile(r"For (this|the other) answer: the (\w+) with (\w+): safe\.")


def world(rows: int) -> Rows:
    """Pairs of the testbed whose danger no adjective tells, the answers in an order that says nothing."""
    pairs = generate(rows, seed=5, tiers={1: 1.0, 2: 1.0, 3: 1.0})
    first = np.random.default_rng(0).integers(2, size=rows) == 1
    a, b = (np.where(first == flag, pairs["chosen"], pairs["rejected"]) for flag in (True, False))
    frame = pd.DataFrame({"id": pairs["id"], "group": pairs["group"], "form": "text", "prompt": pairs["prompt"]})
    return Rows("test", frame.assign(a=a, b=b, truth=first.astype(int), objective="harmless"))


def fact_checker(pairs: pd.DataFrame) -> list[float]:
    """A judge that knows nothing by itself but can look up half of the agents: it believes nobody else.

    A claim counts where it is about what was asked and what an answer advises.
    """
    p = []
    for text in pairs["a"]:
        odds = 0.0
        for whose, target, agent in CLAIM.findall(text):
            _, topic, row = target_index()[target]
            column, relevant = (
                agent_index()[agent],
                target in text.split("user:")[1] and agent in text.split("user:")[1],
            )
            if column % 2 == 0 and relevant:
                safe = tables()[topic][row, column] // 2 == 0
                odds += (1 if whose == "this" else -1) * (1 if safe else -1)
        p.append(1 / (1 + np.exp(-odds)))
    return p


class Made:
    """A builder that builds what is asked of it, and loads ``model``."""

    def __init__(self, folder: Path, model: tuple[object, object] | None = None) -> None:
        self.folder, self.world, self.base = folder, World(), folder
        self.recalled = model
        self.store = SimpleNamespace(root=folder)

    def table(self, stage) -> pd.DataFrame:
        place = self.folder / stage.key
        if not place.is_dir():
            place.mkdir()
            (stage.compute if hasattr(stage, "compute") else stage.build)(self, place)
        return pd.read_parquet(place / "table.parquet")

    def recall(self, _key: str, _load: object) -> tuple[object, object]:
        return self.recalled


@pytest.fixture(scope="module")
def claims() -> TemplatedArguments:
    return TemplatedArguments("claims", world(400), False, 0, False, 0.5)


def argued(arguments: TemplatedArguments, **how: object) -> Argued:
    transcript = Transcript(arguments, **({"protocol": "debate", "transcripts": "own", "seed": 0} | how))
    return Argued(arguments.on.name, arguments.on.frame, transcript=transcript)


def test_a_judge_that_checks_facts_gains_from_arguments_and_not_from_those_of_other_pairs(
    claims: TemplatedArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    builder, truth = Made(tmp_path), claims.on.frame["truth"] == 1

    def accuracy(rows: Rows) -> float:
        scores = builder.table(GivenScores("judge", rows, "labels:test_stages_arguments:fact_checker", tmp_path, None))
        gap = scores["score_a"] - scores["score_b"]
        return float(np.where(gap == 0, 0.5, (gap > 0) == truth).mean())

    assert accuracy(claims.on) == 0.5  # without transcripts it knows nothing
    own = {protocol: accuracy(argued(claims, protocol=protocol)) for protocol in ("debate", "consultancy")}
    shuffled_, blank_ = (accuracy(argued(claims, transcripts=null)) for null in ("shuffled", "blank"))
    # It can look up half of the relevant claims: the right one (always relevant) and the lie (half of the pairs).
    # Right where either is looked up: 1/2 + 1/2 · 1/2 · 1/2 = 5/8 of the pairs, and half of the rest by chance.
    assert own["debate"] == pytest.approx(0.5 + 0.5 * 5 / 8, abs=0.075)  # 400 pairs: three standard errors
    # One speaker: right at even odds and then looked up half the time, wrong and lying a quarter of the time.
    assert own["consultancy"] == pytest.approx(0.5 + 0.5 * 3 / 8, abs=0.075)
    assert shuffled_ == pytest.approx(0.5, abs=0.02)  # claims about other pairs are not about what was asked
    assert blank_ == 0.5


def test_who_speaks(claims: TemplatedArguments, tmp_path: Path) -> None:
    builder, ids = Made(tmp_path), claims.on.frame["id"].tolist()
    table = builder.table(claims)
    assert (table["side"] == claims.on.frame["truth"].to_numpy()).mean() == 0  # side 1 is b: truth 0
    sides = {}
    for protocol in ("debate", "consultancy", "open_consultancy"):
        spoken = argued(claims, protocol=protocol).transcript.spoken(builder)
        sides[protocol] = [tuple(turn.side for turn in each) for each in spoken]
    assert set(sides["debate"]) == {(0, 1)}
    assert np.mean([side == (1,) for side in sides["consultancy"]]) == pytest.approx(0.5, abs=0.075)
    assert sides["open_consultancy"] == [(side,) for side in table["side"]]
    other = argued(claims, protocol="consultancy", seed=1).transcript.spoken(builder)
    assert [tuple(turn.side for turn in each) for each in other] != sides["consultancy"]
    mixed = argued(claims, transcripts="shuffled").transcript.spoken(builder)
    plain = argued(claims).transcript.spoken(builder)
    assert all(one != another for one, another in zip(mixed, plain, strict=True))
    assert sorted(mixed) == sorted(plain)
    assert len(ids) == len(mixed)


@pytest.mark.parametrize("protocol", ["debate", "open_consultancy"])
def test_a_study_with_the_pairs_in_another_order_hears_the_same(
    claims: TemplatedArguments, tmp_path: Path, protocol: str
) -> None:
    frame, builder = claims.on.frame, Made(tmp_path)
    builder.table(claims)  # the first study wrote it, in its own order
    turned = replace(claims, on=Rows("test", frame.iloc[::-1].reset_index(drop=True)))
    assert turned.key == claims.key
    here, there = (argued(each, protocol=protocol).read(builder).frame.set_index("id") for each in (claims, turned))
    pd.testing.assert_frame_equal(here, there.loc[here.index])


def test_keys_hold_what_is_heard_and_arguments_are_shared(claims: TemplatedArguments) -> None:
    own = argued(claims)
    others = [
        argued(claims, transcripts="blank"),
        argued(claims, protocol="consultancy"),
        argued(claims, protocol="consultancy", seed=1),
        argued(replace(claims, honest=0.4)),
        claims.on,
    ]
    keys = {rows.texts for rows in (own, *others)}
    assert len(keys) == 6
    assert own.texts == argued(claims, seed=3).texts  # no coin is thrown in a debate
    assert own.inputs["arguments"].key == others[1].inputs["arguments"].key
    frame = claims.on.frame
    turned = replace(claims, on=Rows("test", frame.assign(truth=1 - frame["truth"])))
    assert turned.key == claims.key  # ground truth is not in it


def test_texts_of_judges_and_arguers() -> None:
    spoken = [Turn(0, "yes sir"), Turn(1, "no")]
    assert told(1, spoken, False) == "For the other answer: yes sir\n\nFor this answer: no\n\n"
    assert told(0, spoken, True) == "Critique: yes sir\n\n"
    assert blank([spoken]) == [[Turn(0, "- -"), Turn(1, "-")]]
    assert shuffled([["x"], ["y"]], ["1", "2"]) == [["y"], ["x"]]
    with pytest.raises(W2SError, match="there is one pair alone"):
        shuffled([["x"]], ["1"])
    asked = request("Which is better?", "Q", ("x", "y"), 1, spoken, False)
    assert asked.endswith("Which is better? Explain in one or two short sentences why it is answer B.")
    assert "For answer A: yes sir" in asked
    assert "Answer A" not in request("Which is better?", "Q", ("x", "y"), 1, spoken, True)
    plain, swapped = (compared("Which?", "Q", ("x", "y"), spoken, False, flag) for flag in (False, True))
    assert plain == "Q\n\nAnswer A: x\nAnswer B: y\n\nArgument for A: yes sir\nArgument for B: no\n\nWhich? A or B?"
    assert swapped == "Q\n\nAnswer A: y\nAnswer B: x\n\nArgument for A: no\nArgument for B: yes sir\n\nWhich? A or B?"


def test_a_chat_opens_with_the_transcript(tmp_path: Path) -> None:
    said = {"role": "assistant", "content": "tea"}
    pair = {"id": "1", "group": "g", "form": "chat", "prompt": json.dumps([{"role": "user", "content": "Q"}])}
    frame = pd.DataFrame([pair | {"a": json.dumps([said]), "b": json.dumps([said]), "truth": 1}])
    rows = Rows("test", frame)
    claims = TemplatedArguments("claims", rows, False, 0, False, 0.5)
    table = pd.DataFrame({"id": ["1"], "a": ["yes"], "b": ["no"], "side": [0]})
    found = argued(claims).read(SimpleNamespace(table=lambda _: table)).frame.iloc[0]
    first, last = json.loads(found["prompt"]) + json.loads(found["b"])
    assert first == {"role": "user", "content": "For the other answer: yes\n\nFor this answer: no\n\nQ"}
    assert last == said


@pytest.fixture(scope="module")
def ladder() -> tuple[StartStage, tuple[object, object]]:
    spec = ModelSpec(path="ladder/xxs")
    return StartStage("start", facts(spec, Path()), 0), load_policy(spec, Path(), 0)


def test_a_model_argues_turn_by_turn_and_is_asked_in_both_orders(
    ladder: tuple[StartStage, tuple[object, object]], tmp_path: Path
) -> None:
    start, model = ladder
    rows, builder = world(3), Made(tmp_path, model)
    settings = {"max_new_tokens": 4, "temperature": 0.7, "batch_size": 4}
    first = ArgumentStage("one", rows, False, 0, start, "which?", settings)
    second = replace(first, before=first)
    tables = [builder.table(turn) for turn in (first, second)]
    assert tables[0]["id"].tolist() == rows.frame["id"].tolist()
    assert not tables[0].equals(tables[1])
    spoken = Transcript(second, "debate", "own", 0).spoken(builder)
    assert [turn.text for turn in spoken[2]] == [each.iloc[2][side] for each in tables for side in ("a", "b")]

    frame = rows.frame.rename(columns={"a": "b", "b": "a"})
    turned = PromptedScores("judge", Rows("test", frame), start, "which?")
    asked = builder.table(PromptedScores("judge", rows, start, "which?"))
    np.testing.assert_allclose(asked[["score_a", "score_b"]], builder.table(turned)[["score_b", "score_a"]], atol=1e-5)


def test_a_model_that_says_nothing_is_no_arguer(
    ladder: tuple[StartStage, tuple[object, object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from w2s_pref.models import generation

    silent = pd.DataFrame({"row": range(6), "text": "", "ended": True})
    silent.attrs["truncated"] = 0
    monkeypatch.setattr(generation, "sample", lambda *_: silent)
    stage = ArgumentStage("one", world(3), False, 0, ladder[0], "which?", {"max_new_tokens": 4})
    silent.attrs["truncated"] = 4
    with pytest.raises(W2SError, match="one: 4 of 6 questions are longer than the context of 124 tokens"):
        stage.compute(Made(tmp_path, ladder[1]), tmp_path)
    silent.attrs["truncated"] = 0
    with pytest.raises(W2SError, match="none of 6 arguments has a word in it; a model that was not taught"):
        stage.compute(Made(tmp_path, ladder[1]), tmp_path)
