"""Answers that never end, prompts that are too long, judges with another tokenizer: allowed, counted, and exact."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import WORDS
from fault_helpers import succeeded
from policy_fault_helpers import SHORT, SMALL, ppo, rloo
from tokenizers import Tokenizer

from w2s_pref.models.load import load_saved
from w2s_pref.models.scoring import score_pairs
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.run import open_recipe

pytestmark = pytest.mark.usefixtures("one_store")


def ran(study: Path, *overrides: str) -> tuple[Path, Callable[[str], dict]]:
    """The run folder, and what a stage of the given name says about itself."""
    succeeded("run", "tiny.yaml", *SMALL, *overrides)

    def meta(name: str) -> dict:
        (one,) = [stage for stage in stages if stage.name == name]
        artifact = opened.store.get(one.kind, one.key)
        assert artifact is not None
        return {**artifact.meta, "folder": artifact.folder}

    opened = open_recipe(Path("tiny.yaml"), [*SMALL, *overrides])
    stages = all_stages(opened.study)
    return study / "runs" / "tiny", meta


def history(meta: dict) -> dict[str, float]:
    return json.loads((meta["folder"] / "history.json").read_text())[0]


def test_endless_answers_are_counted_and_cost_the_penalty(study: Path) -> None:
    name = "direct@ppo/none · seed 0"
    folder, meta = ran(study, SHORT, "students=[ppo]", ppo())
    free = history(meta(name))
    answers = pd.read_parquet(folder / "answers.parquet")
    assert (answers["tokens"] <= 6).all()
    assert (answers.loc[~answers["ended"], "tokens"] == 6).all()
    for entry in json.loads((folder / "results.json").read_text())["speech"]:
        own = answers[answers["model"] == entry["model"]]
        assert entry["said"]["unended"]["estimate"] == pytest.approx(1 - own["ended"].mean())
    paid = history(ran(study, "speech={prompts: 0}", "students=[ppo]", ppo(missing_eos_penalty=5.0))[1](name))
    assert 0.0 < 1 - free["ended"] == 1 - paid["ended"]  # the same answers, of a model that hardly ever ends one
    assert paid["score"] == pytest.approx(free["score"])
    assert free["reward"] - paid["reward"] == pytest.approx(5.0 * (1 - free["ended"]), abs=1e-5)


def test_long_prompts_are_cut_and_counted(study: Path) -> None:
    """32 tokens less 22 of the answer leave ten of a prompt; one word is one token."""
    speech = "speech={prompts: 16, samples: 1, max_new_tokens: 22}"
    folder, meta = ran(study, speech, "students=[ppo, rloo]", ppo(response_length=22), rloo(max_completion_length=22))
    rows = open_recipe(study / "tiny.yaml", SMALL).study.rows
    long = {name: int((rows[name].frame["prompt"].str.split().str.len() > 10).sum()) for name in ("w2s", "gt", "test")}
    assert all(long.values())
    for name in ("ppo", "rloo"):
        assert meta(f"direct@{name}/none · seed 0")["prompts_truncated"] == long["w2s"]
        assert meta(f"direct@{name}/none answers · seed 0")["prompts_truncated"] == long["test"]
    notes = " ".join(json.loads((folder / "results.json").read_text())["warnings"])
    assert f"strong@ppo: {long['gt']} training prompts lost their start" in notes
    assert f"strong@ppo: {long['test']} test prompts lost their start" in notes


def test_a_judge_with_another_tokenizer_reads_the_text(study: Path) -> None:
    """The weak model's words have other ids. Its reward is allowed, and is that of the text in its own tokens."""
    path = study / "small" / "tokenizer.json"
    value = json.loads(path.read_text())
    value["model"]["vocab"] |= dict(zip(WORDS[:96], range(96, 0, -1), strict=True))
    path.write_text(json.dumps(value))
    other = Tokenizer.from_file(str(path))
    assert other.encode("w1 w2").ids != Tokenizer.from_file(str(study / "large" / "tokenizer.json")).encode("w1 w2").ids
    speech = "speech={prompts: 4, samples: 2, max_new_tokens: 6, gold: weak}"
    rows = open_recipe(study / "tiny.yaml", SMALL).study.rows
    folder, meta = ran(study, speech, "students=[ppo]", ppo())
    assert np.isfinite(list(history(meta("direct@ppo/none · seed 0")).values())).all()
    answers = pd.read_parquet(folder / "answers.parquet").query("model == 'direct@ppo/none'")
    asked = answers["id"].map(rows["test"].frame.set_index("id")["prompt"])
    texts = {"id": [str(n) for n in range(len(answers))], "form": "text", "prompt": asked.tolist()}
    pairs = pd.DataFrame({**texts, "a": answers["text"].tolist(), "b": answers["text"].tolist()})
    model, tokenizer = load_saved(meta("ceiling/weak · seed 0")["folder"])
    assert tokenizer("w1").input_ids == other.encode("w1").ids
    own = score_pairs(model, tokenizer, pairs, 32)["score_a"].to_numpy()
    assert np.allclose(own, answers["gold_target"], atol=1e-5)
