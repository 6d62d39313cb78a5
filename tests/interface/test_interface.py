"""``import w2s_pref as w2s``: what a run holds, what is refused, and that Python says what the command line says."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from benchmark_helpers import row, written
from conftest import ROOT, copy_tiny
from rich.console import Console
from transformers import LlamaForCausalLM
from typer.testing import CliRunner

import w2s_pref as w2s
from w2s_pref.cli.main import app
from w2s_pref.core.errors import W2SError
from w2s_pref.core.registry import only_here
from w2s_pref.core.yaml_io import load_yaml, with_overrides
from w2s_pref.interface.page import card
from w2s_pref.interface.recipes import command, given_recipe, overrides
from w2s_pref.launch import workers
from w2s_pref.launch.display import StageDisplay
from w2s_pref.launch.here import _only_here, _said
from w2s_pref.losses.margins import MARGINS
from w2s_pref.losses.spec import LOSSES
from w2s_pref.studies.preferences.recipe import Recipe

#: Four trainings of the tiny study.
SMALL: dict[str, Any] = {
    "seeds": [0],
    "arms": {"direct": ["weak", "strong"]},
    "conflict": {"settings": ["none", "explicit"]},
}
ROLES = {"weak": "ceiling/weak", "ceiling": "ceiling/strong", "reference": "direct/none", "student": "direct/explicit"}


@pytest.fixture(scope="module")
def folder(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny study whose data have columns of their own; some are called as those of the tables here."""
    place = copy_tiny(original, tmp_path_factory.mktemp("interface") / "study")
    for name in ("target", "conflict"):
        frame = pd.read_csv(place / f"{name}.csv")
        topics = [f"{name}-{at % 3}" for at in range(len(frame))]
        frame.assign(topic=topics, delta=range(len(frame))).to_csv(place / f"{name}.csv", index=False)
    return place


@pytest.fixture(scope="module")
def run(folder: Path) -> w2s.Run:
    return w2s.run(folder / "tiny.yaml", output=folder / "runs", **SMALL)


def cli(*words: Any) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def test_scores_hold_texts_raw_scores_regions_and_own_columns(run: w2s.Run, folder: Path) -> None:
    scores, source = run.scores, pd.read_csv(folder / "target.csv")
    first = "id group objective model arm seed score_chosen score_rejected delta tau kind region prompt chosen rejected"
    assert scores.columns.tolist()[:15] == first.split()
    assert np.allclose(scores["score_chosen"] - scores["score_rejected"], scores["delta"], rtol=0, atol=0)
    rows = scores[(scores["model"] == "direct/explicit") & (scores["split"] == "test")]
    there = rows.merge(source, on=["prompt", "chosen", "rejected", "topic"], validate="one_to_one")
    assert len(there) == len(rows) == 64
    assert (there["pairs.delta"].astype(int) == there["delta_y"]).all()
    assert set(scores["arm"].dropna()) == {"direct"}


def test_regions_are_those_of_the_report(run: w2s.Run) -> None:
    rows = run.scores[run.scores["model"] == "direct/explicit"]
    setting = next(each for each in run.results.arms[0].settings if each.conflict == "explicit")
    cells = next(each.cells for each in setting.deception if each.known_rule == "gt_prob")
    counted = rows[rows["objective"] == "target"]["region"].value_counts()
    assert {name: int(counted.get(name, 0)) for name in cells} == {name: cell.n for name, cell in cells.items()}
    assert rows[rows["objective"] == "other"]["region"].isna().all()


def test_labels_hold_their_pairs(run: w2s.Run) -> None:
    labels = run.labels
    assert len(labels) == 48
    assert labels["p_true"].between(0, 1).all()
    assert (labels["split"] == "w2s").all()
    assert labels[["prompt", "chosen", "rejected", "topic"]].notna().all(axis=None)


