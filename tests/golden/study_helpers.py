"""Results of small studies: computed from score tables that are kept here, and by tiny runs from end to end."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
REPIN = "to pin the results of today on purpose: python tests/golden/pin.py results (and say why in the commit)"
#: By the key that a number stands under. In float64 the order of a sum costs 1e-13 here. Resamples are summed in
#: float32: n terms cost n * 2^-24 of the mean at most, 2e-5 for the 240 of these tables. A shuffle that ties with what
#: was observed may fall on either side of it: p moves by 1/201 each. Of runs: a score in float32 is good to 2e-6 (dot
#: products of up to a thousand terms), and few steps do not make 1e-4 of it; other instruction sets made 1e-7 of it.
TOLERANCE = {"": 1e-9, "interval": 2e-5, "low": 2e-5, "high": 2e-5, "permutation_p": 2 / 201, ".numbers": 1e-4}
#: The same of what else resamples make; p inverts an interval; powers are shares of 400 draws, rho_80 lies between.
TOLERANCE |= dict.fromkeys(("interval_in_seeds", "low_in_seeds", "high_in_seeds", "smallest_found"), 2e-5)
TOLERANCE |= {"p": 1e-4, "p_adjusted": 1e-3, "power": 2 / 400, "rho_80": 0.01}


def table(study: str, name: str) -> pd.DataFrame:
    """One of the tables kept in ``tables``."""
    return pd.read_parquet(HERE / "tables" / f"{study}-{name}.parquet")


def settings(study: str) -> dict[str, Any]:
    """What else the analysis is given."""
    found: dict[str, Any] = json.loads((HERE / "tables" / f"{study}.json").read_text(encoding="utf-8"))
    return found


def preferences() -> dict[str, Any]:
    """Body of ``results.json``: two arms, reward models and DPO policies that spoke, three conflicts, two seeds."""
    from w2s_pref.analysis.preferences.study import summarize
    from w2s_pref.studies.preferences.analyze import study_design

    tables = [table("preferences", name) for name in ("scores", "labels", "pairs")]
    spoken = [table("preferences", name) for name in ("judged", "anchors")]
    return summarize(*tables, study_design(settings("preferences")), *spoken).model_dump(mode="json")


def generalization() -> dict[str, Any]:
    """``generalization.json``: a grid and five studies, two seeds."""
    from w2s_pref.analysis.lab.study import summarize

    tables = [table("generalization", name) for name in ("predictions", "cells", "curves")]
    return summarize(*tables, settings("generalization")).model_dump(mode="json")


def chess() -> dict[str, Any]:
    """``results.json`` of chess: a direct and a bootstrapped chain, two seeds."""
    from w2s_pref.studies.chess.analysis import summarize
    from w2s_pref.studies.chess.study import Cell

    given, test = settings("chess"), table("chess", "test")
    scores, labels = (_by_model(table("chess", name)) for name in ("scores", "labels"))
    cells = [Cell(tuple(cell["chain"]), cell["weak"], cell["student"], cell["ceiling"]) for cell in given["cells"]]
    numbers = given["bands"], given["counts"], given["resamples"], given["seed"]
    return summarize("golden", scores, labels, test, cells, *numbers).model_dump(mode="json")


def _by_model(frame: pd.DataFrame) -> dict[tuple[str, int], pd.DataFrame]:
    return {key: part.reset_index(drop=True) for key, part in frame.groupby(["model", "seed"], sort=False)}


ANALYSES: dict[str, Callable[[], dict[str, Any]]] = {
    "preferences": preferences,
    "generalization": generalization,
    "chess": chess,
}


def pinned(name: str) -> Any:
    """What was written down."""
    return json.loads(gzip.decompress((HERE / "results" / f"{name}.json.gz").read_bytes()))


def pin(name: str, value: Any) -> None:
    """Write it down; the same value gives the same bytes."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    (HERE / "results" / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def differences(expected: Any, found: Any, path: str = "", key: str = "") -> list[str]:
    """Where two JSON values differ: kinds, keys, lengths and texts exactly, numbers by more than ``TOLERANCE``.

    The tolerance is absolute below one and relative above.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        gone = [f"{path}.{name}: gone" for name in expected if name not in found]
        new = [f"{path}.{name}: new" for name in found if name not in expected]
        shared = [name for name in expected if name in found]
        inside = [differences(expected[name], found[name], f"{path}.{name}", name) for name in shared]
        return gone + new + [line for lines in inside for line in lines]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for at, (a, b) in pairs for line in differences(a, b, f"{path}[{at}]", key)]
    if type(expected) is float and type(found) is float:
        allowed = TOLERANCE[".numbers" if path.startswith(".numbers") else key if key in TOLERANCE else ""]
        close = abs(expected - found) <= allowed * max(1.0, abs(expected))
        return [] if close else [f"{path}: {expected} → {found}"]
    same = expected == found and type(expected) is type(found)
    return [] if same else [f"{path}: {json.dumps(expected)[:120]} → {json.dumps(found)[:120]}"]


def shape(value: Any) -> Any:
    """A JSON value without its content: keys of objects, one shape for all items of a list, kinds of the leaves."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        merged: Any = None
        for each in value:
            merged = merge(merged, shape(each))
        return [merged]
    if value is None:
        return None
    return "truth" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def merge(one: Any, two: Any) -> Any:
    """What is known of two items of a list; null says nothing.

    Raises:
        ValueError: they are of two kinds.
    """
    if one is None or two is None or one == two:
        return two if one is None else one
    if isinstance(one, dict) and isinstance(two, dict):
        return {key: merge(one.get(key), two.get(key)) for key in {**one, **two}}
    if isinstance(one, list) and isinstance(two, list):
        return [merge(one[0], two[0])]
    raise ValueError(f"two kinds: {one} and {two}")


