"""Hashes of large files that stay as they are, such as a model's weights: computed once, remembered by their stamp."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from w2s_pref.core.errors import file_hash
from w2s_pref.core.files import replacing
from w2s_pref.core.paths import cache_root
from w2s_pref.core.tables import digest

#: Smaller files are read every time, which is no slower.
BYTES = 8 * 2**20
#: Seconds for which a file counts as new: a file system may give two writes of one moment the same time.
NEW = 10.0


def remembered_hash(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits; of a large one it is remembered in ``cache_root()/hashes`` until somebody
    touches the file: place, device, inode, size, and the times of the last change to content and to inode say so.

    A cache that cannot be read or written costs time only.
    """
    status = path.stat()
    if status.st_size < BYTES or time.time() - max(status.st_mtime, status.st_ctime) < NEW:
        return file_hash(path)
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    note = cache_root() / "hashes" / digest(str(path.resolve()), *map(str, numbers))
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if re.fullmatch("[0-9a-f]{64}", known := note.read_text(encoding="ascii")):
            return known
    found = file_hash(path)
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        with replacing(note) as temporary:
            temporary.write_text(found, encoding="ascii")
    return found
