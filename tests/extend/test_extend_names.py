"""Names of what users add: references, installed packages, mistakes, and what source means for a key."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from extend_helpers import planned, refused, w2s, write

from w2s_pref.core import registry
from w2s_pref.core import source_hash as hashes
from w2s_pref.core.errors import W2SError
from w2s_pref.core.registry import Registry
from w2s_pref.core.source_hash import source_hash
from w2s_pref.labels.make import LABELERS
from w2s_pref.stages.given import GivenScores
from w2s_pref.stages.rows import Rows

LABELER = """
import numpy as np
from w2s_pref import labeler

@labeler("{name}")
def {name}({parameters}):
    return {value}
"""


def labeler(name: str = "mine", parameters: str = "p", value: str = "p") -> str:
    return LABELER.format(name=name, parameters=parameters, value=value)


def test_import_is_instant_and_offers_the_interface_and_eleven_decorators() -> None:
    code = (
        "import sys, w2s_pref\n"
        "heavy = {'torch', 'pandas', 'pydantic', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "w2s_pref.run, w2s_pref.open_run, w2s_pref.plan, w2s_pref.score, w2s_pref.analyze\n"
        "assert 'torch' not in sys.modules\n"
        "names = [name for name in w2s_pref.__all__ if callable(getattr(w2s_pref, name))]\n"
        "assert len(names) == 18, names\n"
        "assert set(names) < set(dir(w2s_pref))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the Python path that holds an installed package: its module and its entry point."""
    folder = tmp_path / "site"
    info = folder / "plugged-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[w2s_pref.plugins]\nplugged = plugged_labels\n")
    (folder / "plugged_labels.py").write_text(labeler("plugged"))
    monkeypatch.syspath_prepend(folder)
    registry.load_plugins.cache_clear()
    yield folder
    registry.load_plugins.cache_clear()
    sys.modules.pop("plugged_labels", None)
    from w2s_pref.labels.make import LABELERS

    LABELERS._known.pop("plugged", None)


