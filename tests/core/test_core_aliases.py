"""Modules under their old names: the same objects, with a warning, never loaded twice."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import pytest
from conftest import ROOT

from w2s_pref.core.aliases import ALIASES, new_name
from w2s_pref.core.references import resolve

#: What the documentation of 0.1 taught, statement by statement.
TAUGHT = [
    "from w2s_pref.analysis.deception import analyze_deception",
    "from w2s_pref.analysis.risk.summary import risk_summary",
    "from w2s_pref.analysis.study import summarize",
    "from w2s_pref.analysis.table import read_scores",
    "from w2s_pref.data.config import DataConfig, prepare",
    "from w2s_pref.data.sources import Source, load",
    "from w2s_pref.data.tokens import tokenize",
    "from w2s_pref.label_methods import ensemble, high_confidence, two_stage",
    "from w2s_pref.label_noise import noise_labels",
    "from w2s_pref.losses import LossSpec, mean_loss",
    "from w2s_pref.margins import margin",
    "from w2s_pref.models.spec import ModelSpec",
    "from w2s_pref.monitor import RiskMonitor",
    "from w2s_pref.monitor.alarms import Envelope",
    "from w2s_pref.objectives import aux_confidence_target, confidence_weight, hard_predictions, soft_bce",
    "from w2s_pref.pipeline.plan import load_results",
    "from w2s_pref.probes import ProbeJob, Validation, activations, fit_probes, load_backbone, probe_margins",
    "from w2s_pref.registry import dataset",
    "from w2s_pref.report import cards, compare, html, terminal",
    "from w2s_pref.results import Results",
    "from w2s_pref.tasks.audit import audit",
    "from w2s_pref.tasks.load import load, load_task",
    "from w2s_pref.tasks.splits import split_task",
    "from w2s_pref.tasks.task import Item, task",
    "from w2s_pref.testbed.oracle import judge",
    "from w2s_pref.testbed.organisms import organism",
    "from w2s_pref.testbed.scales import scale_null",
    "from w2s_pref.testbed.world import generate",
]


@pytest.mark.parametrize("old", sorted(ALIASES))
def test_an_old_name_is_the_module_of_today(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(FutureWarning, match="the old name goes with the next release"):
        module = importlib.import_module(old)
    today = importlib.import_module(ALIASES[old])
    if hasattr(today, "__path__"):
        names = [name for name in vars(today) if not name.startswith("_") and f"{old}.{name}" not in ALIASES]
        assert all(getattr(module, name) is getattr(today, name) for name in names)
    else:
        assert module is today


@pytest.mark.parametrize("statement", TAUGHT)
def test_what_the_documentation_taught_still_runs(statement: str) -> None:
    exec(statement, {})


def test_a_module_of_an_old_package_is_not_loaded_twice() -> None:
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import w2s_pref\n"
        "import w2s_pref.tasks.task as old, w2s_pref.data.tasks.task as new\n"
        "assert old is new and old.__spec__.name == 'w2s_pref.data.tasks.task'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_old_module_does_not_take_the_place_of_todays() -> None:
    from w2s_pref.planning import plan as before

    for name in ("w2s_pref.pipeline.plan", "w2s_pref.pipeline"):
        sys.modules.pop(name, None)
    old = importlib.import_module("w2s_pref.pipeline.plan")
    from w2s_pref.pipeline import plan as taken

    from w2s_pref.planning import plan as after

    assert after is before is importlib.import_module("w2s_pref.planning.plan")
    assert old is taken is importlib.import_module("w2s_pref.results.read")


def test_a_recipe_may_go_on_naming_a_module_as_its_keys_hold_it() -> None:
    old = "w2s_pref.generalization.world"
    assert f"{old}:harmless" in (ROOT / "recipes/generalization/quickstart.yaml").read_text(encoding="utf-8")
    for name in (old, "w2s_pref.generalization"):
        sys.modules.pop(name, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        found = resolve(f"{old}:harmless", ROOT)
    assert found is resolve("w2s_pref.studies.generalization.world:harmless", ROOT)


def test_names_that_are_not_old_are_left_alone() -> None:
    assert new_name("w2s_pref.core.errors") is None
    assert new_name("w2s_pref") is None
    assert new_name("tasks.task") is None
