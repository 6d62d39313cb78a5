"""What a causal model writes when it is asked, as it is: one answer to each request; requests that it cannot read."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from w2s_pref.engine.stage import Builder
from w2s_pref.stages.model_stage import StartStage

#: What makes requests about arguments long.
SPOKEN = "max_new_tokens or turns of the supervisor"


def asked(
    builder: Builder, model: StartStage, requests: list[str], settings: dict[str, Any], seed: int
) -> pd.DataFrame:
    """One answer to each request, which is the message of a user.

    Args:
        settings: those of ``SampleSettings`` but ``samples``.

    Returns:
        Columns of ``sample`` in the order of the requests, the words of ``text`` with single spaces between them;
        ``attrs["truncated"]`` counts the requests that lost their start.
    """
    from w2s_pref.models.generation import SampleSettings, sample

    world, loaded = builder.world, model.recalled(builder)
    chats = [json.dumps([{"role": "user", "content": text}], ensure_ascii=False) for text in requests]
    prompts = pd.DataFrame({"form": "chat", "prompt": chats})
    own = sample(*loaded, prompts, SampleSettings(samples=1, **settings), seed, None, (world.rank, world.size))
    table = pd.concat(world.gather(own)).sort_values("row", ignore_index=True)
    table["text"] = [" ".join(text.split()) for text in table["text"]]
    table.attrs["truncated"] = own.attrs["truncated"]
    return table


def room_of(start: StartStage, answer: int) -> int | None:
    """Tokens that a model reads at most before an answer of so many; None where its configuration names no number."""
    return None if start.model.context is None else start.model.context - answer


def too_long(name: str, long: int, of: int, room: int | None, lower: str = SPOKEN) -> str | None:
    """The sentence that refuses requests of which most are longer than ``room``; None where most are read whole.

    Args:
        lower: keys of the recipe that make them long.
    """
    if room is None or 2 * long <= of:
        return None
    return (
        f"{name}: {long:,} of {of:,} questions are longer than the context of {room} tokens of the model that is "
        f"asked; lower {lower}, or name a model that reads more"
    )
