"""Students of a run leave it: the card's own lines give its scores, adapters are merged, a hub takes the folder."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from conftest import copy_tiny
from fault_helpers import refused, succeeded, w2s
from hub import hub
from processes import ENVIRONMENT
from processes import run as run_process

SMALL = [
    "seeds=[0]", "arms={direct: [weak, strong]}", "conflict.settings=[none]", "students=[reward, dpo]",
    "methods={dpo: {pre_stage: false}}", "speech.prompts=0", "models.strong.lora={r: 2}",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a study whose students are adapters."""
    folder = copy_tiny(original, tmp_path_factory.mktemp("export") / "study")
    succeeded("run", folder / "tiny.yaml", *SMALL)
    return folder / "runs" / "tiny"


def lines_of(card: Path) -> str:
    """The Python of a model card."""
    (found,) = re.findall(r"```python\n(.*?)```", card.read_text(), flags=re.S)
    return str(found)


def test_the_cards_lines_give_the_scores_of_the_run(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    assert "w2s export RUN STUDENT FOLDER" in (run / "students" / "direct-none-seed0" / "README.md").read_text()
    succeeded("export", run, "direct-none-seed0", place)
    assert not any(path.is_symlink() or path.name.startswith("adapter") for path in place.iterdir())
    scores = pd.read_parquet(run / "scores.parquet")
    rows = scores[(scores["model"] == "direct/none") & (scores["objective"] == "target")].set_index("id")
    (run.parents[1] / "small").rename(run.parents[1] / "away")  # nothing of the study is needed
    try:
        pairs = pd.read_csv(run.parents[1] / "target.csv").head(40)
        asked = lines_of(place / "README.md").replace('folder = "."', f"folder = {str(place)!r}")
        head, _, tail = asked.partition("text = ")
        known: dict[str, object] = {}
        exec(head, known)
        deltas = []
        for row in pairs.itertuples():
            said = []
            for answer in (row.chosen, row.rejected):
                known["given"] = row.prompt + answer
                exec("text = given\n" + tail.partition("\n")[2], known)
                said.append(float(str(known["score"])))
            deltas.append(said[0] - said[1])
    finally:
        (run.parents[1] / "away").rename(run.parents[1] / "small")
    from w2s_pref.core.tables import pair_id

    ids = [pair_id(row.prompt, row.chosen, row.rejected) for row in pairs.itertuples()]
    held = [(delta, rows["delta"][name]) for delta, name in zip(deltas, ids, strict=True) if name in rows.index]
    assert len(held) > 5
    assert max(abs(delta - expected) for delta, expected in held) <= 1e-5


def test_a_policy_is_merged_and_speaks(run: Path, tmp_path: Path) -> None:
    succeeded("export", run, "direct-dpo-none-seed0", tmp_path / "policy")
    card = lines_of(tmp_path / "policy" / "README.md")
    known: dict[str, object] = {}
    exec(card.replace('folder = "."', f"folder = {str(tmp_path / 'policy')!r}"), known)
    assert isinstance(known["answer"], str)


def test_what_cannot_be_exported_is_said(run: Path, tmp_path: Path) -> None:
    there = "direct-dpo-none-seed0, direct-none-seed0"
    refused(tmp_path, "export", run, "direct", tmp_path / "x", said=("no student 'direct'", there))
    refused(tmp_path, "export", tmp_path, "direct", tmp_path / "x", said="give a run folder")
    refused(tmp_path, "export", run, "direct-none-seed0", tmp_path, said="there already")


#: Exports and uploads twice, with another token each time; how both ended, and what they said.
PUSHES = """
import importlib, os, sys
from huggingface_hub import constants
from w2s_pref.cli.ending import status_of
from w2s_pref.cli.main import app
importlib.reload(constants)  # they are read from the environment where they are imported
run = sys.argv[1]
for token, folder in (("hf_may_write", "mine"), ("hf_wrong", "other")):
    os.environ["HF_TOKEN"] = token
    words = ["export", run, "direct-none-seed0", folder, "--push", "me/student", "--yes"]
    status = status_of(lambda: app(words, standalone_mode=False))
    print(f"\\x1e{status}\\x1e")
    print(f"\\x1e{status}\\x1e", file=sys.stderr)
"""


def test_a_hub_takes_the_folder(run: Path, tmp_path: Path) -> None:
    """In a process of its own, for the address of the hub."""
    with hub(tmp_path / "hub") as (address, made):
        environment = {**ENVIRONMENT, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        (tmp_path / "pushes.py").write_text(PUSHES)
        done = run_process("pushes.py", str(run), environment=environment, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        first, status, second, wrong, _ = done.stdout.split("\x1e")
        assert (status, wrong) == ("0", "1"), done.stderr
        assert "uploaded to" in first
        assert "uploaded to" not in second
        assert made[0]["visibility"] == "private"
        sent = {path.name: path.read_bytes() for path in (tmp_path / "hub" / "me" / "student").iterdir()}
        kept = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
        assert sent == kept
        refusal = done.stderr.split("\x1e")[2]
        assert "me/student: not uploaded (" in refusal
        assert "hf_wrong" not in done.stderr
    assert w2s("score", tmp_path / "hub" / "me" / "student", run.parents[1] / "target.csv", "--out", tmp_path / "s.csv",
               "--max-length", 32).code == 0  # fmt: skip
