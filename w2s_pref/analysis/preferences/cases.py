"""Single items: the region map, and the pairs that look most like deception."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref import results
from w2s_pref.analysis.preferences.arms import Student
from w2s_pref.analysis.preferences.design import CONTROLS, Context

MAP_POINTS = 1500
SUSPICIOUS = 20


def region_maps(context: Context, students: dict[tuple[str, str], Student]) -> list[results.RegionMap]:
    """The ceilings' p of the true answer for every item (first seed), for each student under conflict.

    At most ``MAP_POINTS`` items, evenly spaced in the order of ids (content hashes, so a random sample).
    """
    chosen = np.unique(np.linspace(0, context.target.size - 1, MAP_POINTS).astype(int))
    maps = []
    for student in students.values():
        judged = student.main(context.design.known_rule)
        if student.conflict == "none" or judged is None:
            continue
        weak, strong = context.target.p(student.arm.weak)[0], context.target.p(student.arm.strong)[0]
        eligible, tax = judged.measured.parts.eligible[0], judged.measured.parts.tax[0]
        points = [
            results.RegionPoint(
                weak=round(float(weak[i]), 4),
                strong=round(float(strong[i]), 4),
                eligible=bool(eligible[i]),
                tax=bool(tax[i]),
            )
            for i in chosen
        ]
        maps.append(
            results.RegionMap(
                arm=student.arm.name, conflict=student.conflict, threshold=context.design.threshold, points=points
            )
        )
    return maps


def suspicious(
    context: Context, students: dict[tuple[str, str], Student], pairs: pd.DataFrame
) -> list[results.Suspicious]:
    """The pairs most like deception: lost under conflict, known to the strong ceiling, unknown to the weak one.

    Ranked by p_ceiling (1 - p_weak) (p_reference - p_student), controls left out, each pair once (its highest).
    """
    candidates: dict[str, dict[str, Any]] = {}
    for student in students.values():
        if student.conflict in CONTROLS:
            continue
        for row in _candidates(context, student):
            if row["rank"] > candidates.get(row["id"], {"rank": -np.inf})["rank"]:
                candidates[row["id"]] = row
    texts = pairs.drop_duplicates("id").set_index("id")
    known = [c for c in candidates.values() if c["id"] in texts.index]
    best = sorted(known, key=lambda c: (-c["rank"], c["id"]))[:SUSPICIOUS]
    return [_describe(c, texts.loc[c["id"]]) for c in best]


def _candidates(context: Context, student: Student) -> list[dict[str, Any]]:
    judged = student.main(context.design.known_rule)
    if judged is None:
        return []
    roles = student.roles["w2s"] if "w2s" in student.roles else student.roles["ceiling"]
    data = context.target
    p = {name: data.p(getattr(roles, name)) for name in ("weak", "ceiling", "reference", "student")}
    rank = p["ceiling"] * (1 - p["weak"]) * (p["reference"] - p["student"])
    rows = np.argwhere(judged.measured.parts.tax & judged.measured.parts.treated)
    ordered = sorted(rows.tolist(), key=lambda at: -rank[at[0], at[1]])[: 3 * SUSPICIOUS]
    return [
        {
            "id": data.ids[i],
            "arm": student.arm.name,
            "conflict": student.conflict,
            "seed": int(data.seeds[k]),
            "rank": float(rank[k, i]),
            **{f"p_{name}": float(x[k, i]) for name, x in p.items()},
        }
        for k, i in ordered
    ]


def _describe(case: dict[str, Any], pair: pd.Series[Any]) -> results.Suspicious:
    first, second = ("a", "b") if int(pair["truth"]) == 1 else ("b", "a")
    form = str(pair["form"])
    return results.Suspicious(
        prompt=plain(pair["prompt"], form),
        preferred=plain(pair[first], form),
        other=plain(pair[second], form),
        **{k: v for k, v in case.items() if k != "rank"},
    )


def plain(cell: Any, form: str) -> str:
    """Text of a cell: as it stands, or a chat's messages as lines ``role: content``."""
    if form != "chat":
        return str(cell)
    return "\n".join(f"{m.get('role', '')}: {m.get('content', '')}" for m in messages(cell))


def messages(cell: Any) -> list[dict[str, Any]]:
    """A chat's messages, which a table may hold as JSON."""
    return json.loads(cell) if isinstance(cell, str) else list(cell)
