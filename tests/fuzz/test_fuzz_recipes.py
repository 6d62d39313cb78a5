"""Mutants of recipes: refused, without effect, or seen in the plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzz_helpers import counted, fuzzed, judged, raw, safe_yaml, summary, texts, trees, w2s, write_data
from hypothesis import given
from hypothesis import strategies as st

from w2s_pref.core.yaml_io import load_yaml
from w2s_pref.core.yaml_values import values_of
from w2s_pref.studies.kind import find, kind_of_recipe
from w2s_pref.studies.recipe import read_recipe
from w2s_pref.training.arguments import DEFAULTS, NOT_IN_KEY

__all__ = ["summary"]

BASES = {
    "preferences": """
name: fuzz
seeds: [0, 1]
data:
  target: {source: target.jsonl, objective: harmless}
  conflict: {source: conflict.jsonl, objective: helpful}
  splits: {gt: 12, w2s: 12, test: 12, conflict: 12, conflict_test: 8}
  max_length: 64
models:
  weak: {path: ladder/xs}
  strong: {path: ladder/s, training: {learning_rate: 1.0e-3}}
arms:
  direct: [weak, strong]
methods: {short: {algorithm: dpo, training: {num_train_epochs: 2}}}
students: [reward, short]
conflict: {settings: [none, explicit, implicit], alpha: 0.5}
labels: {form: soft}
loss: {name: aux_confidence, a_max: 0.4}
speech: {prompts: 4, max_new_tokens: 4}
training: {batch_size: 4, num_train_epochs: 1, save_steps: 50}
analysis: {resamples: 100, threshold: 0.75}
""",
    "generalization": """
name: lab
seeds: [0]
tasks: {harmless: {task: "w2s_pref.generalization.world:harmless"}}
sizes: {gt: 20, w2s: 20, validation: 10, test: 20}
max_length: 64
models: {xs: {path: ladder/xs}, s: {path: ladder/s}}
ladder: [xs, s]
methods: {naive: {algorithm: probe}, confidence: {algorithm: probe, loss: {name: aux_confidence}}}
studies: {truncated: {components: [2]}}
analysis: {resamples: 100}
""",
}
#: Keys that change no result, or only some that this recipe has not: what they say is not in its plan.
UNSEEN = re.compile(
    r"(output|store|processes|report)\b|monitor"
    # constants that another loss, filter, method or kind of study reads
    r"|.*\bloss\.(alpha|beta|radius|mode|prior|a_max|warmup|options)|labels\.|bootstrap\.|speech\.|conflict\.match_updates"
    # what only hub data sets, or rows that are not there, ask for
    r"|data\.(target|conflict)\.(on_bad_row|config|split|revision|columns|options)|data\.over"
    # what is named and not used, and how a batch is split
    r"|methods\.|models\.(?!weak|strong)|tasks\.\w+\.(overlap|path)|.*\.(" + "|".join(sorted(NOT_IN_KEY)) + r")$|ladder"
)


def dotted(schema: dict[str, Any], part: dict[str, Any], depth: int = 0) -> list[str]:
    """Dotted keys of a JSON schema."""
    options = [part, *part.get("anyOf", []), *part.get("allOf", []), *part.get("oneOf", [])]
    found = []
    for option in options:
        option = schema["$defs"][option["$ref"].rsplit("/", 1)[1]] if "$ref" in option else option
        for name, below in option.get("properties", {}).items() if depth < 4 else ():
            found += [name, *(f"{name}.{key}" for key in dotted(schema, below, depth + 1))]
    return found


NAMES = {kind: tuple(dotted(schema := find(kind, Path()).recipe.model_json_schema(), schema)) for kind in BASES}


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with data of the embedded world, as the working directory."""
    folder = tmp_path_factory.mktemp("fuzz")
    write_data(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def planned(folder: Path, text: bytes) -> dict[str, Any] | None:
    """What the plan of a recipe says, and the recipe as it was read; None where it is refused."""
    (folder / "r.yaml").write_bytes(text)
    (folder / "plan.json").unlink(missing_ok=True)
    done = w2s("plan", "r.yaml", "--json", "plan.json")
    if done.code != 0:
        assert done.err.startswith("error: "), done
        return None
    value = load_yaml(folder / "r.yaml")
    kind = kind_of_recipe(value, folder)
    value.pop("kind", None)
    recipe = read_recipe(kind.recipe, value, folder / "r.yaml")
    read = recipe.model_dump(mode="json")
    if chains := getattr(recipe, "chains", None):  # no arms, and the arms that these stand for, are one recipe
        read["arms"] = {arm: list(map(str, chain)) for arm, chain in chains().items()}
    read["training"] = {**DEFAULTS, **read.get("training", {})}  # what is left out is as if it was written
    return {"plan": json.loads((folder / "plan.json").read_text()), "said": done.out, "recipe": read}


def differ(one: Any, other: Any, where: str = "") -> list[str]:
    """Dotted keys where two recipes differ."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        alone = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in (one, other)]
        return [] if alone[0] == alone[1] else [where]
    return [
        place
        for key in {**one, **other}
        for place in differ(one.get(key), other.get(key), f"{where}.{key}".removeprefix("."))
    ]


@pytest.mark.parametrize("kind", BASES)
@fuzzed(12)
@given(draw=st.data())
def test_a_mutant_is_refused_or_without_effect_or_seen(plans: Path, kind: str, draw: st.DataObject) -> None:
    if not (plans / f"{kind}.base").exists():
        (plans / f"{kind}.base").write_text(json.dumps(planned(plans, BASES[kind].encode())))
    base = json.loads((plans / f"{kind}.base").read_text())
    tree = values_of(BASES[kind])
    mutant = draw.draw(texts(BASES[kind]) | trees(tree, NAMES[kind]).map(safe_yaml))
    with judged(f"recipes ({kind})", mutant):
        counted(f"recipes ({kind})", outcome(base, planned(plans, raw(mutant))))


def outcome(base: dict[str, Any], found: dict[str, Any] | None) -> str:
    """What became of a mutant; silence is a fault."""
    if found is None:
        return "refused"
    if found["plan"] != base["plan"] or found["said"] != base["said"]:
        return "seen"
    changed = [key for key in differ(base["recipe"], found["recipe"]) if not UNSEEN.match(key)]
    assert not changed, f"not seen in the plan: {changed}"
    return "without effect"
