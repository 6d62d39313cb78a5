"""Fine-tuning on moves, greedy decoding, and a whole small study through the store."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from chess_helpers import decode_moves, random_puzzles, tiny_model, write_model
from markupsafe import escape
from recipe_helpers import load_recipe
from rich.console import Console

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Stage
from w2s_pref.report.draw.format import estimate
from w2s_pref.results.chess import ChessResults
from w2s_pref.results.read import list_runs
from w2s_pref.studies.chess.analysis import summarize
from w2s_pref.studies.chess.notation import build_tokenizer
from w2s_pref.studies.chess.puzzles import puzzles
from w2s_pref.studies.chess.recipe import ChessRecipe
from w2s_pref.studies.chess.report import band_name, parts, write_report
from w2s_pref.studies.chess.stages import MoveJob, MoveModelStage, fit_moves, score_moves
from w2s_pref.studies.chess.study import Cell, chess_stages, open_chess
from w2s_pref.studies.finished import show_run
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.run import run
from w2s_pref.training.arguments import merged

TOKENS = {"max_length": 128, "overlong": "truncate"}


class Recorder:
    """Counts what the run builds."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def stage(self, number: int, total: int, stage: Stage, event: str, seconds: float) -> None:
        self.events.append(event)

    def step(self, done: int, total: int) -> None: ...

    def signal(self, step: int, signals: dict[str, float]) -> None: ...

    def wait(self, sentence: str) -> None: ...


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Puzzles, three models, and a recipe with a direct and a bootstrapped chain."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    place = tmp_path_factory.mktemp("chess")
    random_puzzles(80).to_parquet(place / "puzzles.parquet")
    for number, name in enumerate(("a", "b", "c")):
        write_model(place / name, number, 16 + 8 * number)
    recipe = {
        "name": "tiny",
        "seeds": [0],
        "chess": {"source": "puzzles.parquet", "sizes": {"gt": 16, "hop": 16, "test": 24}, "bands": [1000]},
        "models": {name: {"path": str(place / name)} for name in ("a", "b", "c")},
        "chains": [["a", "c"], ["a", "b", "c"]],
        "training": {"batch_size": 8, "learning_rate": 1.0e-3},
        "analysis": {"resamples": 100},
        "output": str(place / "runs"),
    }
    (place / "tiny.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return place


def test_decoding_is_stepwise_argmax() -> None:
    model, tokenizer = tiny_model(3), build_tokenizer()
    with torch.no_grad():  # larger weights, so that the answers differ and no two tokens tie
        for weight in model.parameters():
            weight.mul_(3)
    prompts = ["Kg1 kg8 >", "Ke1 Qd1 Pa2 ke8 qd8 pa7 K Q >", "Kh1 Pb7 kh7 >"]
    expected = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        start = ids.shape[1]
        for _ in range(4):
            ids = torch.cat([ids, model(ids).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
            if ids[0, -1] == tokenizer.eos_token_id:
                break
        expected.append(tokenizer.decode(ids[0, start:], skip_special_tokens=True))
    assert decode_moves(model, tokenizer, prompts, max_new_tokens=4, batch_size=2) == expected
    assert len(set(expected)) == 3


def test_fine_tuning_learns_the_answers_and_only_these(folder: Path, tmp_path: Path) -> None:
    frame = puzzles(str(folder / "puzzles.parquet")).head(8)
    model, tokenizer = tiny_model(0, 32).train(), build_tokenizer()
    arguments = merged({"batch_size": 8, "num_train_epochs": 60, "learning_rate": 1.0e-2, "save_steps": 1000})
    done = fit_moves(model, tokenizer, MoveJob(frame, arguments, TOKENS, 0), tmp_path / "work", tmp_path / "model")
    assert (done["steps"], done["puzzles"]) == (60, 8)
    texts = decode_moves(model.eval(), tokenizer, frame["prompt"])
    scored = score_moves(frame, texts)
    assert scored["right"].all()
    # the first loss is that of guessing among all tokens: nothing of the prompt, which stays as unlikely, is in it
    assert done["history"][0]["loss"] < np.log(len(tokenizer)) + 0.5
    ids = tokenizer(frame["prompt"].iloc[0], return_tensors="pt").input_ids
    assert model(ids, labels=ids).loss.item() > 3


def test_nothing_to_learn_from_is_a_sentence(tmp_path: Path) -> None:
    job = MoveJob(pd.DataFrame(columns=["id", "form", "prompt", "answer"]), {}, TOKENS, 0)
    with pytest.raises(W2SError, match="no puzzle is left"):
        fit_moves(None, None, job, tmp_path, tmp_path)


def test_legal_and_right_are_two_things() -> None:
    frame = pd.DataFrame({"id": list("abcd"), "fen": "7k/8/8/8/8/8/8/K7 w - - 0 1", "answer": " a1b2"})
    table = score_moves(frame, ["a1b2", "a1a2", "a1c3", "hello"])
    assert table["legal"].tolist() == [True, True, False, False]
    assert table["right"].tolist() == [True, False, False, False]
    assert table["move"].tolist() == ["a1b2", "a1a2", "", ""]
    assert table["chance"].tolist() == [1 / 3] * 4


def scores_of(right: list[int], texts: list[str] | None = None) -> pd.DataFrame:
    rows = pd.DataFrame({"id": [str(n) for n in range(len(right))], "right": [bool(r) for r in right], "legal": True})
    return rows.assign(text=texts or ["e2e4" if r else "d2d4" for r in right], chance=0.05)


def test_the_arithmetic_of_a_cell() -> None:
    # weak 4 of 8, student 6 of 8, ceiling 8 of 8: half of the gap; repeated, so that the gap is no noise
    weak, student, ceiling = [1, 1, 1, 1, 0, 0, 0, 0] * 40, [1, 1, 1, 0, 1, 1, 1, 0] * 40, [1] * 320
    names = {"floor/w": weak, "student/w>s": student, "ceiling/s": ceiling}
    scores = {(name, seed): scores_of(right) for name, right in names.items() for seed in (0, 1)}
    ids = [str(n) for n in range(320)]
    test = pd.DataFrame({"id": ids, "group": ids, "rating": [900.0, 1000.0, 1999.0, np.nan] * 80})
    cell = Cell(("w", "s"), "floor/w", "student/w>s", "ceiling/s")
    labels = {("student/w>s", seed): scores_of([1, 0, 0, 0]).assign(group=list("aabb")) for seed in (0, 1)}
    found = summarize("t", scores, labels, test, [cell], [1000], {}, resamples=200)
    (judged,) = found.cells
    assert judged.pgr.estimate == pytest.approx(0.5)
    assert judged.gap.estimate == pytest.approx(0.5)
    assert found.cells_without_gap == 0
    # the same answer where both are right (3 of 8) and where both are wrong with the same move (1 of 8)
    assert judged.agreement.overall.estimate == pytest.approx(0.5)
    assert judged.agreement.supervisor_right.estimate == pytest.approx(0.75)
    assert judged.agreement.supervisor_wrong.estimate == pytest.approx(0.25)
    assert judged.errors.corrected.estimate == pytest.approx(0.75)
    assert judged.errors.new_errors.estimate == pytest.approx(0.25)
    low, high = found.players[0].bands
    assert [(band_name(band), band.n) for band in (low, high)] == [("< 1000", 80), ("≥ 1000", 160)]
    assert (low.accuracy.estimate, high.accuracy.estimate) == (pytest.approx(0.5), pytest.approx(0.5))
    assert found.labels[0].accuracy.estimate == pytest.approx(0.25)


def test_labels_of_one_game_stand_together() -> None:
    """Twenty games whose twenty puzzles all have one fate: twenty draws, not four hundred."""
    right = np.repeat(np.random.default_rng(0).integers(0, 2, 20), 20).tolist()
    test = pd.DataFrame({"id": [str(n) for n in range(400)], "group": "g", "rating": 900.0})
    scores = {("w", 0): scores_of(right)}

    def width(groups: list[int]) -> float:
        labels = {("s", 0): scores_of(right).assign(group=groups)}
        low, high = summarize("t", scores, labels, test, [], [], {}, resamples=400).labels[0].accuracy.interval
        return high - low

    assert width([n // 20 for n in range(400)]) > 3 * width(list(range(400)))


def test_more_right_than_chance_is_not_denied_where_it_is_not_resolved() -> None:
    test = pd.DataFrame({"id": list("0123456789"), "group": list("0123456789"), "rating": 1.0})
    scores = {("w", 0): scores_of([1] + [0] * 9)}
    note = summarize("t", scores, {}, test, [], [], {}, resamples=100).players[0].note
    assert note == "Not resolved above chance: 0.100 right, random legal moves 0.050."


def test_two_wrong_moves_are_no_agreement() -> None:
    scores = {
        ("w", 0): scores_of([0, 0], ["a1a2", "a1b1"]),
        ("s", 0): scores_of([0, 0], [" a1a2", "a1b2"]),
        ("c", 0): scores_of([0, 0]),
    }
    test = pd.DataFrame({"id": ["0", "1"], "group": ["0", "1"], "rating": [1.0, 2.0]})
    found = summarize("t", scores, {}, test, [Cell(("w", "s"), "w", "s", "c")], [], {}, resamples=100)
    assert found.cells[0].agreement.overall.estimate == pytest.approx(0.5)
    assert found.cells[0].pgr.estimate is None
    assert found.cells_without_gap == 1
    assert found.players[0].note is not None
    assert found.players[0].note.startswith("Below chance: 0.000 right, random legal moves 0.050")
    assert any("without a gap" in str(part) for part in parts(found))


def test_a_whole_study_is_computed_once(folder: Path) -> None:
    first, second = Recorder(), Recorder()
    results, place = run(folder / "tiny.yaml", [], first, "w2s run")
    again, _ = run(folder / "tiny.yaml", [], second, "w2s run")
    assert first.events.count("done") == len(first.events) // 2 > 20  # each started once and done once
    assert set(second.events) == {"hit"}
    assert again.model_copy(update={"provenance": results.provenance}) == results
    assert again.provenance.stages == results.provenance.stages
    names = [player.name for player in results.players]
    assert set(names) == {
        *(f"start/{model}" for model in "abc"),
        "floor/a", "student/a>c", "student/a>b>c", "student/a>b>c/hop1", "ceiling/c",
    }  # fmt: skip
    moves = pd.read_parquet(place / "moves.parquet")
    assert len(moves) == 24 * len(names)
    assert {path.name for path in place.iterdir()} == {
        "results.json", "recipe.yaml", "environment.json", "report.html", "moves.parquet"
    }  # fmt: skip
    assert [path.name for path in place.parent.iterdir() if path.name.startswith(".")] == []
    assert load_recipe(ChessRecipe, place / "recipe.yaml").model_dump() == results.recipe
    assert results.provenance.command == "w2s run"
    assert results.provenance.seconds > 0
    assert set(results.models) == set("abc")
    assert results.splits["test"].rows == 24


def test_a_chess_run_is_listed_and_shown_again(folder: Path) -> None:
    run(folder / "tiny.yaml", [], Recorder(), "w2s run")
    (listed,) = list_runs(folder / "runs")
    assert listed["headline"].endswith(" of 2 chains of chess without a gap above noise")
    assert listed["created"]
    console = Console(width=200, record=True)
    show_run(folder / "runs" / "tiny", console)
    assert "student/a>b>c" in console.export_text()


def test_the_report_is_one_page_that_holds_every_chain_and_escapes_names(folder: Path, tmp_path: Path) -> None:
    results, _ = run(folder / "tiny.yaml", [], Recorder(), "w2s run")
    assert isinstance(results, ChessResults)
    odd = results.model_copy(update={"name": "<script>alert(1)</script>"})
    odd.cells[0].warnings.append("<img src=http://example.org/x.png>")
    write_report(odd, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img" not in page
    assert "//" not in page.replace("&lt;img src=http://example.org/x.png&gt;", "")  # nothing is fetched
    assert "default-src 'none'" in page
    for cell in results.cells:
        assert escape(" > ".join(cell.chain)) in page
        assert escape(cell.verdict) in page
    for player in results.players:
        assert escape(player.name) in page
        assert estimate(player.accuracy) in page
    assert "Provenance" in page
    assert "w2s run" in page


def test_every_hop_is_fresh_and_students_see_no_solution(folder: Path) -> None:
    recipe = load_recipe(ChessRecipe, folder / "tiny.yaml")
    study, _ = open_chess(recipe, folder, False)
    models = {stage.name.split(" ")[0]: stage for stage in all_stages(study) if isinstance(stage, MoveModelStage)}
    used = {name: stage.on.name for name, stage in models.items()}
    assert used == {
        "floor/a": "gt", "student/a>c": "hop2", "ceiling/c": "hop2", "student/a>b>c/hop1": "hop1",
        "student/a>b>c": "hop2",
    }  # fmt: skip
    swapped = dict(study.splits)
    for name in ("hop1", "hop2", "test"):
        split = study.splits[name]
        swapped[name] = type(split)(name, split.frame.assign(answer=split.frame["answer"].to_numpy()[::-1]))
    other = chess_stages(recipe, swapped, study.models, study.counts)
    keys = {stage.name.split(" ")[0]: stage.key for stage in all_stages(other) if isinstance(stage, MoveModelStage)}
    for name, stage in models.items():
        assert (keys[name] == stage.key) == (not name.startswith("ceiling")), name


def student(folder: Path, override: str) -> MoveModelStage:
    study, _ = open_chess(load_recipe(ChessRecipe, folder / "tiny.yaml", [override]), folder, False)
    models = [stage for stage in all_stages(study) if isinstance(stage, MoveModelStage)]
    return next(stage for stage in models if stage.name.startswith("student/a>c"))


def test_illegal_labels_are_kept_or_dropped(folder: Path) -> None:
    from w2s_pref.engine.remote import open_store
    from w2s_pref.engine.stage import Builder
    from w2s_pref.parallel.world import World

    recipe = load_recipe(ChessRecipe, folder / "tiny.yaml")
    builder = Builder(open_store(recipe.store_place()), World(), folder)
    run(folder / "tiny.yaml", [], Recorder(), "w2s run")
    kept, dropped = (student(folder, f"chess.illegal={how}") for how in ("keep", "drop"))
    assert kept.key != dropped.key
    assert kept.labels is not None
    written = builder.table(kept.labels).sort_values("row")["text"].str.strip()
    assert kept.taught(builder)["answer"].str.strip().tolist() == written.tolist()
    legal = score_moves(kept.on.frame, written.tolist())["legal"]
    assert len(dropped.taught(builder)) == legal.sum() < len(written)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("chains=[[a, d]]", "no model is called 'd'"),
        ("chains=[[a]]", "needs at least two models"),
        ("chess.bands=[1500, 1000]", "write rising ratings"),
        ("chess.from=pgn", "unknown key 'from'"),
        ("training.learning_rat=1.0", "unknown key 'learning_rat'"),
        ("seeds=[1, 1]", "a seed stands twice"),
    ],
)
def test_a_bad_recipe_is_a_sentence(folder: Path, change: str, sentence: str) -> None:
    with pytest.raises(W2SError, match=sentence):
        load_recipe(ChessRecipe, folder / "tiny.yaml", [change])


def test_the_local_recipe_reads() -> None:
    recipe = load_recipe(
        ChessRecipe, Path(__file__).parent.parent.parent / "recipes" / "generalization" / "chess_local.yaml"
    )
    assert recipe.hops == 2
    assert {name for chain in recipe.chains for name in chain} == set(recipe.models)