def test_an_installed_package_offers_a_name(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = write(tmp_path / "study", "", {"labels": {"form": "plugged"}}, tmp_path / "store")
    before = planned(monkeypatch, recipe)
    assert "plugged_labels" in sys.modules
    w2s(monkeypatch, "run", recipe)
    assert set(planned(monkeypatch, recipe).values()) == {"hit"}
    (installed / "plugged_labels.py").write_text(labeler("plugged", value="1 - p"))
    with pytest.raises(W2SError, match=r"plugged_labels\.py was edited since it was imported"):
        source_hash("plugged", tmp_path, LABELERS.find("plugged", tmp_path))
    monkeypatch.setattr(hashes, "_SEEN", {})  # a new process
    after = planned(monkeypatch, recipe)
    assert before.keys() == after.keys()
    labels = next(name for name in after if name.startswith("labels"))
    assert after[labels] == "miss"
    assert after["model: ceiling/weak · seed 0"] == "hit"


def test_packages_are_asked_only_for_names_that_nobody_else_has(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pairs.csv").write_text(
        "prompt,chosen,rejected\n" + "".join(f"q{n}, yes{n}, no{n}\n" for n in range(9))
    )
    from w2s_pref.data.readers import Request, read

    assert len(read(Request("pairs.csv", tmp_path))[0].frame) == 9
    write(tmp_path / "study", labeler(), {"labels": {"form": "mine.py:mine"}}, tmp_path / "store")
    planned(monkeypatch, tmp_path / "study" / "recipe.yaml")
    assert "plugged_labels" not in sys.modules


def test_a_package_that_fails_is_named_where_a_name_is_unknown(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (installed / "plugged_labels.py").write_text("import nothing_of_that_name")
    recipe = write(tmp_path / "study", "", {"labels": {"form": "sfot"}}, tmp_path / "store")
    said = refused(monkeypatch, capsys, "plan", recipe)
    assert "unknown labeler 'sfot'; did you mean 'soft'?" in said
    assert "the plug-in 'plugged' (plugged_labels) failed: ModuleNotFoundError" in said


#: What stands in the file, what the recipe says, what the sentence must hold.
REFUSED = {
    "unknown loss": ("", {"loss": {"name": "entropi"}}, "loss.name: unknown loss 'entropi'; did you mean 'entropy'?"),
    "unknown filter": ("", {"labels": {"filter": "high"}}, "labels.filter: unknown label filter 'high'"),
    "unknown conflict": ("", {"conflict": {"settings": ["none", "explicitt"]}}, "did you mean 'explicit'?"),
    "unknown metric": ("", {"analysis": {"metrics": ["accurate"]}}, "unknown metric 'accurate'"),
    "unknown section": ("", {"report": {"sections": ["tops"]}}, "report.sections: unknown section 'tops'"),
    "unknown reward": ("", {"methods": {"rloo": {"reward": "golden"}}}, "unknown reward 'golden'; did you mean 'gold'"),
    "no such function": (labeler(), {"labels": {"form": "mine.py:mien"}}, "did you mean 'mine'?"),
    "no such file": ("", {"labels": {"form": "yours.py:mine"}}, "there is no file yours.py"),
    "file that fails": ("1 / 0", {"labels": {"form": "mine.py:mine"}}, "mine.py failed: ZeroDivisionError"),
    "wrong parameter": (
        labeler(parameters="truth"),
        {"labels": {"form": "mine.py:mine"}},
        "asks for 'truth', which is not offered; its parameters are filled in by their names: margin, p, score_a",
    ),
    "loss option": (
        "def mine(margin, p): return margin",
        {"loss": {"name": "mine.py:mine", "options": {"gamma": 1}}},
        "loss 'mine.py:mine' takes no 'gamma'",
    ),
    "options of a built-in loss": ("", {"loss": {"name": "kl", "options": {"gamma": 1}}}, "reads no options"),
    "conflict of neither kind": (
        "def mine(truth): return truth",
        {"conflict": {"settings": ["none", "mine.py:mine"]}},
        "asks neither for pairs",
    ),
    "conflict twice": (
        "",
        {"conflict": {"settings": ["none", "a.py:mine", "b.py:mine"]}},
        "settings names a conflict twice",
    ),
    "conflict of a learner from rewards": (
        "def mine(margin): return margin",
        {"conflict": {"settings": ["none", "mine.py:mine"]}, "students": ["rloo"],
         "methods": {"rloo": {"pre_stage": False, "training": {"num_generations": 2, "max_completion_length": 6}}}},
        "acts on labelled pairs, but rloo learns from rewards",
    ),
    "reward": (
        "def mine(answers): return answers",
        {"students": ["rloo"], "methods": {"rloo": {"reward": "mine.py:mine", "pre_stage": False,
         "training": {"num_generations": 2, "max_completion_length": 6}}}},
        "a reward is called with two lists, prompts and answers",
    ),
    "metric": (
        "def mine(x): return x",
        {"analysis": {"metrics": ["mine.py:mine"]}},
        "metric 'mine' asks for 'x', which is not offered",
    ),
    "section": ("def mine(x): return x", {"report": {"sections": ["mine.py:mine"]}}, "report.sections: section"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_a_plan_finds_the_mistake(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, keys, expected = REFUSED[case]
    recipe = write(tmp_path, code, keys, tmp_path / "store")
    assert expected in refused(monkeypatch, capsys, "plan", recipe)


def test_names_are_checked_when_they_are_registered() -> None:
    known = Registry("thing", {"built": "os.path:join"})
    with pytest.raises(W2SError, match="thing name 'a b'"):
        known.register("a b")
    with pytest.raises(W2SError, match="is registered already"):
        known.register("built")(print)
    with pytest.raises(W2SError, match="thing name <built-in"):
        known.register(print)


def test_source_is_that_of_the_file_of_the_definition_and_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner_part.py").write_text("def f(p): return p\n")
    (tmp_path / "outer_part.py").write_text("from inner_part import f\n")
    monkeypatch.syspath_prepend(tmp_path)
    plain, named = source_hash("inner_part:f", tmp_path), source_hash("outer_part:f", tmp_path)
    assert len({plain, named, source_hash("outer_part.py:f", tmp_path)}) == 3
    assert plain == source_hash("inner_part.py:f", tmp_path)
    (tmp_path / "inner_part.py").write_text("def f(p): return p + 0\n")
    for name in ("inner_part:f", "outer_part:f"):  # what was imported would run, under the key of what stands there
        with pytest.raises(W2SError, match=r"inner_part\.py was edited since it was imported"):
            source_hash(name, tmp_path)
    for module in ("inner_part", "outer_part"):  # a new process
        sys.modules.pop(module)
    monkeypatch.setattr(hashes, "_SEEN", {})
    importlib.invalidate_caches()
    assert source_hash("inner_part:f", tmp_path) != plain
    assert source_hash("outer_part:f", tmp_path) != named
    for module in ("inner_part", "outer_part"):
        sys.modules.pop(module)


def test_what_no_file_holds_is_known_by_its_code(tmp_path: Path) -> None:
    """A cell of a notebook, a partial, a function behind ``np.vectorize``."""

    def typed(text: str) -> Callable[..., Any]:
        place: dict[str, Any] = {"__name__": "a_cell"}
        exec(compile(text, "<cell>", "exec"), place)
        made: Callable[..., Any] = place["f"]
        return made

    one, same, two = (typed(f"def f(p):\n    return p * {k}") for k in (1.0, 1.0, 7.0))
    nested = [typed(f"def f(p):\n    return sorted(p, key=lambda x: {k} * x)") for k in (1, 1)]
    known = [source_hash("f", tmp_path, each) for each in (one, same, two, *nested)]
    assert known[0] == known[1] != known[2]
    assert known[3] == known[4]
    partials = [functools.partial(each, k=k) for each, k in ((one, 1), (same, 1), (one, 2), (two, 1))]
    made = [source_hash("f", tmp_path, each) for each in partials]
    assert made[0] == made[1]
    assert len(set(made)) == 3
    assert source_hash("f", tmp_path, np.vectorize(one)) == known[0]
    assert (
        len(
            {
                source_hash("f", tmp_path, functools.partial(one, k=value))
                for value in (np.arange(5000), np.arange(5000) * 2)
            }
        )
        == 2
    )
    makers = [typed(f"def make(k):\n    def f(p): return p * k\n    return f\nf = make({k})") for k in (1, 2)]
    assert source_hash("f", tmp_path, makers[0]) != source_hash("f", tmp_path, makers[1])


def test_what_a_session_or_a_script_changes_around_a_function_is_in_its_hash(tmp_path: Path) -> None:
    """A weight set in another cell, a loop over closures: the text is the same, and the store gave the old results."""

    def made(text: str, name: str = "__main__") -> str:
        place: dict[str, Any] = {"__name__": name}
        exec(compile(text, "<cell>", "exec"), place)
        return source_hash("f", tmp_path, place["f"])

    assert made("K = 1\ndef f(p): return p * K") == made("K = 1\nL = 2\ndef f(p): return p * K")
    assert made("K = 1\ndef f(p): return p * K") != made("K = 2\ndef f(p): return p * K")
    helped = "def g(p): return p * {}\ndef f(p): return [g(each) for each in p]"
    assert made(helped.format(1)) != made(helped.format(2))
    assert made("import math\ndef f(p): return p") == made("def f(p): return p")
    makers = [looped(k) for k in (1, 1, 2)]
    known = [source_hash("f", tmp_path, each) for each in makers]
    assert known[0] == known[1] != known[2]
    states = [State(k) for k in (1, 1, 2)]
    known = [source_hash("f", tmp_path, each) for each in states]
    assert known[0] == known[1] != known[2]


def looped(k: int) -> Callable[..., Any]:
    return lambda p: p * k


class State:
    def __init__(self, k: int) -> None:
        self.k = k

    def __call__(self, p: Any) -> Any:
        return p * self.k


def test_a_partial_of_the_packages_own_counts_with_the_file_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import functools\nfrom w2s_pref.labels.make import soft\nscore = functools.partial(soft, weight={})\n"
    monkeypatch.syspath_prepend(tmp_path)
    known = []
    for weight in (1, 2):
        (tmp_path / "partial_part.py").write_text(code.format(weight))
        importlib.invalidate_caches()
        known.append(source_hash("partial_part:score", tmp_path))
        sys.modules.pop("partial_part")
    assert "" not in known
    assert known[0] != known[1]


def test_a_module_that_was_reloaded_is_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "again_part.py").write_text("def f(p): return p\n")
    before = source_hash("again_part:f", tmp_path)
    (tmp_path / "again_part.py").write_text("def f(p): return p + 10\n")
    with pytest.raises(W2SError, match=r"again_part\.py was edited"):
        source_hash("again_part:f", tmp_path)
    known = Registry("thing", {})
    known.register("mine")(sys.modules["again_part"].f)  # the cell again: the import did nothing
    with pytest.raises(W2SError, match=r"again_part\.py was edited"):
        known.code("mine", tmp_path)
    importlib.reload(sys.modules["again_part"])
    assert source_hash("again_part:f", tmp_path) != before
    sys.modules.pop("again_part")


def test_two_functions_of_one_file_give_two_labels(tmp_path: Path) -> None:
    code = "def first(pairs): return [0.9] * len(pairs)\n\ndef second(pairs): return [0.1] * len(pairs)\n"
    (tmp_path / "judge.py").write_text(code)
    pair = {"id": "1", "form": "text", "prompt": "q", "a": "x", "b": "y", "truth": 1, "objective": "o", "group": "q"}
    rows = Rows("w2s", pd.DataFrame([pair]))
    sources = [f"labels:judge.py:{name}" for name in ("first", "second")]
    payloads = [GivenScores("judge", rows, source, tmp_path, None).payload for source in sources]
    assert [each["function"] for each in payloads] == ["first", "second"]
    assert payloads[0]["code"] == payloads[1]["code"]


@pytest.mark.parametrize("name", ["w2s_pref.testbed.world:generate", "w2s_pref.labels.make:soft"])
def test_what_comes_with_the_package_has_versions_not_a_hash(name: str, tmp_path: Path) -> None:
    assert source_hash(name, tmp_path) == ""


def test_a_copy_of_the_study_elsewhere_has_the_same_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"labels": {"form": "mine.py:mine"}, "loss": {"name": "mine.py:careful"}}
    code = labeler() + "\ndef careful(margin, p): return margin**2\n"
    from w2s_pref.studies.kind import all_stages
    from w2s_pref.studies.run import open_recipe

    found = [
        [stage.key for stage in all_stages(open_recipe(write(tmp_path / place, code, keys, tmp_path), []).study)]
        for place in ("here", "there/deeper")
    ]
    assert found[0] == found[1]
