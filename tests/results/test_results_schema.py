"""Files of schema 1 are read as files of schema 2: the bias turns its sign, nothing else changes, nothing is invented.

``schema1.json.gz`` is what the version before wrote about a part of the golden study (two arms, two conflicts).
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from w2s_pref.analysis.preferences.risk import StudyLogits, predictors, risks
from w2s_pref.analysis.preferences.study import prepare
from w2s_pref.core.errors import W2SError
from w2s_pref.results.lab import LabBody
from w2s_pref.results.preferences import Results
from w2s_pref.results.read import list_runs, load_results, read_file, upgraded
from w2s_pref.studies.finished import compare_runs, read_run
from w2s_pref.studies.preferences.analyze import study_design

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
BIASES = ("bias_weak", "bias_strong")


def table(name: str) -> pd.DataFrame:
    return pd.read_parquet(GOLDEN / "tables" / f"preferences-{name}.parquet")


@pytest.fixture(scope="module")
def old() -> Any:
    return json.loads(gzip.decompress((HERE / "schema1.json.gz").read_bytes()))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, old: Any) -> tuple[Path, Path]:
    """The old run, and the same with the risk laboratory's numbers of today."""
    folders = tuple(tmp_path_factory.mktemp("runs") / name for name in ("old", "new"))
    design = study_design(json.loads((GOLDEN / "tables" / "preferences.json").read_text(encoding="utf-8")))
    arms = tuple(arm for arm in design.arms if arm.name in ("direct", "direct@dpo"))
    design = dataclasses.replace(design, arms=arms, conflicts=("none", "explicit"))
    laboratory = StudyLogits(prepare(table("scores"), design))
    changed = {"schema_version": 2, "name": "new", "risk": risks(laboratory), "predictors": predictors(laboratory)}
    new = Results.model_validate({**old, **changed})
    for folder, text in zip(folders, (json.dumps(old), new.model_dump_json()), strict=True):
        folder.mkdir()
        (folder / "results.json").write_text(text, encoding="utf-8")
        table("scores").to_parquet(folder / "scores.parquet")
    return folders[0], folders[1]


def test_the_bias_of_an_old_file_has_the_sign_of_a_new_one(runs: tuple[Path, Path], old: Any) -> None:
    before, now = (load_results(path) for path in runs)
    assert (old["schema_version"], before.schema_version, now.schema_version) == (1, 2, 2)
    assert len(before.risk) == 4
    for was, one, two in zip(old["risk"], before.risk, now.risk, strict=True):
        for kind in ("raw", "calibrated"):
            for name in BIASES:
                written = was[kind][name]
                read, fresh = (getattr(getattr(each, kind), name) for each in (one, two))
                assert written["estimate"] > 0 > read.estimate
                assert read.estimate == -written["estimate"] == pytest.approx(fresh.estimate, abs=1e-12)
                assert read.interval == (-written["interval"][1], -written["interval"][0])
                assert read.interval[0] < read.estimate < read.interval[1]
                assert read.seeds == [-value for value in written["seeds"]] == pytest.approx(fresh.seeds, abs=1e-12)
                assert read.interval_in_seeds is read.over is None
                assert fresh.interval_in_seeds is not None


def test_the_correlation_of_the_bias_turns_too(runs: tuple[Path, Path], old: Any) -> None:
    """BSD without calibration is constant here, so only calibrated correlations exist."""
    before, now = (load_results(path).predictors for path in runs)
    for was, one, two in zip(old["predictors"]["signals"], before.signals, now.signals, strict=True):
        sign = -1 if was["signal"] == "bias_strong" else 1
        assert one.raw.rho is two.raw.rho is None
        written = was["calibrated"]
        assert (one.calibrated.p, one.calibrated.p_holm) == (written["p"], written["p_holm"])
        if written["rho"] is None:
            assert (was["signal"], one.calibrated.rho) == ("var_weak", None)
        else:
            assert one.calibrated.rho == sign * written["rho"] == pytest.approx(two.calibrated.rho)
    numbers = {"rho": -0.9, "interval": [-1.0, -0.2], "p": 0.01, "p_holm": 0.02}
    signals = [{"signal": name, "raw": numbers, "calibrated": {}} for name in ("bias_strong", "cov")]
    turned = upgraded({"schema_version": 1, "predictors": {"signals": signals}})["predictors"]["signals"]
    assert turned[0]["raw"] == {"rho": 0.9, "interval": [0.2, 1.0], "p": 0.01, "p_holm": 0.02}
    assert turned[1] == signals[1]


