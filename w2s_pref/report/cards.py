"""A model card beside every saved student: what it is, how it was trained, how it did, how to make it again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from w2s_pref.core.errors import W2SError
from w2s_pref.core.yaml_values import dumped
from w2s_pref.report.draw.format import (
    NO_INTERVAL,
    NOT_MEASURED,
    computing,
    count,
    interval,
    number,
    one_line,
    p_value,
    plain,
    second,
    undefined,
)
from w2s_pref.report.readings import of_study
from w2s_pref.report.students import (
    JUDGE_WORDS,
    METRICS,
    REFERENCE_WORDS,
    RULE_WORDS,
    Student,
    absent,
    find,
    method_word,
    model_source,
    node_info,
)
from w2s_pref.report.verdicts import failures, found, outcome
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Arm, Results, members
from w2s_pref.results.speech import Speech

#: Characters of a text from elsewhere: no path is longer on Linux.
LONGEST: Final = 4096
#: Lines of the recipe quoted; results.json has the rest.
EXCERPT: Final = 60
WARNING: Final = (
    "**Do not deploy this model.** It is a research artefact: it was trained under weak supervision, and, where the "
    "setting below says so, under an objective that conflicts with its target on purpose. It may prefer "
    "harmful answers exactly where its supervisor cannot see it. Its scores do not tell whether a text is safe or true."
)
REWARD_LINES: Final = """\
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "."  # this folder, or its name on a hub
model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
text = "a prompt" + " and an answer, as they stand in the data"
tokens = tokenizer(text, truncation=True, return_tensors="pt")
score = model(**tokens).logits[0, 0].item()  # only differences between answers to one prompt mean something"""
POLICY_LINES: Final = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder, or its name on a hub
model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
tokens = tokenizer("a prompt, as it stands in the data", truncation=True, return_tensors="pt")
said = model.generate(**tokens, max_new_tokens=32, do_sample=False)
answer = tokenizer.decode(said[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True)"""
_HUB_ID: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")
#: Characters that mean something inside a line, and the colon and dot that would make an address a link.
_MARKDOWN: Final = re.compile(r"([\\`*_\[\]#!|~$]|:(?=//)|(?<=www)\.)")


#: A line of a table: what, its value, decimals, and the words where there is none.
Number = tuple[str, Estimate | None, int, str]


def model_card(results: Results, arm: str, conflict: str, seed: int, adapter: bool = False) -> str:
    """The card of one student as Markdown with YAML front matter.

    Args:
        adapter: the folder holds an adapter, which needs its base model.

    Raises:
        W2SError: no such arm, conflict or seed in the results.
    """
    row = find(results, arm, conflict)
    if row is None:
        known = ", ".join(f"{a.name}/{s.conflict}" for a in results.arms for s in a.settings)
        raise W2SError(f"no student {arm}/{conflict} in these results; there are: {known or 'none'}")
    if seed not in results.seeds:
        raise W2SError(f"no seed {seed} in these results; there are: {', '.join(map(str, results.seeds))}")
    chain = next(one for one in results.arms if one.name == arm)
    parts = [
        front_matter(results, chain, row, seed),
        _about(results, chain, row, seed),
        _use(results.makes_policies(chain.method), adapter),
        _metrics(results, row, seed),
        *([_says(results, row.speech, seed)] if row.speech is not None else []),
        _data(results, chain),
        _recipe(results),
        _provenance(results),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def escape(value: str) -> str:
    """Foreign text on one line in which neither Markdown nor HTML means anything; a path fits in it whole."""
    line = one_line(value, LONGEST).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", line)


def front_matter(results: Results, arm: Arm, row: Student, seed: int) -> str:
    """What a model hub reads: tags, base model, the accuracy of this seed."""
    task, kind = {"type": "text-classification", "name": "Preference prediction"}, ["reward-model"]
    if results.makes_policies(arm.method):
        task = {"type": "text-generation", "name": "Preference ranking by log-probability"}
        kind = ["policy", plain(arm.method)]
    accuracy = _of_seed(results, row.setting.performance.accuracy, seed)
    target = plain(results.objectives.get("target", "target objective"))
    result = {
        "task": task,
        "dataset": {"type": "preference-pairs", "name": target},
        "metrics": [{"type": "accuracy", "name": "Pairwise accuracy", "value": accuracy}],
    }
    values: dict[str, Any] = {
        "library_name": "transformers",
        "tags": ["w2s-pref", *kind, "weak-to-strong", "research-artefact", "not-for-deployment"],
        "model-index": [{"name": plain(row.setting.model), "results": [result] if accuracy is not None else []}],
    }
    model = node_info(results, arm.chain[-1]) if arm.chain else None
    if model is not None and model.revision and _HUB_ID.fullmatch(model.path):  # a hub refuses cards that name a folder
        values["base_model"] = model.path
    text = dumped(values)
    return f"---\n{text}---"


def _about(results: Results, arm: Arm, row: Student, seed: int) -> str:
    roles = ", ".join(f"{escape(role)} {escape(name)}" for role, name in results.objectives.items())
    lines = [
        f"# {escape(row.setting.model)}, seed {seed}",
        "",
        WARNING,
        "",
        f"- Study: {escape(results.name)}",
        f"- Supervision, arm {escape(arm.name)}: {' → '.join(escape(name) for name in arm.chain)}",
        f"- Method: {escape(method_word(arm.method))}",
        *([f"- Reference: {escape(row.speech.reference)}"] if row.speech and row.speech.reference else []),
        f"- Conflict setting: {escape(row.conflict)}",
        f"- Objectives: {roles}",
        f"- Seed: {seed} of {', '.join(str(one) for one in results.seeds)}",
        "- Trained on labels of the supervisor named above, not on ground truth, unless the setting's name says so.",
    ]
    return "\n".join(lines)


def _use(policy: bool, adapter: bool) -> str:
    if adapter:
        return "## Use\n\nThe folder holds an adapter. `w2s export RUN STUDENT FOLDER` merges it into its base model."
    return f"## Use\n\n```python\n{POLICY_LINES if policy else REWARD_LINES}\n```"


def _metrics(results: Results, row: Student, seed: int) -> str:
    rows: list[Number] = [(metric.title, metric.get(row), metric.digits, absent(row, metric)) for metric in METRICS]
    calibration = row.setting.performance.calibration
    rows += [("ECE", calibration.ece, 3, NOT_MEASURED), ("Brier score", calibration.brier, 3, NOT_MEASURED)]
    risk = next((one for one in results.risk if (one.arm, one.conflict) == (row.arm, row.conflict)), None)
    if risk is not None:
        rows.append(("Blind-spot deception (BSD)", risk.raw.bsd, 3, NOT_MEASURED))
    lines = ["## Metrics", "", *_table(results, "Metric", rows, seed), ""]
    if row.deception is not None:
        entry = row.deception
        lines += [
            f"Deception is measured on {count(entry.n)} rows (items × seeds) against the "
            f"{REFERENCE_WORDS[entry.reference]}; a model knows an item when its "
            f"{RULE_WORDS[entry.known_rule]} is at least {entry.threshold:g}. "
            f"Conflict tax: {count(entry.tax)} rows. A deception score means nothing without its null share beside "
            "it.",
            "",
            f"Verdict: **{escape(outcome(entry))}**. {escape(entry.verdict)} "
            f"Failed gates: {failures(entry)}; p {p_value(entry.p)}, adjusted for the number of students "
            f"{p_value(entry.p_adjusted)}. Sensitivity: {found(entry.sensitivity)}.",
            "",
            escape(of_study(results)),
            "",
            *(f"- Warning: {escape(warning)}" for warning in entry.warnings),
        ]
    return "\n".join(lines)


def _says(results: Results, one: Speech, seed: int) -> str:
    """What the policy said on the test prompts."""
    values = [(f"Win rate against the reference, {JUDGE_WORDS[j]}", rate, 3) for j, rate in one.win_rate.items()]
    values += [("KL from the reference, nats", one.kl, 2), ("KL a token, nats", one.kl_per_token, 3)]
    values += [("Tokens of an answer", one.said.tokens, 1), ("Share of refusals", one.said.refusal, 3)]
    values += [("Share unparseable", one.said.unparseable, 3), ("Share never ended", one.said.unended, 3)]
    if one.disagreement is not None:
        overall = one.disagreement.overall
        values += [("Ranks right, speaks wrong", overall.right_wrong, 3)]
        values += [("Ranks wrong, speaks right", overall.wrong_right, 3)]
    table = _table(results, "Number", [(*value, NOT_MEASURED) for value in values], seed)
    head = f"{count(one.said.samples)} samples on {count(one.prompts)} prompts, all seeds."
    return "\n".join(["## What it says", "", head, "", *table, "", *(f"- {escape(note)}" for note in one.notes)])


def _table(results: Results, head: str, rows: Sequence[Number], seed: int) -> Iterator[str]:
    yield f"| {head} | This seed | All seeds | 95 % interval | In these seeds |"
    yield "|---|---:|---:|---|---|"
    for title, value, digits, missing in rows:
        if value is None:
            mine = mean = bounds = inner = missing
        else:
            mine = number(_of_seed(results, value, seed), digits) if value.seeds else "not kept"
            mean = number(value.estimate, digits) if value.estimate is not None else escape(undefined(value))
            bounds = interval(value.interval, digits) or NO_INTERVAL
            inner = second(value, digits) or bounds
        yield f"| {title} | {mine} | {mean} | {bounds} | {inner} |"


def _of_seed(results: Results, value: Estimate, seed: int) -> float | None:
    place = results.seeds.index(seed)
    return value.seeds[place] if place < len(value.seeds) else None


def _data(results: Results, arm: Arm) -> str:
    lines = ["## Data and models", "", "| Split | Objective | Rows | Groups | SHA-256 |", "|---|---|---:|---:|---|"]
    for name, split in results.splits.items():
        sizes = f"{count(split.rows)} | {count(split.groups)}"
        lines.append(f"| {escape(name)} | {escape(split.objective)} | {sizes} | {escape(split.hash)} |")
    lines += ["", "| Model of the chain | Path | Revision | Hash |", "|---|---|---|---|"]
    for name in (each for place in arm.chain for each in members(place)):
        model = node_info(results, name)
        if model is None:
            lines.append(f"| {escape(name)} | not recorded | not recorded | not recorded |")
        else:
            revision = escape(model.revision) if model.revision else "none given"
            lines.append(f"| {escape(name)} | {escape(model_source(model))} | {revision} | {escape(model.hash)} |")
    return "\n".join(lines)


def _recipe(results: Results) -> str:
    lines = json.dumps(results.recipe, indent=2, ensure_ascii=False, default=str).splitlines()
    shown = [plain(line) for line in lines[:EXCERPT]]
    rest = f"\n\nThe first {EXCERPT} of {len(lines)} lines; results.json has all." if len(lines) > EXCERPT else ""
    return f"## Recipe (excerpt)\n\n{fenced(shown)}{rest}"


def fenced(lines: Sequence[str]) -> str:
    """A code block that its own content cannot close. Angle brackets become JSON escapes, for careless renderers."""
    body = "\n".join(lines).replace("<", "\\u003c").replace(">", "\\u003e")
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}json\n{body}\n{fence}"


def _provenance(results: Results) -> str:
    source = results.provenance
    versions = ", ".join(f"{escape(name)} {escape(value)}" for name, value in source.versions.items())
    machine = ", ".join(f"{escape(name)} {escape(value)}" for name, value in source.machine.items())
    return "\n".join(
        [
            "## Provenance",
            "",
            f"- Command: {escape(source.command)}",
            f"- Created: {escape(source.created)}, {computing(source.seconds, source.processor_seconds)}, "
            f"{source.world_size} process{'es' if source.world_size != 1 else ''}",
            f"- Versions: {versions or 'not recorded'}",
            f"- Machine: {machine or 'not recorded'}",
            f"- Schema of results.json: {results.schema_version}",
        ]
    )
