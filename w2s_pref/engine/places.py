"""The store that a recipe names: a folder, or a URL."""

from __future__ import annotations

from pathlib import Path

from w2s_pref.engine.store import Store


def open_store(place: str) -> Store:
    """The store of a folder, or of a URL that fsspec knows (``s3://``, ``gs://``, …).

    Raises:
        W2SError: a URL whose file system is not installed or not known.
    """
    if "://" not in place:
        return Store(Path(place).expanduser())
    from w2s_pref.engine.remote import RemoteStore

    return RemoteStore(place)
