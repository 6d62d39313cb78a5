"""Model cards: front matter that parses, a warning that cannot be missed, no live foreign text."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from w2s_pref.core.errors import W2SError
from w2s_pref.report.cards import escape, fenced, model_card
from w2s_pref.report.students import model_source

from .fixture import HOSTILE, LONG, build


def parts(card: str) -> tuple[dict[str, Any], str]:
    _, head, body = card.split("---\n", 2)
    return yaml.safe_load(head), body


def test_front_matter_parses_and_speaks_of_this_seed() -> None:
    results = build()
    head, body = parts(model_card(results, "direct", "explicit", 1))
    assert "not-for-deployment" in head["tags"]
    value = head["model-index"][0]["results"][0]["metrics"][0]["value"]
    assert value == results.arms[0].settings[1].performance.accuracy.seeds[1]
    assert "Do not deploy" in body


def test_a_base_model_is_one_of_a_hub_and_paths_stand_whole() -> None:
    """A hub refuses a card whose base model is a folder."""
    results = build()
    last = results.models[results.arms[0].chain[-1]]
    last.path, last.revision = f"/models/{LONG}", None
    head, body = parts(model_card(results, "direct", "none", 0))
    assert "base_model" not in head
    assert f"/models/{LONG} |" in body
    last.path, last.revision = "Qwen/Qwen2.5-0.5B", "060db64"
    assert parts(model_card(results, "direct", "none", 0))[0]["base_model"] == "Qwen/Qwen2.5-0.5B"


def test_metrics_stand_with_intervals_nulls_with_words() -> None:
    _, body = parts(model_card(build(), "bootstrapped", "implicit", 0))
    assert "| Performance gap recovered | undefined | undefined: gap within noise | no interval |" in body
    assert "[0.760, 0.804]" in body
    assert not re.search(r"\b(None|nan|inf)\b", body)


def test_every_student_has_a_card() -> None:
    results = build()
    for arm in results.arms:
        for setting in arm.settings:
            for seed in results.seeds:
                head, body = parts(model_card(results, arm.name, setting.conflict, seed))
                assert head["model-index"][0]["name"] == setting.model
                assert "## Provenance" in body
                assert "c" * 64 in body


def test_supervisors_of_a_pool_are_named_one_by_one() -> None:
    results = build()
    weak, strong = results.arms[0].chain
    results.arms[0].chain = [f"mean({weak}@sft, {strong})", strong]
    _, body = parts(model_card(results, "direct", "none", 0))
    rows = [line for line in body.splitlines() if line.startswith((f"| {weak}@sft |", f"| {strong} |"))]
    assert len(rows) == 3
    assert "not recorded" not in body


def test_hostile_text_is_escaped() -> None:
    _, body = parts(model_card(build(), "direct", "none", 0))
    assert HOSTILE not in body
    assert "<img" not in body
    assert "https://" not in body
    assert "&lt;script&gt;" in body
    assert escape("a|b [c](d) `e`\n# f") == r"a\|b \[c\](d) \`e\` \# f"


def test_a_code_block_cannot_be_closed_from_inside() -> None:
    assert fenced(["````", "text"]).startswith("`````json\n````\n")


def test_unknown_student_or_seed_is_refused() -> None:
    with pytest.raises(W2SError, match="there are: direct/none"):
        model_card(build(), "direct", "absent", 0)
    with pytest.raises(W2SError, match="no seed 7"):
        model_card(build(), "direct", "none", 7)


def test_a_model_that_was_dequantised_is_said_to_be_one() -> None:
    results = build()
    assert model_source(results.models["tiny"]) == "testbed/tiny"
    results.models["tiny"].precision = "GGUF Q4_1"
    assert model_source(results.models["tiny"]) == "testbed/tiny (GGUF Q4_1, dequantised)"
    assert "testbed/tiny (GGUF Q4\\_1, dequantised)" in model_card(results, "direct", "explicit", 0)


def test_a_method_of_the_recipes_own_is_what_its_algorithm_says() -> None:
    given = build()
    recipe = {**given.recipe, "methods": {"filtered": {"algorithm": "reward"}, "strong_dpo": {"algorithm": "dpo"}}}
    results = given.model_copy(update={"recipe": recipe})
    policies = {name: results.makes_policies(name) for name in ("reward", "filtered", "dpo", "strong_dpo", "sft")}
    assert policies == {"reward": False, "filtered": False, "dpo": True, "strong_dpo": True, "sft": True}
