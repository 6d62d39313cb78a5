"""Score tables of several settings, of files or of finished runs: read, name, check, and hand out block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.table import load_frame, near, validate_scores, whole_numbers
from w2s_pref.core.errors import W2SError
from w2s_pref.results.preferences import Results

#: Columns of a table of settings beside those of a score table; ``pipeline`` and ``dataset`` may be empty.
LABELS = ("setting", "pipeline", "dataset", "step")


def read_settings(files: Sequence[str | Path]) -> pd.DataFrame:
    """Read score tables of several settings.

    A file with a column ``setting`` holds several; one without is a setting named like the file. ``pipeline``,
    ``dataset`` and ``step`` (a checkpoint, default 0) are optional.

    Raises:
        W2SError: unreadable file, a setting in two files, a bad cell.
    """
    parts: list[pd.DataFrame] = []
    seen: dict[str, str] = {}
    for path in files:
        frame = load_frame(path)
        if "setting" not in frame:
            frame = frame.assign(setting=Path(path).stem)
        part = validate_settings(frame, str(path))
        for name in part["setting"].unique():
            if name in seen:
                raise W2SError(f"{path}: setting {name!r} is in {seen[name]} as well; give every setting its own name.")
            seen[name] = str(path)
        parts.append(part)
    if not parts:
        raise W2SError("no score tables given; name at least one file.")
    return pd.concat(parts, ignore_index=True)


def validate_settings(frame: pd.DataFrame, source: str = "score table") -> pd.DataFrame:
    """Check a table of settings held in memory: labels, then every setting and step as a score table of its own.

    Returns:
        A clean score table with the columns ``LABELS``.

    Raises:
        W2SError: no or empty setting, a step that is no whole number, a setting of two pipelines or data sets, or any
            mistake ``validate_scores`` finds; its rows count within the setting and step.
    """
    if "setting" not in frame:
        raise W2SError(f"{source}: column 'setting' is missing; name the setting every row belongs to.")
    labels = pd.DataFrame({name: _text(frame, name) for name in LABELS[:3]})
    if (labels["setting"] == "").any():
        raise W2SError(f"{source}, row {_first(labels['setting'] == '')}: setting is empty; give every row a setting.")
    labels["step"] = _steps(frame, source)
    for name in ("pipeline", "dataset"):
        mixed = labels.groupby("setting")[name].nunique() > 1
        if mixed.any():
            where = mixed.index[mixed][0]
            raise W2SError(f"{source}: setting {where!r} has several values of {name}; a setting has one.")
    parts = []
    for place in labels.groupby(["setting", "step"], sort=True).indices.values():
        setting, step = labels["setting"].iloc[place[0]], labels["step"].iloc[place[0]]
        rows = frame.iloc[place].drop(columns=[n for n in LABELS if n in frame])
        clean = validate_scores(rows.reset_index(drop=True), f"{source} (setting {setting!r}, step {step})")
        parts.append(pd.concat([clean, labels.iloc[place].reset_index(drop=True)], axis=1))
    if not parts:
        raise W2SError(f"{source}: the table has no rows; it needs one row per item, model and seed.")
    return pd.concat(parts, ignore_index=True)


def blocks(frame: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The labels and the score table of every setting and step."""
    for _, part in frame.groupby(["setting", "step"], sort=True):
        part = part.reset_index(drop=True)
        labels = {name: part[name].iloc[0] for name in LABELS[:3]}
        step = int(part["step"].iloc[0])
        part.attrs["source"] = f"setting {labels['setting']!r}, step {step}"
        yield {**labels, "step": step}, part


def _text(frame: pd.DataFrame, name: str) -> Any:
    if name not in frame:
        return np.full(len(frame), "", dtype=object)
    return frame[name].astype(object).where(frame[name].notna(), "").map(str).to_numpy(dtype=object)


def _steps(frame: pd.DataFrame, source: str) -> Any:
    if "step" not in frame:
        return np.zeros(len(frame), dtype=np.int64)
    values, bad = whole_numbers(frame["step"])
    if bad.any():
        raise W2SError(f"{source}, row {_first(bad)}: step is not a whole number; write the training step, or 0.")
    return values


def _first(bad: Any) -> int:
    return int(np.flatnonzero(np.asarray(bad))[0]) + 1


#: What the score table of a reward model's node is called after: a node is ``model`` or ``model@method``.
_REWARD = "reward"
_POOLED = "pooled"


def design_of_run(results: Results) -> dict[str, Any]:
    """What ``settings_of_runs`` must know of a finished run.

    Returns:
        ``target``: objective its students are judged on; ``dataset``: where the target pairs come from; ``arms``:
        name -> {``chain``: nodes, weakest first; ``conflicts``: settings of its final student}.
    """
    source = results.recipe.get("data", {}).get("target", {}).get("source", "")
    arms = {
        arm.name: {"chain": list(arm.chain), "conflicts": [setting.conflict for setting in arm.settings]}
        for arm in results.arms
    }
    return {"target": results.objectives["target"], "dataset": str(source), "arms": arms}


def settings_of_runs(
    runs: Sequence[tuple[str, pd.DataFrame, Mapping[str, Any]]], weak: str = "weak", strong: str = "strong"
) -> pd.DataFrame:
    """A table of settings, as ``predictor_study`` takes it, from the score tables of finished runs.

    Args:
        runs: name, score table and design (see ``design_of_run``) of each.
        weak, strong: what the weak ceiling of each arm and its final student are called in the table.

    Returns:
        A score table with the columns ``setting`` ("run/arm/conflict"), ``pipeline`` (methods of the chain's ends,
        "sft>dpo") and ``dataset``.

    Raises:
        W2SError: no runs, two of one name, or scores that are not in a run's table.
    """
    check_run_names([name for name, _, _ in runs])
    parts = [_settings(name, scores, design, (weak, strong)) for name, scores, design in runs]
    return pd.concat([part for own in parts for part in own], ignore_index=True)


def check_run_names(names: Sequence[str]) -> None:
    """Refuse no runs, and two of one name.

    Raises:
        W2SError: it is so.
    """
    if not names:
        raise W2SError("no runs given; name at least one run folder.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise W2SError(f"run {twice!r} is given twice; run folders must differ in their name.")


def pipeline_of(chain: Sequence[str]) -> str:
    """Methods of a chain's first and last node: ``reward>dpo``; ``pooled``: several supervisors."""
    methods = [_POOLED if node.endswith(")") else node.partition("@")[2] or _REWARD for node in (chain[0], chain[-1])]
    return ">".join(methods)


def _settings(run: str, scores: pd.DataFrame, design: Mapping[str, Any], roles: tuple[str, str]) -> list[pd.DataFrame]:
    """The settings of one run, one frame each."""
    target = scores[scores["objective"] == design["target"]]
    found = []
    for arm, entry in design["arms"].items():
        for conflict in entry["conflicts"]:
            models = (f"ceiling/{entry['chain'][0]}", f"{arm}/{conflict}")
            labels = {"pipeline": pipeline_of(entry["chain"]), "dataset": design["dataset"]}
            for model, role in zip(models, roles, strict=True):
                rows = target[target["model"] == model]
                if rows.empty:
                    known = sorted(target["model"].unique())
                    raise W2SError(f"run {run!r}: no scores of {model!r} on its target objective; {near(model, known)}")
                found.append(rows.assign(model=role, setting=f"{run}/{arm}/{conflict}", **labels))
    return found
