"""What takes room in the store and nothing reads any more: the weights of models that have been scored."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.manifest import MANIFEST
from w2s_pref.engine.missing import unread
from w2s_pref.engine.store import NO_KINDS, WEIGHTS, Store
from w2s_pref.models.adapters import CONFIG, layers_of
from w2s_pref.planning.cost.table import scaled
from w2s_pref.studies.kind import AnyOpened


def prune(opened: AnyOpened, really: bool) -> list[str]:
    """Free the weights that nothing of this recipe reads any more, or say only what that would free.

    Tables and all that stages say of themselves stay, and with them every result. A stage that is added later and
    computes with such a model trains it anew.

    Returns:
        What was freed, as sentences.

    Raises:
        W2SError: the store is at a URL, or may not be written.
    """
    store = opened.store
    models = {store.place(stage.kind, stage.key).resolve(): stage for stage in unread(opened.stages, store)}
    bases = _bases(store, models)
    own, shared, number = 0, 0, 0
    for place, stage in models.items():
        files = [] if place in bases else store.weights(stage.kind, stage.key)
        sizes = [(file.stat().st_size, file.stat().st_nlink) for file in files]
        if sizes and (not really or store.free(stage.kind, stage.key)):
            number += 1
            own += sum(size for size, links in sizes if links == 1)
            shared += sum(size for size, links in sizes if links > 1)
    foreign = _foreign(opened)
    if not number:
        return [f"{opened.recipe.name}: no weights in {store} that nothing reads any more", *foreign]
    models_of = f"{number:,} model{'s' * (number != 1)} of {opened.recipe.name} that nothing reads any more"
    what = "freed" if really else "would free"
    lines = [f"{what} the weights of {models_of}: {scaled(own, 'B') or '0 B'}"]
    if shared:
        where = opened.folder / "students"
        lines.append(
            f"{scaled(shared, 'B')} more are students, whose weights run folders hold too; they take their room until "
            f"those folders are removed, such as {where}"
        )
    return [*lines, *foreign] if really else [*lines, *foreign, "nothing was removed; --yes removes those weights"]


def _foreign(opened: AnyOpened) -> list[str]:
    """What stands in the store and is of no stage of this recipe, as a sentence: nobody can say who still wants it."""
    own = {stage.key for stage in opened.stages}
    places = [path.parent for path in opened.store.root.glob(f"*/*/{MANIFEST}") if path.parent.name not in own]
    places = [place for place in places if place.parent.name not in NO_KINDS]
    size = sum(file.lstat().st_size for place in places for file in place.rglob("*") if file.is_file())
    count = f"{len(places):,} artifact{'s' * (len(places) != 1)} ({scaled(size, 'B')})"
    return [
        f"{count} in {opened.store} of no stage of {opened.recipe.name}: of other recipes, or "
        "left by another version of this package; any may be deleted while nothing runs"
    ][: len(places)]


def _bases(store: Store, freed: Collection[Path]) -> set[Path]:
    """Models of the store that adapters rest on which keep their weights, of whatever recipe they are."""
    found: set[Path] = set()
    for config in store.root.glob(f"*/*/{CONFIG}"):
        if config.parent.resolve() not in freed and any(config.parent.glob(f"*{WEIGHTS}")):
            with contextlib.suppress(W2SError):  # its base is gone already
                found |= {layer.resolve() for layer in layers_of(config.parent)[:-1]}
    return found
