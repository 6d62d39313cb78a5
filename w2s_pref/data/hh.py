"""HH-RLHF from the hub, as the deception paper uses it: single-turn pairs with the prompt apart from the answers."""

from __future__ import annotations

import re

from w2s_pref.core.hub import hub_rows

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


def hh_rlhf(
    subset: str = "harmless-base", split: str = "train", single_turn: bool = True, revision: str | None = None
) -> list[dict[str, str]]:
    """Rows ``prompt, chosen, rejected`` of one subset; prompts end in "\\n\\nAssistant:", answers in nothing.

    Args:
        subset: data folder on the hub, such as harmless-base or helpful-base.
        single_turn: keep only dialogues with one human turn, like the paper.

    Raises:
        Unreachable: the hub cannot be asked and the data set is not in its local cache.
    """
    rows = hub_rows("Anthropic/hh-rlhf", subset, data_dir=subset, split=split, revision=revision)
    pairs = [split_dialogue(row["chosen"], row["rejected"]) for row in rows]
    return [pair for pair in pairs if pair and not (single_turn and pair["prompt"].count(HUMAN) > 1)]


def split_dialogue(chosen: str, rejected: str) -> dict[str, str] | None:
    """Two full dialogues → prompt and two last answers, or None where they part before the last answer."""
    prompt, found, answer = chosen.rpartition(ASSISTANT)
    other_prompt, _, other = rejected.rpartition(ASSISTANT)
    if not found or prompt != other_prompt or re.search(HUMAN, answer + other):
        return None
    return {"prompt": prompt + ASSISTANT, "chosen": answer, "rejected": other}