def fits(expected: Any, found: Any, path: str = "") -> list[str]:
    """Where a shape has other keys or kinds; null fits all, because another processor's weights may leave it empty."""
    if expected is None or found is None or expected == found:
        return []
    if isinstance(expected, dict) and isinstance(found, dict):
        other = [f"{path}.{key}: {'gone' if key in expected else 'new'}" for key in expected.keys() ^ found.keys()]
        shared = expected.keys() & found.keys()
        return sorted(other) + [line for key in shared for line in fits(expected[key], found[key], f"{path}.{key}")]
    if isinstance(expected, list) and isinstance(found, list):
        return fits(expected[0], found[0], f"{path}[]")
    return [f"{path}: {json.dumps(expected)[:120]} → {json.dumps(found)[:120]}"]


class Silent:
    """A display that shows nothing."""

    def stage(self, number: int, total: int, stage: Any, event: str, seconds: float) -> None: ...

    def step(self, done: int, total: int) -> None: ...

    def signal(self, step: int, signals: dict[str, float]) -> None: ...

    def wait(self, sentence: str) -> None: ...


PREFERENCES = [
    *("name=golden", "seeds=[0]", "conflict.settings=[none, explicit]"),
    "arms={bootstrapped: [weak@dpo, middle, strong]}",
    *("models.weak.path=ladder/xxs", "models.middle.path=ladder/xs", "models.strong.path=ladder/s"),
    "data.splits={gt: 16, w2s: 16, test: 24, conflict: 16, conflict_test: 8, probe: 30}",
    *("training.batch_size=8", "training.logging_steps=1", "methods.dpo={pre_stage: false}", "analysis.resamples=100"),
    *("monitor={every: 1}", "speech={prompts: 4, samples: 2, max_new_tokens: 4}"),
]
GENERALIZATION = [
    *("name=golden", "seeds=[0]", "sizes={gt: 40, w2s: 40, validation: 20, test: 40}", "analysis.resamples=100"),
    *("models.xs.path=ladder/xxs", "models.s.path=ladder/xs", "models.l.path=ladder/s"),
    *("methods.naive.training={epochs: 3}", "methods.confidence.training={epochs: 3}", "studies.noise={}"),
]
CHESS = """
name: golden
seeds: [0]
chess: {source: puzzles.parquet, sizes: {gt: 16, hop: 16, test: 24}, bands: [1000]}
models: {a: {path: a}, b: {path: b}, c: {path: c}}
chains: [[a, c], [a, b, c]]
training: {batch_size: 8, learning_rate: 1.0e-3}
analysis: {resamples: 100}
"""


