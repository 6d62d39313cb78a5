"""HH-RLHF as the hub has it: two whole dialogues a row. There is no hub here: the rows are given."""

from __future__ import annotations

from typing import Any

import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.data import hub_sets
from w2s_pref.data.sources import Loaded, Source, load

ASKED = "\n\nHuman: how?\n\nAssistant:"
ROWS = [
    {"chosen": f"{ASKED} so", "rejected": f"{ASKED} no"},
    {
        "chosen": f"{ASKED} so\n\nHuman: and?\n\nAssistant: thus",
        "rejected": f"{ASKED} so\n\nHuman: and?\n\nAssistant: not",
    },
    {"chosen": f"{ASKED} so", "rejected": "\n\nHuman: why?\n\nAssistant: no"},  # another question
    {"chosen": f"{ASKED} yes", "rejected": f"{ASKED} no\n\nHuman: and?"},  # ends with the user
]


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_sets, "hub_rows", lambda *asked, **where: ROWS)


def loaded(drop: bool = True, **options: Any) -> Loaded:
    return load(Source(source="hh-rlhf", objective="harmless", options=options, on_bad_row="drop" if drop else "error"))


def test_dialogues_that_part_are_counted() -> None:
    found = loaded()
    assert found.frame[["prompt", "a", "b", "truth"]].values.tolist() in (
        [[ASKED, " so", " no", 1]],
        [[ASKED, " no", " so", 0]],
    )
    assert found.counts == {"read": 3, "dropped.other_questions": 2, "rows": 1}
    assert len(loaded(single_turn=False).frame) == 2


def test_or_refused_by_a_sentence() -> None:
    with pytest.raises(W2SError, match=r"hh-rlhf, row 2: .*part before the last answer(?s:.*)share what came before"):
        loaded(drop=False)


@pytest.mark.parametrize(
    ("objective", "options", "folder"),
    [
        ("harmless", {}, "harmless-base"),
        ("helpful", {}, "helpful-base"),
        ("helpful", {"subset": None}, "helpful-base"),
        ("helpful", {"subset": "helpful-online"}, "helpful-online"),
        ("pleasant", {"subset": "harmless-base"}, "harmless-base"),
        ("pleasant", {"objective": "helpful"}, "helpful-base"),
    ],
)
def test_the_objective_says_which_pairs(
    objective: str, options: dict[str, Any], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(hub_sets, "hub_rows", lambda *names, **where: asked.append((names, where["data_dir"])) or ROWS)
    load(Source(source="hh-rlhf", objective=objective, options=options, on_bad_row="drop"))
    assert asked == [(("Anthropic/hh-rlhf", folder), folder)]


def test_another_objective_names_its_pairs() -> None:
    with pytest.raises(W2SError, match=r"hh-rlhf: no objective 'pleasant'; .*options: \{subset: helpful-base\}"):
        load(Source(source="hh-rlhf", objective="pleasant", on_bad_row="drop"))