def test_nothing_else_changes(old: Any) -> None:
    new = upgraded(old)
    assert upgraded(new) == new
    again = upgraded({**new, "schema_version": 1})
    assert again == {**old, "schema_version": 2}
    assert {k: v for k, v in new.items() if k not in ("risk", "predictors", "schema_version")} == {
        k: v for k, v in old.items() if k not in ("risk", "predictors", "schema_version")
    }
    for was, one in zip(old["risk"], new["risk"], strict=True):
        assert was.keys() == one.keys()
        assert {k: v for k, v in was["raw"].items() if k not in BIASES} == {
            k: v for k, v in one["raw"].items() if k not in BIASES
        }
        assert was["raw"]["parts_strong"]["bias_squared"] == one["raw"]["parts_strong"]["bias_squared"]


def test_old_and_new_runs_are_shown_and_compared(runs: tuple[Path, Path]) -> None:
    assert [read_run(path).results.name for path in runs] == ["old", "new"]
    assert list(compare_runs(runs))


def test_predictors_of_old_runs(runs: tuple[Path, Path]) -> None:
    """They are computed from the scores, so old and new folders say the same."""
    from w2s_pref.analysis.risk.predictors import predictor_study
    from w2s_pref.cli.runs import read_runs_and_settings

    studies = [
        predictor_study(read_runs_and_settings([path], "weak", "strong"), "weak", "strong", resamples=50)
        for path in runs
    ]
    for key in ("support", "signals", "verdict"):
        assert studies[0][key] == studies[1][key]


@pytest.mark.parametrize(
    "change",
    [
        {"risk": "none"},
        {"risk": [3]},
        {"risk": [{"raw": {"bias_weak": "much"}}]},
        {"predictors": []},
        {"predictors": {"signals": [{"signal": "bias_strong", "raw": 4}]}},
        {"schema_version": 3},
        {"schema_version": "1"},
    ],
    ids=str,
)
def test_damaged_files_are_refused_in_a_sentence(tmp_path: Path, old: Any, change: dict[str, Any]) -> None:
    (tmp_path / "results.json").write_text(json.dumps({**old, **change}), encoding="utf-8")
    with pytest.raises(W2SError, match="does not follow schema 2"):
        load_results(tmp_path)


def test_what_is_no_json_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{", encoding="utf-8")
    with pytest.raises(W2SError, match=r"does not follow schema 2 \(it is not JSON"):
        load_results(tmp_path)


def test_an_old_laboratory_is_read(tmp_path: Path) -> None:
    """Schema 1 of the laboratory had no intervals in these seeds."""
    sys.path.insert(0, str(HERE.parent / "lab"))
    from test_lab_analysis import SHARES, answers, body, cell

    new = body(answers(SHARES), [cell("student")])
    old = json.loads(new.model_dump_json())
    old["schema_version"] = 1
    for group in ("accuracy", "auroc"):
        for each in old["cells"][0][group].values():
            each.pop("low_in_seeds")
            each.pop("high_in_seeds")
    (tmp_path / "generalization.json").write_text(json.dumps(old), encoding="utf-8")
    read = read_file(tmp_path / "generalization.json", LabBody, tmp_path)
    assert read.schema_version == 2
    one, two = (each.cells[0].accuracy["student"] for each in (read, new))
    assert (one.value, one.interval, one.interval_in_seeds) == (two.value, two.interval, None)


@pytest.mark.parametrize(
    "said",
    [
        {"name": "x", "verdict": {"headline": [1, 2]}},
        {"name": ["x"], "verdict": {}},
        {"name": "x", "provenance": {"created": 1}},
    ],
)
def test_a_run_that_says_no_text_is_listed_as_unreadable(tmp_path: Path, said: dict[str, Any]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text(json.dumps(said))
    assert list_runs(tmp_path) == [{"name": "run", "created": "", "headline": "unreadable results.json"}]


def test_a_copied_run_is_listed_by_its_folder(tmp_path: Path) -> None:
    """Two lines said the same, and none of them what to give to other commands."""
    for name in ("mine", "copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps({"name": "mine"}))
    assert [row["name"] for row in list_runs(tmp_path)] == ["copy (a run of mine)", "mine"]


def test_a_run_that_another_one_replaces_stands_aside_for_a_moment(runs: tuple[Path, Path], tmp_path: Path) -> None:
    folder, coming = tmp_path / "mine", tmp_path / ".mine-12-34"
    coming.mkdir()
    (coming / "results.json").write_bytes((runs[1] / "results.json").read_bytes())

    def arrive() -> None:
        time.sleep(0.3)
        coming.rename(folder)

    thread = threading.Thread(target=arrive)
    thread.start()
    assert load_results(folder).name == "new"
    thread.join()
    began = time.monotonic()
    with pytest.raises(W2SError, match=r"no readable results\.json"):
        load_results(tmp_path / "other")
    assert time.monotonic() - began < 1
