"""Eleven extension points, each by its example on the page, through the command line: run, edit, run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from extend_helpers import examples, planned, results, w2s, write

POLICY = {"student", "logprobs", "scores", "samples", "judged", "analysis"}
#: Heading → (what is replaced in the file, kinds and beginnings of the stages that are then built again).
EDITS: dict[str, tuple[str, str, set[str]]] = {
    "A data set": ("2 * rows", "3 * rows", {"ceiling", "student", "scores", "labels", "analysis"}),
    "A task": ("seed=1", "seed=2", {"activations", "probe", "scores", "labels", "analysis"}),
    "A labeler": ("0.8", "0.7", {"labels", "student", "scores", "analysis"}),
    "A label filter": ("<", "<=", {"labels", "student", "scores", "analysis"}),
    "A combination": ("axis=0", "axis=-2", {"scores", "labels", "student", "analysis"}),
    "A loss": ("gamma=2.0", "gamma=3.0", {"student", "scores", "analysis"}),
    "A margin": (
        "power=0.5",
        "power=0.6",
        {"ceiling", "student", "logprobs", "scores", "samples", "judged", "analysis"},
    ),
    "A conflict": (">", ">=", {"labels", "student", "scores", "analysis"}),
    "A reward": ("-len", "+len", POLICY),
    "A metric": ("student < 0", "student <= 0", {"analysis"}),
    "A section": ("The best", "First", set()),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all examples: what they share is trained once."""
    return tmp_path_factory.mktemp("store")


def kinds(plan: dict[str, str]) -> set[str]:
    """Kinds of the stages that are missing; trained students and ceilings told apart."""
    missing = [name.partition(": ") for name, state in plan.items() if state == "miss"]
    trained = {"model", "policy"}
    return {
        ("ceiling" if name.startswith(("ceiling", "gold")) else "student") if kind in trained else kind
        for kind, _, name in missing
    }


def test_there_are_eleven_of_at_most_ten_lines() -> None:
    found = examples()
    assert list(found) == list(EDITS)
    for heading, (code, _) in found.items():
        functions = code.count("\n@")
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= 10 * functions, heading


@pytest.mark.parametrize("heading", list(EDITS))
def test_an_example_runs_and_its_source_is_in_the_key(
    heading: str, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, keys = examples()[heading]
    recipe = write(tmp_path, code, keys, store)
    monkeypatch.chdir(tmp_path)
    w2s(monkeypatch, "run", recipe)
    shown = capsys.readouterr().out
    assert set(planned(monkeypatch, recipe).values()) == {"hit"}
    CHECKS.get(heading, lambda *_: None)(recipe, shown)

    before, after, expected = EDITS[heading]
    assert before in code
    (tmp_path / "mine.py").write_text(code.replace(before, after, 1), encoding="utf-8")
    assert kinds(planned(monkeypatch, recipe)) == expected


def table(recipe: Path, name: str) -> str:
    return (recipe.parent / "runs" / "own" / name).read_text(encoding="utf-8")


def check_conflict(recipe: Path, shown: str) -> None:
    """Both settings are students with a tax against the one without conflict."""
    settings = results(recipe)["arms"][0]["settings"]
    assert [one["conflict"] for one in settings] == ["none", "longer", "contrary"]
    assert {entry["reference"] for one in settings[1:] for entry in one["deception"]} == {"w2s", "ceiling"}
    assert "contrary" in shown


def check_metric(recipe: Path, shown: str) -> None:
    """The number is the share by hand; it stands in all four places."""
    import numpy as np
    import pandas as pd

    (entry,) = results(recipe)["metrics"]
    scores = pd.read_parquet(recipe.parent / "runs" / "own" / "scores.parquet").set_index(["model", "id"])["delta"]
    wrong = scores["ceiling/weak"] < 0
    by_hand = (scores["direct/none"][wrong] < 0).mean()
    assert entry["metric"] == "copied"
    assert entry["about"].startswith("Share of the supervisor's errors")
    assert np.isclose(entry["value"]["estimate"], by_hand)
    low, high = entry["value"]["interval"]
    assert low <= by_hand <= high
    assert "copied" in shown
    assert f"{by_hand:.3f}" in shown
    assert "copied" in table(recipe, "report.html")


def check_section(recipe: Path, shown: str) -> None:
    for place in (shown, table(recipe, "report.html")):
        assert "Students by accuracy" in place
        assert "The best of 1 students is none." in place


CHECKS = {"A conflict": check_conflict, "A metric": check_metric, "A section": check_section}
