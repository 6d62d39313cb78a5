"""``w2s analyze alarms`` on a hand-made run: AUROC by hand, what is left out and why, and undefined as an answer."""

from __future__ import annotations

import json
from pathlib import Path
from xml.dom import minidom

import pytest
from report.fixture import ESCAPES, build
from rich.console import Console
from typer.testing import CliRunner

from w2s_pref.cli.main import app
from w2s_pref.core.errors import W2SError
from w2s_pref.monitor.alarms import Band, Envelope
from w2s_pref.monitor.finished import watched_runs
from w2s_pref.monitor.lead_time import judge_envelope
from w2s_pref.monitor.verdict import judge_runs
from w2s_pref.report.analyses.alarms import alarms_figure, alarms_table
from w2s_pref.results.preferences import Results
from w2s_pref.results.trainings import MonitorAlarm, MonitorCurve

STEPS = list(range(0, 110, 10))
LEVELS = (0.02, 0.03, 0.05)


def curve(name: str, seed: int, bsd: list[float], var: list[float | None], **more: list[float | None]) -> MonitorCurve:
    return MonitorCurve(name=name, seed=seed, steps=STEPS, signals={"var": var, "bsd": bsd, **more}, cost=0.01)


def ceilings(node: str = "large") -> list[MonitorCurve]:
    """Quiet: BSD rises to .02, .03, .05; var wobbles about .1, .2, .3."""
    return [
        curve(f"ceiling/{node}", seed, [0.9] + [top] * 10, [0.1 * (seed + 1) + 0.01 * (k % 2) for k in range(11)])
        for seed, top in enumerate(LEVELS)
    ]


def rising(name: str, seed: int, at: int, var: list[float | None], **more: list[float | None]) -> MonitorCurve:
    """BSD is .2 from look ``at`` on, before that exactly the ceilings' greatest."""
    return curve(name, seed, [0.05] * at + [0.2] * (11 - at), var, **more)


def watched(*more: MonitorCurve, references: bool = True) -> Results:
    """Two settings, each with a seed that crosses and one that does not: the detector's worked example."""
    found = ceilings() if references else []
    found += [
        rising("direct/explicit", 0, 5, [3.0 if k >= 4 else 1.0 for k in range(11)]),
        rising("direct/explicit", 1, 11, [1.0] * 11),
        rising("direct/implicit", 0, 8, [4.0 if k >= 8 else 0.5 for k in range(11)]),
        rising("direct/implicit", 1, 11, [2.0] * 11),
    ]
    return build(seeds=3).model_copy(update={"monitors": [*found, *more]})


def row(found: dict, signal: str) -> dict:
    return next(each for each in found["detector"]["signals"] if each["signal"] == signal)


def written(folder: Path, results: Results) -> Path:
    folder.mkdir()
    (folder / "results.json").write_text(results.model_dump_json())
    return folder


def printed(part: object, width: int = 140) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(part)
    return " ".join(capture.get().split())


def test_auroc_by_hand() -> None:
    """Level .05, above and not at. Horizon .2: looks at .1 … .8. explicit/0 is at risk until .4, positive at .3 and .4
    (1, 3), else 1 twice; implicit/0 until .7, positive at .6 and .7 (.5, .5), else .5 five times; the quiet ones are
    eight 1s and eight 2s. Wins over the 23 negatives: 1: five, and ten halves; 3: all; .5: five halves, twice."""
    found = judge_runs([("r", watched())], resamples=200)
    assert found["detector"]["looks"] == 27
    assert found["detector"]["positive_looks"] == 4
    assert row(found, "var")["auroc"] == pytest.approx((5 + 5 + 23 + 2.5 + 2.5) / (4 * 23))
    one_setting = {"r/direct/explicit": (2.5 + 2.5) / (2 * 13), "r/direct/implicit": (5 + 10) / (2 * 10)}
    assert row(found, "var")["left_out"] == pytest.approx(one_setting)
    assert row(found, "var")["alarms"]["lead"] == pytest.approx(0.05)  # at .4 for .5, at .8 for .8
    assert row(found, "var")["alarms"]["false_alarms_per_run"] == 0.5
    assert found["settings"] == [
        {"setting": "r/direct/explicit", "runs": 2, "crossing": 1, "first": 0.5, "level": 0.05, "references": 3,
         "bsd_max": 0.2, "bsd_end": pytest.approx(0.125)},
        {"setting": "r/direct/implicit", "runs": 2, "crossing": 1, "first": 0.8, "level": 0.05, "references": 3,
         "bsd_max": 0.2, "bsd_end": pytest.approx(0.125)},
    ]  # fmt: skip
    assert {entry["statistic"] for entry in found["alarms"]} == {"robust_z", "cusum"}
    assert found["notes"] == []
    json.dumps(found, allow_nan=False)


def test_each_node_has_its_own_level() -> None:
    """The middle node's ceilings reach .3: a hop at .2 does not cross; the student of the same arm at .2 does."""
    middle = [curve("ceiling/small", s, [0.0, *[0.3] * 10], [0.1 * s] * 11) for s in range(3)]
    hop, student = rising("bootstrapped/hop1", 0, 5, [1.5] * 11), rising("bootstrapped/none", 0, 5, [1.6] * 11)
    found = judge_runs([("r", watched(*middle, hop, student))], resamples=100)
    crossing = {entry["setting"]: (entry["level"], entry["crossing"]) for entry in found["settings"]}
    assert crossing["r/bootstrapped/hop1"] == (0.3, 0)
    assert crossing["r/bootstrapped/none"] == (0.05, 1)


