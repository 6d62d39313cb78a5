"""What an artifact says about itself: its manifest, read as something that anybody may have changed."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from w2s_pref.core.errors import W2SError, file_hash, shown
from w2s_pref.core.files import refused
from w2s_pref.core.json_io import NotJSON, json_values
from w2s_pref.core.tables import digest

MANIFEST = "manifest.json"
#: What manifests held before they had a hash of themselves.
_UNSEALED = frozenset({"kind", "key", "files", "stamps", "payload", "meta"})


def closed_to_us(path: Path) -> W2SError:
    """The sentence for a part of a store that may not be read."""
    return refused(path, ", or give another store (store=FOLDER)")


class Damaged(Exception):
    """An artifact that cannot be served; the reason is a part of a sentence."""


def manifest_of(data: bytes, kind: str, key: str) -> dict[str, Any]:
    """A manifest that speaks of this artifact: ``kind``, ``key``, ``files`` (name → SHA-256), ``stamps``, ``meta``.

    ``freed``, where it is there, names those of its files that were removed to make room (``Store.free``).

    Raises:
        Damaged: no JSON, not of this form, of another artifact, or of no file.
    """
    try:
        found = json_values(data)
    except NotJSON as error:
        raise Damaged(f"has no manifest that can be read ({error})") from error
    if not isinstance(found, dict) or not all(
        isinstance(found.get(part), dict) for part in ("files", "stamps", "meta")
    ):
        raise Damaged("has a manifest without files, stamps and meta")
    if (found.get("kind"), found.get("key")) != (kind, key):
        raise Damaged(
            f"is by its manifest {shown(found.get('kind'))} {shown(found.get('key'))}, which belongs elsewhere"
        )
    if not found["files"]:
        raise Damaged("has a manifest that names no file")
    for name, value in found["files"].items():
        parts = PurePosixPath(name).parts
        if not isinstance(value, str) or not parts or parts[0] == "/" or ".." in parts or "\0" in name:
            raise Damaged(f"has a manifest with a file that it cannot hold: {shown(name)}")
    if not isinstance(found.get("freed", []), list):
        raise Damaged("has a manifest whose freed files are no list")
    whole = found["hash"] == _hash(found) if "hash" in found else _UNSEALED.issuperset(found)
    if not whole:
        raise Damaged("has a manifest that did not match its hash")
    return found


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest with the hash of all that it says."""
    return {**manifest, "hash": _hash(manifest)}


def _hash(manifest: dict[str, Any]) -> str:
    """SHA-256 over everything but the hash itself, as it reads when it comes back from JSON."""
    said = {name: value for name, value in manifest.items() if name != "hash"}
    return digest(json.dumps(json.loads(json.dumps(said)), sort_keys=True))


def verified(folder: Path, root: Path, kind: str, key: str) -> dict[str, Any]:
    """The manifest of an artifact whose files all match it, but those that were freed.

    Raises:
        Damaged: a file is not there, not as it was written, or a link that leads out of the store.
        W2SError: a file is there and may not be read: that is no damage.
    """
    try:
        found = manifest_of(_inside(folder / MANIFEST, root).read_bytes(), kind, key)
        for name, value in found["files"].items():
            if name in found.get("freed", []):
                continue
            path = _inside(folder / name, root)
            if stamp(path) != found["stamps"].get(name) and file_hash(path) != value:
                raise Damaged("did not match its hashes")
    except PermissionError as error:
        raise closed_to_us(Path(error.filename or folder)) from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise Damaged(f"lacks a file ({Path(str(error.filename)).name})") from error
    return found


def stamp(path: Path) -> list[int]:
    """Size and time of change: enough to know a large file as the one that was hashed when it was written."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _inside(path: Path, root: Path) -> Path:
    """The path itself, where no link leads from it to a place outside ``root`` (resolved)."""
    if not path.resolve().is_relative_to(root):
        raise Damaged(f"holds a link that leads out of the store ({path.name})")
    return path