def test_an_older_run_has_no_texts_and_says_so(run: w2s.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("results.json", "scores.parquet"):
        (tmp_path / name).write_bytes((run.folder / name).read_bytes())
    old = pd.read_parquet(tmp_path / "scores.parquet").drop(columns=["score_chosen", "score_rejected"])
    old.to_parquet(tmp_path / "scores.parquet")
    scores = w2s.open_run(tmp_path).scores
    assert scores[["prompt", "score_chosen"]].isna().all(axis=None)
    assert scores["delta"].notna().all()
    assert "run the recipe again for the texts" in caplog.text


def test_a_student_gives_the_scores_of_the_run(run: w2s.Run) -> None:
    from transformers import PreTrainedModel

    model, tokenizer = run.student("direct", "explicit", seed=0)
    assert isinstance(model, PreTrainedModel)
    assert not model.training
    rows = run.scores[(run.scores["model"] == "direct/explicit") & (run.scores["split"] == "test")]
    pairs = rows[["id", "prompt", "chosen", "rejected", "topic"]]
    again = w2s.score((model, tokenizer), pairs, max_length=32, name="again")
    both = again.merge(rows[["id", "delta"]], on="id", validate="one_to_one")
    assert len(both) == len(rows)
    assert both["delta_x"].to_numpy() == pytest.approx(both["delta_y"].to_numpy(), abs=1e-6)
    assert (again["model"] == "again").all()
    groups = w2s.score(
        run.folder / "students" / "direct-explicit-seed0", pairs.to_dict("records"), "topic", max_length=32
    )
    right = (rows["delta"] > 0).groupby(rows["topic"]).mean()
    assert groups["accuracy"][:-1].tolist() == pytest.approx(right.tolist())
    assert groups.loc["all", ["part", "rows"]].tolist() == ["score", 64]
    assert (groups["low"] <= groups["accuracy"]).all()
    assert (groups["accuracy"] <= groups["high"]).all()


def test_a_model_in_memory_is_scored_as_it_would_be_from_its_folder(
    run: w2s.Run, caplog: pytest.LogCaptureFixture
) -> None:
    model, tokenizer = run.student("direct", "none", seed=0)
    pairs = run.scores[["prompt", "chosen", "rejected"]].head(4).assign(topic="a")
    model.train()
    w2s.score((model, tokenizer), pairs, max_length=2)
    assert "of 4 pairs 0 lost the start of their prompt, 4 the start of an answer" in caplog.text
    assert model.training  # as it was: a training goes on with its dropout
    two = type(model)(type(model.config).from_dict({**model.config.to_dict(), "num_labels": 2}))
    with pytest.raises(w2s.W2SError, match="it has 2 outputs; a reward model has one"):
        w2s.score((two, tokenizer), pairs)
    with pytest.raises(w2s.W2SError, match=r"a language model .* has no head of a reward model"):
        w2s.score((LlamaForCausalLM(model.config), tokenizer), pairs)
    tokenizer.pad_token = None
    with pytest.raises(w2s.W2SError, match=r"set tokenizer\.pad_token"):
        w2s.score((model, tokenizer), pairs)


def test_python_finds_what_the_command_line_writes(run: w2s.Run, tmp_path: Path) -> None:
    scores, out = run.folder / "scores.parquet", tmp_path / "out.json"
    options = {"objective": "target", "resamples": 100}
    flags = ["--objective", "target", "--resamples", "100", "--json", out]
    for name, roles in (
        ("deception", ROLES),
        ("generalization", {key: ROLES[key] for key in ("weak", "student", "ceiling")}),
        ("risk", {"weak": "ceiling/weak", "strong": "direct/none", "ceiling": "ceiling/strong"}),
    ):
        words = [word for role, model in roles.items() for word in (f"--{role}", model)]
        said = cli("analyze", name, scores, *words, *flags)
        written = json.loads(out.read_text())
        for table in (scores, run.scores):
            found = getattr(w2s.analyze, name)(table, **roles, **options)
            assert found.to_dict() == written
        assert found.verdict == written["verdict"]
        assert {key for base in type(found).__mro__[:2] for key in base.__annotations__} - {"title"} <= written.keys()
        assert said.split()[:8] == repr(found).split()[:8]
        assert "<pre" in found._repr_html_()
        with pytest.raises(AttributeError, match="it has models"):
            _ = found.lift_smoth
        with pytest.raises(W2SError, match="no rows for model 'week'; The table has 'ceiling/strong'"):
            getattr(w2s.analyze, name)(table, **{**roles, "weak": "week"}, **options)


def test_a_plan_is_that_of_the_command_line(run: w2s.Run, folder: Path, tmp_path: Path) -> None:
    plan = w2s.plan(folder / "tiny.yaml", output=folder / "runs", **SMALL)
    words = overrides({"output": folder / "runs", **SMALL})
    cli("plan", folder / "tiny.yaml", *words, "--json", tmp_path / "plan.json")
    assert plan.to_dict() == json.loads((tmp_path / "plan.json").read_text())
    assert plan.hits == len(plan.stages)
    assert "0 miss" in repr(plan)
    assert "plan.stages" in repr(plan)
    assert "--all" not in repr(plan)
    assert plan.cost["totals"]["trained_tokens"] > 0


def test_a_dictionary_is_a_recipe(run: w2s.Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same keys as the file: everything is a hit. Relative paths start at the working directory."""
    monkeypatch.chdir(folder)
    recipe = {"extends": Path("tiny.yaml"), "seeds": np.arange(1), "training": {"logging_steps": 1}}
    plan = w2s.plan(recipe, output="runs", arms=SMALL["arms"], conflict=SMALL["conflict"])
    assert plan.hits == len(plan.stages)
    named = given_recipe({"extends": "quickstart", "seeds": (0,)})
    assert isinstance(named, dict)
    assert (named["name"], named["seeds"]) == ("quickstart", [0])


def test_keywords_are_overrides() -> None:
    given = {"seeds": range(2), "training.learning_rate": 1e-3, "name": "a b", "store": Path("x"), "monitor": None}
    words = ["seeds=[0, 1]", "training.learning_rate=0.001", 'name="a b"', 'store="x"', "monitor=null"]
    assert overrides(given) == words
    assert command("quickstart", {"seeds": [0]}) == "w2s run quickstart 'seeds=[0]'"
    assert given_recipe("quickstart") == Path("quickstart")


def test_comparison(run: w2s.Run, folder: Path) -> None:
    other = w2s.run(folder / "tiny.yaml", name="other", output=folder / "runs", **{**SMALL, "analysis.resamples": 150})
    both = run.compare(other)
    assert both.incomparable == []
    assert both.rows[["run", "conflict"]].to_numpy().tolist() == [
        ["A", "none"], ["A", "explicit"], ["B", "none"], ["B", "explicit"],
    ]  # fmt: skip
    assert both.rows["accuracy"].between(0, 1).all()
    assert "their numbers can be compared" in repr(both)
    assert run.compare(other.folder).to_dict() == both.to_dict()


def test_python_scores_as_the_command_line_does(run: w2s.Run, tmp_path: Path) -> None:
    """Accuracy by a column and the score of a benchmark, of a file and of rows in memory."""
    student = run.folder / "students" / "direct-none-seed0"
    rows = [
        row(subset, f"{subset}-{n}", f"w{n} w3", f"w{n} w4")
        for subset in ("math-prm", "alpacaeval-easy")
        for n in range(5)
    ]
    file = tmp_path / written(tmp_path, rows)
    words = (
        "score",
        student,
        file,
        "--max-length",
        "32",
        "--json",
        tmp_path / "board.json",
        "--unknown-tokens",
        "warn",
    )
    cli(*words, "--benchmark", "reward-bench", "--out", tmp_path / "s.csv")
    board = json.loads((tmp_path / "board.json").read_text())["board"]
    for pairs in (file, rows, pd.DataFrame(rows)):
        found = w2s.score(student, pairs, benchmark="reward-bench", max_length=32, unknown_tokens="warn")
        assert found.attrs["board"] == board
    assert found["part"].tolist() == ["score", "section", "section", "subset", "subset"]
    assert found.loc["RewardBench", "accuracy"] == board["lines"][0]["accuracy"]["estimate"]
    cli(*words, "--by", "subset", "--out", tmp_path / "t.csv")
    again = w2s.score(student, rows, "subset", max_length=32, unknown_tokens="warn")
    assert again.attrs["board"] == json.loads((tmp_path / "board.json").read_text())["board"]


def test_workers_are_told_the_recipe_and_where_to_import_from(
    run: w2s.Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dictionary as its keys; the number in the run's command. What stands is not built again."""
    told: list[tuple[list[str], dict[str, str]]] = []

    class Ended:
        """A worker that found nothing to do."""

        stdin, stdout, returncode = None, (), 0

        def __init__(self, line: list[str], env: dict[str, str], **_: Any) -> None:
            told.append((line, env))

        def wait(self, timeout: float = 0) -> int:
            return 0

    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder / "code")
    monkeypatch.setattr(workers.subprocess, "Popen", Ended)
    recipe = {"extends": "tiny.yaml", **SMALL}
    again = w2s.run(recipe, workers=2, output="runs")
    assert again.verdict == run.verdict
    assert len(told) == 2
    for line, environment in told:
        assert line[1:4] == ["-P", "-m", "w2s_pref.launch.workers"]
        assert workers.told(line[4]) == given_recipe(recipe)
        assert line[5:] == ['output="runs"']
        assert environment["PYTHONPATH"].startswith(str(folder / "code"))
    assert workers.told("tiny.yaml") == Path("tiny.yaml")
    w2s.run("tiny.yaml", workers=2, output="runs", **SMALL)
    command = w2s.open_run(folder / "runs" / "tiny").results.provenance.command
    assert command.endswith(" --workers 2")


def test_what_this_process_alone_knows_is_built_in_it(
    run: w2s.Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that a notebook registered: one process by itself, and a sentence where workers are asked for."""
    monkeypatch.setattr(LOSSES, "_known", {"careful": lambda margin, p: -p * margin, "direct": lambda margin, p: p})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert {"direct", "careful"} <= set(only_here())
    keys = {**SMALL, "loss.name": "careful", "name": "careful"}
    with pytest.raises(W2SError, match=r"2 workers: careful is registered in this process.*mine\.py:careful"):
        w2s.run(folder / "tiny.yaml", workers=2, output=folder / "runs", **keys)
    monkeypatch.setattr("w2s_pref.launch.here.build_together", None)  # and is not called
    w2s.run(folder / "tiny.yaml", output=folder / "runs", **keys)
    with pytest.raises(W2SError, match="workers=0: give a number of processes"):
        w2s.run(folder / "tiny.yaml", workers=0)


def test_what_only_looks_like_a_name_of_this_process_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of words, the recipe's own name, models, arms and fields, and what stands in a file."""
    names = ("strong", "middle", "direct", "quickstart", "runs", "loss", "bce", "own")
    monkeypatch.setattr(LOSSES, "_known", dict.fromkeys(names, lambda margin, p: p))
    monkeypatch.setattr(MARGINS, "_known", {"tilted": lambda batch: batch.ratio_a})
    named = {
        "processes=1": [],
        "loss.name=strong": ["strong"],
        "loss.name=mine.py:own": [],
        "methods={mine: {algorithm: tilted}}": ["tilted"],
        "methods={tilted: {beta: 1.0}}": ["tilted"],  # whose algorithm is its name
    }
    raw = load_yaml(ROOT / "recipes" / "quickstart.yaml")
    for change, expected in named.items():
        recipe = Recipe.model_validate(with_overrides(raw, [change]))
        assert _only_here(SimpleNamespace(recipe=recipe)) == expected, change  # type: ignore[arg-type]
    assert set(_said({"arms": {"direct": ["weak", ["middle", "strong@tilted"]]}})) == {"arms", "tilted"}


def test_wrong_names_are_sentences_that_list_what_there_is(run: w2s.Run, tmp_path: Path) -> None:
    pairs = [{"prompt": "w1 ", "chosen": "w2", "rejected": "w3", "topic": "x"}]
    student = run.folder / "students" / "direct-none-seed0"
    cases: list[tuple[Any, str]] = [
        (lambda: run.student("dirct"), "no arm 'dirct'; did you mean 'direct'\\? there are direct"),
        (lambda: run.student("direct", "gold"), "no conflict setting of direct 'gold'; there are none, explicit"),
        (lambda: run.student("direct", "none", 7), "no seed 7; there are 0"),
        (lambda: run.compare(), "name a run to set beside this one"),
        (lambda: run.compare(3), "compare: give a run, or the folder of one; this is of type int"),  # type: ignore[arg-type]
        (lambda: w2s.open_run(None), "run: give a run, or the folder of one; this is of type NoneType"),  # type: ignore[arg-type]
        (lambda: run.compare("~nobody-of-this-name/x"), "compare: '~nobody-of-this-name/x' cannot be a path"),
        (lambda: run.compare(tmp_path), "has no readable results.json"),
        (lambda: w2s.open_run("nowhere"), "has no readable results.json"),
        (lambda: w2s.run("quickstrt"), "did you mean quickstart"),
        (lambda: w2s.run(3), "this is of type int"),  # type: ignore[arg-type]
        (lambda: w2s.run("quickstart", seed=3), "unknown key 'seed'; did you mean 'seeds'"),
        (lambda: w2s.run("quickstart", seeds=object()), "seeds: a recipe holds text, numbers"),
        (lambda: w2s.plan({"name": float("nan")}), "recipe: a recipe holds text, numbers"),
        (lambda: w2s.score(tmp_path, pairs), "a folder without config.json"),
        (lambda: w2s.score(student, pairs, "subset"), "no such column; theirs are topic"),
        (lambda: w2s.score(student, [{"prompt": "x"}]), "no column 'chosen'"),
        (lambda: w2s.score(student, pairs, benchmark="reward-bench"), "the table: no column 'id'"),
        (lambda: w2s.score(student, pairs, benchmark="rewardbench"), "did you mean 'reward-bench'"),  # type: ignore[arg-type]
    ]
    for call, sentence in cases:
        with pytest.raises(W2SError, match=sentence):
            call()


def test_other_kinds_of_study_say_what_they_have(run: w2s.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "kind", "chess")
    with pytest.raises(W2SError, match="a study of kind chess has no students"):
        run.student("direct")


def test_in_a_notebook_a_line_is_text_and_not_a_box_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    display = StageDisplay(Console(force_jupyter=True))
    with display:
        display.event(1, 1, "model  x", "done", 1.0)
    assert capsys.readouterr().out.splitlines()[0] == "[1/1] model  x  1.0 s"
    assert display.bars.disable == (find_spec("ipywidgets") is None)


def test_what_a_notebook_shows_is_escaped_and_has_no_colours_of_its_own(run: w2s.Run) -> None:
    html = run._repr_html_()
    assert run.verdict in html.replace("&#x27;", "'")
    page = card("<b>", "a < b & c", ["<script>alert(1)</script>"])
    assert "<script>" not in page
    assert "&lt;b&gt;" in page
    for shown in (html, page):
        assert "#" not in shown.replace("&#x27;", "")
        assert "currentColor" in shown
        HTMLParser().feed(shown)
    assert len(html) < 4000