def _run(recipe: Path, overrides: list[str], folder: Path) -> Path:
    from w2s_pref.studies.run import run

    return run(recipe, [*overrides, f"output={folder / 'runs'}"], Silent(), "w2s run")[1]


def _json(file: Path) -> Any:
    found = json.loads(file.read_text(encoding="utf-8"))
    if "provenance" in found:
        found["provenance"] |= {"versions": {}, "machine": {}}  # other names on other machines
    return found


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def _without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key not in names}


def run_preferences(folder: Path) -> dict[str, Any]:
    """A run of the quickstart, much smaller, with policies, samples and the monitor: what is pinned of it."""
    place = _run(ROOT / "recipes" / "quickstart.yaml", PREFERENCES, folder)
    found, scores = _json(place / "results.json"), pd.read_parquet(place / "scores.parquet")
    facts = {name: found[name] for name in ("schema_version", "name", "seeds", "objectives", "splits", "models")}
    facts["arms"] = [{key: arm[key] for key in ("name", "chain", "method", "supervision")} for arm in found["arms"]]
    facts["settings"] = [[each["conflict"] for each in arm["settings"]] for arm in found["arms"]]
    facts["curves"] = [_without(curve, "loss") for curve in found["curves"]]
    facts["monitors"] = [{key: each[key] for key in ("name", "seed", "weak", "steps")} for each in found["monitors"]]
    facts |= {"recipe": _without(found["recipe"], "output"), "stages": found["provenance"]["stages"]}
    facts["kinds"] = scores.groupby("model", sort=True)["kind"].first().to_dict()
    losses = {f"{curve['name']}": curve["loss"] for curve in found["curves"]}
    deltas = scores.groupby(["model", "objective"], sort=True)["delta"].agg(["mean", "std"])
    return {
        "facts": {**facts, "files": _files(place)},
        "shape": shape(found),
        "numbers": {"losses": losses, "scores": {" ".join(key): list(row) for key, row in deltas.iterrows()}},
    }


def run_generalization(folder: Path) -> dict[str, Any]:
    """A run of the laboratory's quickstart, much smaller, with every study that it can hold."""
    place = _run(ROOT / "recipes" / "generalization" / "quickstart.yaml", GENERALIZATION, folder)
    found, body = _json(place / "results.json"), _json(place / "generalization.json")
    predictions = pd.read_parquet(place / "predictions.parquet")
    facts = {name: found[name] for name in ("kind", "schema_version", "name", "seeds", "tasks", "models")}
    facts |= {"recipe": _without(found["recipe"], "output", "tasks"), "stages": found["provenance"]["stages"]}
    facts["cells"] = pd.read_parquet(place / "cells.parquet").to_dict("records")
    facts |= {"settings": body["settings"], "files": _files(place)}
    means = predictions.groupby(["split", "name"], sort=True, observed=True)["p"].agg(["mean", "std"])
    return {
        "facts": facts,
        "shape": {"results": shape(found), "generalization": shape(body)},
        "numbers": {" ".join(key): list(row) for key, row in means.iterrows()},
    }


def run_chess(folder: Path) -> dict[str, Any]:
    """A run on made-up puzzles with models of random weights, which write hardly a legal move."""
    sys.path.insert(0, str(ROOT / "tests" / "chess"))
    from chess_helpers import random_puzzles, write_model

    random_puzzles(80).to_parquet(folder / "puzzles.parquet")
    for number, name in enumerate("abc"):
        write_model(folder / name, number, 16 + 8 * number)
    (folder / "golden.yaml").write_text(CHESS, encoding="utf-8")
    place = _run(folder / "golden.yaml", [], folder)
    found = _json(place / "results.json")
    facts = {name: found[name] for name in ("kind", "name", "seeds", "counts", "puzzles", "positions", "chance")}
    facts["players"] = [each["name"] for each in found["players"]]
    facts["cells"] = [{key: each[key] for key in ("chain", "weak", "student", "ceiling")} for each in found["cells"]]
    return {"facts": {**facts, "files": _files(place)}, "shape": shape(found), "numbers": {}}


RUNS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "run-preferences": run_preferences,
    "run-generalization": run_generalization,
    "run-chess": run_chess,
}
