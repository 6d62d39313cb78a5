"""Labels refined in context: what is shown to the model, what it says, and what stays where it says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.labels.make import LabelConfig, RefineConfig
from w2s_pref.parallel.world import World
from w2s_pref.stages import refined
from w2s_pref.stages.labels import LabelStage, Scored
from w2s_pref.stages.refined import RefinedScores, batches, sentence
from w2s_pref.stages.rows import Rows

IDS = [f"p{number}" for number in range(7)]
FRAME = pd.DataFrame(
    {
        "id": IDS,
        "group": IDS,
        "form": "text",
        "prompt": [f"question {n}" for n in IDS],
        "a": "yes",
        "b": "no",
        "truth": 1,
    }
)
#: log-odds of ``a``: the weak labels are A B A B A B A.
MARGINS = np.array([1.0, -2.0, 3.0, -1.0, 0.5, -0.5, 2.0])


@dataclass(frozen=True, eq=False)
class Weak(Scored):
    """Scores that are given."""


def builder() -> SimpleNamespace:
    table = pd.DataFrame({"id": IDS, "score_a": MARGINS, "score_b": 0.0})
    return SimpleNamespace(world=World(), table=lambda _: table, recalled=None)


def stage(**config: object) -> RefinedScores:
    rows = Rows("w2s", FRAME)
    model = SimpleNamespace(context=128)
    start = SimpleNamespace(payload={"model": "strong"}, recalled=lambda _: (None, None), model=model)
    return RefinedScores("refined", rows, Weak("weak", rows), start, RefineConfig(by="strong", **config))


def refine(
    made: RefinedScores, folder: Path, monkeypatch: pytest.MonkeyPatch, named: float
) -> tuple[pd.DataFrame, dict[str, float], list[tuple[list[str], list[str]]]]:
    """The table, what it says of itself, and what was asked; the model always answers B, with this probability."""
    asked = []

    def choices(_builder, _name, _start, questions, _lower):
        asked.append(questions)
        count = len(questions[0])
        return np.tile([-2.0, -1.0], (count, 1)), np.full(count, named), np.ones(count)

    monkeypatch.setattr(refined, "choices", choices)
    told = made.compute(builder(), folder)["refined"]
    return pd.read_parquet(folder / "table.parquet"), told, asked


def test_each_pair_is_asked_with_the_others_of_its_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, told, asked = refine(stage(batch=3), tmp_path, monkeypatch, named=0.9)
    assert (table["score_b"] - table["score_a"]).tolist() == [1.0] * 7
    assert told == {"unparseable": 0, "same_when_swapped": 1, "same_when_shuffled": 1, "changed": 4 / 7}
    groups = {row: group for group in batches(IDS, 3) for row in group}
    for row, (plain, swapped) in enumerate(zip(*asked[0], strict=True)):
        for text, right in ((plain, "AB"), (swapped, "BA")):
            *shown, own = text.split("\n\nquestion ")
            assert own.startswith(IDS[row]) or f"question {IDS[row]}\n" in text.rsplit("Answer: ", 1)[1]
            for other in set(groups[row]) - {row}:
                answer = text.split(f"question {IDS[other]}\n")[1].split("Answer: ")[1][0]
                assert answer == right[int(MARGINS[other] < 0)]
            assert text.count("Answer: ") == len(groups[row]) - 1  # its own label is not shown
            assert len(shown) == len(groups[row]) - 1


def test_where_nothing_is_said_the_weak_label_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, told, _ = refine(stage(), tmp_path, monkeypatch, named=0.4)
    np.testing.assert_allclose(table["score_a"] - table["score_b"], MARGINS)
    assert (told["unparseable"], told["changed"]) == (1, 0)
    said = sentence("labels of x", "tiny", told)
    assert "named neither A nor B for any pair, so every refined label is the weak one" in said


def test_under_a_concept_no_pair_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from w2s_pref.models import generation

    seen = []

    def sample(_model, _tokenizer, prompts, *_):
        seen.extend(prompts["prompt"])
        table = pd.DataFrame({"row": range(len(prompts)), "text": " It is\nshort. "})
        table.attrs["truncated"] = 0
        return table

    monkeypatch.setattr(generation, "sample", sample)
    _, _, asked = refine(stage(how="concept", batch=4), tmp_path, monkeypatch, named=0.9)
    assert len(seen) == 4  # two batches, with their labels and with shuffled ones
    assert seen[0].count("Answer: ") == 4
    assert all(text.startswith("It is short.\n\nquestion") and "Answer: " not in text for text in asked[0][0])


@pytest.mark.parametrize("how", ["answers", "concept"])
def test_the_longest_texts_are_known_before_the_labels(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def written(_builder, _model, requests, *_):
        seen.extend(requests)
        table = pd.DataFrame({"text": "short"}, index=range(len(requests)))
        table.attrs["truncated"] = 0
        return table

    monkeypatch.setattr(refined, "asked", written)
    made = stage(how=how, batch=3)
    _, _, asked = refine(made, tmp_path, monkeypatch, named=0.9)
    run = seen[: len(batches(IDS, 3))] if how == "concept" else asked[0][0]
    lengths = [sorted(map(len, texts)) for texts in (made.foreseen(len(IDS)), run)]
    assert lengths[0] == lengths[1]
    assert len(made.foreseen(3)) == (1 if how == "concept" else 3)
    assert made.room == (80 if how == "concept" else 127)


def test_requests_for_concepts_that_lose_their_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(_builder, _model, requests, *_):
        table = pd.DataFrame({"text": "short"}, index=range(len(requests)))
        table.attrs["truncated"] = len(requests)
        return table

    monkeypatch.setattr(refined, "asked", written)
    with pytest.raises(W2SError, match=r"2 of 2 questions are longer than the context of 80 tokens.*refine.batch"):
        refine(stage(how="concept", batch=4), tmp_path, monkeypatch, named=0.9)


def test_batches_and_keys() -> None:
    groups = batches(IDS, 3)
    assert sorted(row for group in groups for row in group) == list(range(7))
    assert [len(group) for group in groups] == [3, 4]  # no pair stands alone
    keys = {stage().key, stage(batch=3).key, stage(how="concept").key, stage(question="Which?").key}
    assert len(keys) == 4
    plain = LabelStage("labels", stage().weak, LabelConfig())
    config = LabelConfig(refine=RefineConfig(by="strong"))
    assert LabelStage("labels", stage().weak, config).key == plain.key  # the scores say that they are refined
    with pytest.raises(ValueError, match="drop two_stage and calibrate"):
        LabelConfig(refine=RefineConfig(by="strong"), two_stage=True)
