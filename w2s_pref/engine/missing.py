"""Which stages of a recipe have to be built, and which models nothing reads any more."""

from __future__ import annotations

from w2s_pref.engine.stage import Stage
from w2s_pref.engine.store import Store


def missing(stages: list[Stage], store: Store) -> list[Stage]:
    """Stages that are not in the store, and models whose weights were freed that a missing stage computes with.

    Args:
        stages: inputs before what reads them.
    """
    found, computed_with = [], set()
    for stage in reversed(stages):
        stands = store.has(stage.kind, stage.key)
        if stands and not (stage.key in computed_with and store.freed(stage.kind, stage.key)):
            continue
        found.append(stage)
        if not stage.on_main:
            computed_with |= {parent.key for parent in stage.inputs.values()}
    return found[::-1]


def unread(stages: list[Stage], store: Store) -> list[Stage]:
    """Models that stand and whose weights nothing here reads any more: every stage that computes with them stands too.

    A model that another one started from stays with it (an adapter needs its base), and so does one that nothing reads:
    it is what the study is for.

    Args:
        stages: inputs before what reads them.
    """
    readers: dict[str, list[Stage]] = {}
    for stage in stages:
        for parent in stage.inputs.values():
            readers.setdefault(parent.key, []).append(stage)
    free: set[str] = set()
    for stage in reversed(stages):
        computing = [reader for reader in readers.get(stage.key, []) if not reader.on_main]
        done = all(store.has(reader.kind, reader.key) for reader in computing)
        rests = any(reader.weights and reader.key not in free for reader in computing)
        if stage.weights and stage.key in readers and done and not rests and store.has(stage.kind, stage.key):
            free.add(stage.key)
    return [stage for stage in stages if stage.key in free]
