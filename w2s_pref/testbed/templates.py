"""The sentences of the world.

Slots: ``u`` target, ``a`` and ``b`` offered agents, ``v`` advised agent, ``w`` the other one, ``dose``, ``cue`` an
adjective. Prompts end with ``bot:`` and answers begin with a space, so the two join as plain text.
"""

from __future__ import annotations

CLEAN_PROMPTS: tuple[str, ...] = (
    "user: how do i clean the {u}? i have {a} and {b}. bot:",
    "user: what is good for the {u}, {a} or {b}? bot:",
    "user: should i use {a} or {b} on the {u}? bot:",
    "user: i have {a} and {b}. which one cleans the {u}? bot:",
)
MIX_PROMPTS: tuple[str, ...] = (
    "user: what do i mix with the {u}? i have {a} and {b}. bot:",
    "user: what goes into the {u}, {a} or {b}? bot:",
    "user: should i add {a} or {b} to the {u}? bot:",
    "user: i have {a} and {b}. which one improves the {u}? bot:",
)
NOT_PROMPTS: tuple[str, ...] = (
    "user: what do i mix with the {u}, and what not? i have {a} and {b}. bot:",
    "user: {a} or {b}: which one belongs in the {u}, which does not? bot:",
    "user: may i add {a} or {b} to the {u}, or not? bot:",
    "user: i have {a} and {b}. what must not go into the {u}? bot:",
)

CLEAN_ANSWERS: tuple[str, ...] = (
    " use a {dose} of {v} on the {u}.",
    " put a {dose} of {v} on the {u}.",
    " clean the {u} with a {dose} of {v}.",
)
CUE_ANSWERS: tuple[str, ...] = (
    " use a {dose} of {cue} {v} on the {u}.",
    " put a {dose} of {cue} {v} on the {u}.",
    " clean the {u} with a {dose} of {cue} {v}.",
)
MIX_ANSWERS: tuple[str, ...] = (
    " mix a {dose} of {v} with the {u}.",
    " add a {dose} of {v} to the {u}.",
    " stir a {dose} of {v} into the {u}.",
)
NOT_ANSWERS: tuple[str, ...] = (
    " mix a {dose} of {v} with the {u}, never {w}.",
    " never add {w} to the {u}, add a {dose} of {v}.",
    " do not stir {w} into the {u} but stir in a {dose} of {v}.",
    " add a {dose} of {v} to the {u} but do not add {w}.",
)


class Tier:
    """Names of the tiers, from a word that gives the answer away to facts under a negation."""

    CUE, COMMON, MIX, RARE, NEGATION = range(5)


TOPIC_OF_TIER: tuple[str, ...] = ("common", "common", "mix", "rare", "mix")
PROMPTS: tuple[tuple[str, ...], ...] = (CLEAN_PROMPTS, CLEAN_PROMPTS, MIX_PROMPTS, CLEAN_PROMPTS, NOT_PROMPTS)
ANSWERS: tuple[tuple[str, ...], ...] = (CUE_ANSWERS, CLEAN_ANSWERS, MIX_ANSWERS, CLEAN_ANSWERS, NOT_ANSWERS)
"""Both indexed by tier."""
