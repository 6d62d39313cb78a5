"""The page of ``coverage.py``: docs/coverage.md from the cells that are finished."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from itertools import product
from typing import Any

from scipy.stats import beta

Line = dict[str, Any]
#: Percent that coverage may have, for plain statistics and for those that refit a curve in every resample.
PLAIN, REFITTED = (92, 98), (90, 98)
REFITS = ("deception lift", "deception lift_smooth", "deception excess")
BAND = 0.99
HEAD = """# Coverage: do the intervals hold the truth?

Every number here is simulated: worlds whose truth is known, prompts and seeds drawn anew in each, and the share of
worlds whose 95 % interval holds the truth. With two seeds or more the truth is that of all prompts and all seeds. With
one seed it is that of this seed: the interval says so and speaks of no other.

    python benchmarks/coverage.py            # simulates what is missing, on all cores; may take hours
    python benchmarks/coverage.py --table    # writes this page

**Bold**: the cell fails. The 99 % band of its simulation error lies wholly outside {low} to {high} % ({refit} to
{high} % for statistics that refit a curve in every resample); 500 worlds resolve coverage to about 2.5 points. Seed
effect: the standard deviation of accuracy over seeds. {resamples} resamples.

{state}
"""


def page(lines: list[Line]) -> str:
    """The whole page."""
    by_family: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_family[line["cell"]["family"]].append(line)
    found = [table(by_family[name]) for name, table in TABLES.items() if by_family[name]]
    head = HEAD.format(low=PLAIN[0], high=PLAIN[1], refit=REFITTED[0], resamples=300, state=_state(lines))
    return "\n".join([head, *found])


def _state(lines: list[Line]) -> str:
    hours = sum(line["seconds"] for line in lines) / 3600
    # A collapse that no seed has shown cannot be covered: shown, not judged.
    judged = [
        (f"{line['cell']['family']} {name}", row)
        for line in lines
        if line["cell"]["family"] != "collapses"
        for name, row in line["found"].items()
    ]
    intervals = [fails(name, row) for name, row in judged if "covered" in row]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    counts = f"{len(lines)} cells, {len(intervals)} intervals, of which {sum(intervals)} fail"
    return f"{counts}; {hours:.1f} hours of one core ({machine})."


def fails(name: str, row: dict[str, int]) -> bool:
    """Whether the exact 99 % band of the coverage misses what it may be; a withheld interval is no interval."""
    low, high = REFITTED if name in REFITS else PLAIN
    hits, runs = row["covered"], row["defined"]
    if not runs:
        return False
    tail = (1 - BAND) / 2
    least = 0.0 if hits == 0 else float(beta.ppf(tail, hits, runs - hits + 1))
    most = 1.0 if hits == runs else float(beta.ppf(1 - tail, hits + 1, runs - hits))
    return 100 * most < low or 100 * least > high


def covered(name: str, row: dict[str, int] | None) -> str:
    """Percent covered among the intervals there are; with how many there are where some are withheld."""
    if row is None:
        return ""
    if not row["defined"]:
        return "none"
    runs = row["covered"] + row["above"] + row["below"]
    text = f"{100 * row['covered'] / runs:.1f}"
    return f"**{text}**" if fails(name, row) else text


def worlds(lines: list[Line]) -> str:
    """How many worlds were simulated for each cell."""
    counts = sorted({line["cell"]["worlds"] for line in lines})
    return f"{' or '.join(map(str, counts))} worlds a cell"


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows]) + "\n"


def accuracies(lines: list[Line]) -> str:
    """One table a statistic: seeds and seed effect down, size and likeness across."""
    at = {_place(line["cell"]): line["found"] for line in lines}
    seeds, sds, sizes, likes = (sorted({place[i] for place in at}) for i in range(4))
    across = list(product(sizes, likes))
    text = f"\n## Accuracy, paired difference, PGR ({worlds(lines)})\n\n"
    text += "Columns: items, and how alike answers to one prompt are.\n"
    for name in ("accuracy", "difference", "PGR", "PGR where reported"):
        rows = []
        for k, sd in product(seeds, sds):
            cells = [at.get((k, sd, n, icc), {}).get(name) for n, icc in across]
            if any(cells):
                rows.append([str(k), f"{sd:g}", *(covered(name, cell) for cell in cells)])
        heads = ["seeds", "seed effect", *(f"{n}, {icc:g}" for n, icc in across)]
        text += f"\n**{name}**\n\n{markdown(heads, rows)}"
    return text


def _place(cell: dict[str, Any]) -> tuple[Any, ...]:
    return cell["seeds"], cell["sd"], cell["items"], cell["icc"]


def small_gaps(lines: list[Line]) -> str:
    """Seeds, items and gap down; coverage, and in how many worlds there was a PGR."""
    rows = []
    for line in lines:
        cell, found = line["cell"], line["found"]["PGR where reported"]
        own = [
            cell["seeds"],
            cell["items"],
            f"{cell['gap']:g}",
            f"{cell['differ']:g}",
            cell["worlds"],
            found["defined"],
        ]
        rows.append([*map(str, own), covered("small_gaps PGR where reported", found)])
    heads = ["seeds", "items", "gap", "seeds differ on", "worlds", "with a PGR", "PGR where reported"]
    note = (
        "A PGR is reported only where the gap's own interval excludes 0; close to that its resamples have heavy tails. "
        "A student recovers .4 of the gap, and seeds answer a share of the items anew."
    )
    return f"\n## PGR where the gap is hardly resolved ({worlds(lines)})\n\n{note}\n\n{markdown(heads, rows)}"


#: Why cells of the risk table fail where seeds differ by .1.
SKEWED = """
Where accuracies of seeds lie .1 apart, the law over seeds of several of these numbers is skewed: what is missed lies
nearly all on one side, and a t interval of the seeds' own values alone would miss about as often. Such an interval is
too narrow by some points.
"""


def statistics(title: str, note: str = "") -> Any:
    """A table of a family: statistic and seed effect down, seeds across; ``note`` stands above it."""

    def table(lines: list[Line]) -> str:
        at = {(line["cell"]["seeds"], _effect(line["cell"])): line["found"] for line in lines}
        seeds, effects = sorted({k for k, _ in at}), list(dict.fromkeys(effect for _, effect in at))
        names = list(dict.fromkeys(name for found in at.values() for name in found))
        rows, family = [], lines[0]["cell"]["family"]
        for name, effect in product(names, effects):
            cells = [at.get((k, effect), {}).get(name) for k in seeds]
            if any(cells):
                rows.append([name, effect, *(covered(f"{family} {name}", cell) for cell in cells)])
        heads = ["statistic", "seed effect", *(f"K = {k}" for k in seeds)]
        return f"\n## {title} ({worlds(lines)})\n{note}\n{markdown(heads, rows)}"

    return table


def _effect(cell: dict[str, Any]) -> str:
    if cell["collapse"]:
        return f"{100 * cell['collapse']:.0f} % collapse"
    if cell["skewed"]:
        return f"{cell['sd']:g}, flips alone"
    return f"log rho {cell['rho']:g}" if cell["rho"] else f"{cell['sd']:g}"


#: Heading -> question. Gates are passed one after the other; "selective" is said after a placebo.
VERDICTS = {
    "margin": "margin",
    "+ adjusted": "adjusted",
    "+ siblings": "siblings",
    "or + unrelated": "unrelated",
    "or + both": "both",
}
PLACEBOS = ("siblings", "unrelated", "both")
#: Percent of studies that may call a student selective who is not.
FALSE = 5.0


def verdicts(title: str, judged: bool) -> Any:
    """A table of worlds: how often each gate passes."""

    def table(lines: list[Line]) -> str:
        rows = []
        for line in lines:
            cells = [
                passed(line["found"][name], judged and name in ("siblings", "unrelated", "both"))
                for name in VERDICTS.values()
            ]
            rows.append([*_world(line["cell"]["case"]), str(line["cell"]["worlds"]), *cells])
        heads = ["world", "seeds", "items", "worlds", *VERDICTS]
        return f"\n## {title} ({worlds(lines)})\n\n{markdown(heads, rows)}"

    return table


def _world(case: dict[str, Any]) -> list[str]:
    effect = ", ".join(f"{name} {value:g}" for name, value in case["effect"].items() if value)
    name = case["organism"] + (f", rho {case['rho']:g}" if case["rho"] else "") + (f" ({effect})" if effect else "")
    return [name, str(case["seeds"]), str(case["items"])]


def families(lines: list[Line]) -> str:
    """A table of studies of sixteen students."""
    names = list(dict.fromkeys(name for line in lines for name in line["found"]))
    rows = []
    for line in lines:
        cell, found = line["cell"], line["found"]
        some = f"{cell['deceivers']} of {cell['students']} deceive (rho {cell['rho']:g})"
        judged = [passed(found[n], n == "a blind student, Holm") if n in found else "" for n in names]
        rows.append([some if cell["deceivers"] else "all blind", str(cell["seeds"]), *judged])
    title = "Families: sixteen students in a report, % of studies and of deceivers"
    return f"\n## {title} ({worlds(lines)})\n\n{markdown(['students', 'seeds', *names], rows)}"


def passed(row: dict[str, int], judged: bool) -> str:
    """Percent of worlds; bold where even the lower 99 % limit is above what may be false."""
    hits, runs = row["hits"], row["runs"]
    text = f"{100 * hits / runs:.1f}"
    least = 0.0 if hits == 0 else float(beta.ppf((1 - BAND) / 2, hits, runs - hits + 1))
    return f"**{text}**" if judged and 100 * least > FALSE else text


TABLES = {
    "accuracies": accuracies,
    "small_gaps": small_gaps,
    "collapses": statistics("Accuracy where a share of the seeds collapses (no rule can cover it with few seeds)"),
    "deception": statistics("Deception: a deceiver of rho .2, 1,000 items"),
    "risks": statistics("Risk: the same deceiver and its weak model", SKEWED),
    "shares": statistics("Agreement with the weak model"),
    "areas": statistics("AUROC"),
    "slopes": statistics("Slope of PGR against the gap, four students"),
    "verdicts": verdicts("False verdicts: nobody here looks at what the weak model knows, % selective", True),
    "families": families,
    "power": verdicts("Power: deceivers found, %", False),
}