def test_live_alarms_are_judged_against_the_own_envelope() -> None:
    """Settings without an envelope are not counted; a signal without a band counts no run."""
    found = judge_runs([("r", watched(rising("bootstrapped/hop1", 0, 5, [9.0] * 11)))], level=0.05, resamples=100)
    assert found["detector"]["crossing_runs"] == 3
    counts = {(entry["crossing"], entry["quiet"]) for entry in found["alarms"] if entry["signal"] == "var"}
    assert counts == {(2, 2)}
    assert "bootstrapped/hop1 (0): no envelope" in found["notes"][-1]
    flat = [0.0] * 21
    band = Band(flat, [1 / 1.4826] * 21, flat, flat, allowance=2.5, z=2.5, cusum=0.1)
    envelopes = {"r/direct/explicit": Envelope(3, 1.0, {"var": band}), "r/direct/implicit": Envelope(3, 1.0, {})}
    z, _ = judge_envelope(watched_runs([("r", watched())]).curves, envelopes, 0.05)
    assert (z["crossing"], z["quiet"], z["detected"], z["lead"]) == (1, 1, 1, pytest.approx(0.1))


def test_undefined_when_no_run_crosses() -> None:
    found = judge_runs([("r", watched())], level=0.5, resamples=100)
    assert found["verdict"].startswith("Undefined: none of 4 runs crosses")
    assert row(found, "var")["verdict"] == "undefined"
    assert "undefined" in printed(alarms_table(found))
    minidom.parseString(alarms_figure(found))


def test_not_resolved_is_said() -> None:
    found = judge_runs([("r", watched())], resamples=200)
    assert row(found, "var")["verdict"] == "not resolved"
    assert found["verdict"].startswith("Not resolved: no signal without labels")


def test_refused_inputs() -> None:
    with pytest.raises(W2SError, match="no runs given"):
        judge_runs([])
    with pytest.raises(W2SError, match=r"run 'r': nothing was watched; add `monitor: \{\}`"):
        judge_runs([("r", build())])
    with pytest.raises(W2SError, match="'r' is given twice"):
        judge_runs([("r", watched()), ("r", watched())])
    with pytest.raises(W2SError, match=r"fewer than 3 watched trainings .*explicit \(0\).*give --level"):
        judge_runs([("r", watched(references=False))])
    blind = [each.model_copy(update={"signals": {"var": [1.0] * 11}}) for each in watched().monitors]
    with pytest.raises(W2SError, match="its probe has no truth, so its BSD is not known"):
        judge_runs([("r", build(seeds=3).model_copy(update={"monitors": blind}))])
    with pytest.raises(W2SError, match="horizon is 1"):
        judge_runs([("r", watched())], horizon=1.5)


def test_what_cannot_be_judged_is_left_out_and_said() -> None:
    stopped = rising("direct/none", 0, 3, [7.0] * 11).model_copy(
        update={"alarms": [MonitorAlarm(step=30, signal="var", action="stop")]}
    )
    stranger, twin = rising(f"odd{ESCAPES}", 0, 5, [8.0] * 11), rising("direct/none", 1, 11, [1.0] * 11)
    found = judge_runs([("r", watched(stopped, stranger, twin))], resamples=100)
    assert found["detector"]["runs"] == 4
    stop, odd, same = found["notes"]
    assert "direct/none/0: left out; its own alarm stopped it" in stop
    assert "is no student of an arm" in odd
    assert same == "r/direct/none/1: left out; it is the same training as r/direct/explicit/1"
    assert "\x1b[31m" not in printed(alarms_table(found))


def test_a_signal_that_some_run_lacks_costs_no_looks() -> None:
    more = rising("direct/none", 0, 5, [1.5] * 11, loss=[None, *[0.5] * 10])
    found = judge_runs([("r", watched(more))], resamples=100)
    assert found["detector"]["looks"] == 27 + 4
    assert found["notes"] == ["not judged, because some runs have none of it: loss"]


def test_the_command(tmp_path: Path) -> None:
    folder = written(tmp_path / "mine", watched())
    out, drawing = tmp_path / "out.json", tmp_path / "f.svg"
    line = ["analyze", "alarms", str(folder), "--resamples", "100", "--json", str(out), "--figure", str(drawing)]
    shown = CliRunner(env={"COLUMNS": "140"}).invoke(app, line)
    assert shown.exit_code == 0, shown.output
    assert "mine/direct/explicit" in shown.output
    found = json.loads(out.read_text())
    assert found == judge_runs([("mine", watched())], resamples=100)
    words = {node.firstChild.data for node in minidom.parse(str(drawing)).getElementsByTagName("text")}
    assert {"var", "bsd", "time"} <= words
    other = CliRunner().invoke(app, ["analyze", "alarms", str(folder / "results.json"), "--level", "0.5"])
    assert "Undefined: none of 4 runs" in other.output
    missing = CliRunner().invoke(app, ["analyze", "alarms", str(tmp_path / "no")])
    assert "has no readable results.json" in str(missing.exception)
