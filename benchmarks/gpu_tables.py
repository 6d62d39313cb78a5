"""What ``gpu.py`` found, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: What is asked of the training part: best stock TRL over ours, and model FLOPs utilisation.
GOALS = "goals: 3 times the best stock TRL, 40 % of the peak"

#: Variants of the profile whose kernels are listed.
TOPS = ("packed", "shared rows", "packed compiled fused")


def tables(found: dict[str, Any]) -> str:
    """All parts, in the order in which they ran; what failed with the end of what it printed."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    verdicts: dict[str, dict[str, str]] = {}
    for name, call in found["calls"].items():
        status = "ended at its limit" if call["status"] is None else f"status {call['status']}"
        yield f"\n### {name}: {status}, {call.get('seconds', 0):.0f} s\n"
        results = call.get("results") or {}
        if name.startswith("tests"):
            yield from _tests(results)
        elif name == "profile":
            yield from _profile(results)
        elif name == "rows":
            yield from _rows(results)
        elif name == "studies":
            yield from _studies(results)
        elif name.startswith("quickstart"):
            verdicts[name] = results
            yield f"{len(results)} verdicts"
        else:
            yield from _training(results)
        if call["status"] != 0:
            yield "```\n" + call["printed"][-1500:] + "\n```"
    if len(verdicts) == 2:
        one, other = verdicts.values()
        different = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
        yield f"\nVerdicts on the GPU and on the CPU: {len(one)} and {len(other)}, different: {different or 'none'}"


def _training(results: dict[str, Any]) -> Iterator[str]:
    if results:
        yield f"{results['machine']}; peak {results['options']['peak']} TFLOP/s; {GOALS}\n"
    for part in ("reward", "dpo"):
        measured = results.get(part)
        if not measured:
            continue
        if "table" in measured:
            yield from _table(measured["table"])
            yield f"\n{measured['model']}: {measured['described']}"
        else:
            for name, taken in measured["seconds"].items():
                yield f"- {name}: {taken} s a step"
        yield f"\nlosses differ by {measured['apart']:.1e} at most\n"
        losses = measured["losses"]
        yield from _table([["losses", "of the first steps"], *([n, " ".join(f"{x:.4f}" for x in v[:6])]
                                                               for n, v in losses.items())])  # fmt: skip
        for problem in measured["problems"]:
            yield f"\n**{problem[-1200:]}**"


def _profile(results: dict[str, Any]) -> Iterator[str]:
    variants = {name: each for name, each in results.get("variants", {}).items() if "step_s" in each}
    if not variants:
        return
    yield f"{results['machine']}; peak {results['peak']} TFLOP/s\n"
    kinds = list(dict.fromkeys(kind for each in variants.values() for kind in each["by_kind"]))
    head = ["reward step", "layout", "mean, s", "median, s", "MFU", "GiB", "positions", "profiled, ms", *kinds]
    lines = [head]
    for name, each in variants.items():
        step = [f"{each['step_s']:.3f}", f"{each['median_s']:.3f}", f"{each['mfu']:.1%}", f"{each['gib']:.1f}"]
        spent = [f"{each['by_kind'].get(kind, 0.0) / each['wall_ms']:.1%}" for kind in kinds]
        whole = [f"{each['positions']:.0f}", f"{each['wall_ms']:.0f}"]
        lines.append([name, each.get("layout", ""), *step, *whole, *spent])
    yield from _table(lines)
    losses = [[name, " ".join(f"{loss:.4f}" for loss in each["losses"])] for name, each in variants.items()]
    yield ""
    yield from _table([["losses", "of all steps"], *losses])
    for name in [each for each in TOPS if each in variants]:
        top = [[kernel, kind, str(calls), f"{spent:.1f}"] for kernel, kind, calls, spent in variants[name]["top"]]
        yield ""
        yield from _table([[f"kernel ({name})", "kind", "calls", "ms"], *top])
    for name, each in results["variants"].items():
        if "error" in each:
            yield f"\n- {name}: {each['error'][-600:]}"


def _tests(results: dict[str, Any]) -> Iterator[str]:
    lines = [["test", "outcome", "s", "measured"]]
    for name, entry in results.items():
        measured = ", ".join(f"{key} {value:.1e}" for key, value in entry.get("measured", {}).items())
        said = entry["said"][-90:] if entry["outcome"] == "skipped" else measured
        lines.append([name, entry["outcome"], f"{entry['seconds']:.1f}", said])
    yield from _table(lines)
    for name, entry in results.items():
        if entry["outcome"] not in ("passed", "skipped"):
            yield f"\n{name}:\n```\n{entry['said'][-900:]}\n```"


def _rows(results: dict[str, Any]) -> Iterator[str]:
    lines = [["exact", "form", "heads", "bound", "gradients", "bound", "within"]]
    speeds = [["forward and backward", "ms", "first call, s", "GiB"]]
    others = []
    for name, measured in results.items():
        if "errors" in measured:
            for form, (heads, gradients) in measured["errors"].items():
                bounds = [f"{each:.1e}" for each in measured["bounds"]]
                within = "yes" if measured["within"][form] else "NO"
                lines.append([name, form, f"{heads:.1e}", bounds[0], f"{gradients:.1e}", bounds[1], within])
            others += [f"- {name}, {form}: {said[-500:]}" for form, said in measured["failed"].items()]
        elif "ms" in measured:
            speeds.append([name, f"{measured['ms']:.1f}", f"{measured['first_s']:.1f}", f"{measured['gib']:.2f}"])
        else:
            others.append(f"- {name}: {measured.get('error', measured)!s}"[:1500])
    yield from _table(lines)
    yield ""
    yield from _table(speeds)
    yield from ["", *others]


def _studies(results: dict[str, Any]) -> Iterator[str]:
    lines = [["study", "ended after, s", "failed", "command"]]
    lines += [[name, str(each["finished_s"]), str(each["failed"]), each["command"]] for name, each in results.items()]
    yield from _table(lines)


def _table(lines: list[list[str]]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield "| " + " | ".join(str(cell) for cell in line) + " |"
        if number == 0:
            yield "|---" * len(line) + "|"


def verdicts_of(results: Any, place: str = "") -> dict[str, str]:
    """Every verdict code of a study's results.json, by where it stands."""
    found: dict[str, str] = {}
    if isinstance(results, dict):
        if results.get("verdict_code"):
            found[place] = str(results["verdict_code"])
        for name, value in results.items():
            found |= verdicts_of(value, f"{place}/{name}")
    elif isinstance(results, list):
        for number, value in enumerate(results):
            found |= verdicts_of(value, f"{place}/{number}")
    return found
