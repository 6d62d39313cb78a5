"""What users see of a failure: a sentence on what is wrong, where, and how to mend it; disks and files among them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

#: Characters of a value of the user's, and of a whole sentence, that a message holds at most; and its sentences.
VALUE, SENTENCE, SENTENCES = 200, 2_000, 50


#: What stands before an ``@``: the password after a name, and in a web address what stands alone, which is a token.
_PASSWORD = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)\S*@|(\bhttps?://)[^\s/:@]+@")
#: Tokens of Hugging Face and GitHub, wherever they stand.
_TOKEN = re.compile(r"\b(hf_|gh[a-z]_|github_pat_)[A-Za-z0-9]{30,}\w*")
_SECRET = re.compile(
    r"(?i)([?&;][^=&\s]*(?:key|token|secret|sig|signature|password|pwd|credential)[^=&\s]*=)[^&\s'\"]+"
)


def shortened(text: str, most: int = VALUE) -> str:
    """The text, or its beginning and end with the number of characters that stand between them."""
    if len(text) <= most:
        return text
    tail = most // 4
    left = len(text) - most
    return f"{text[: most - tail]}… ({left:,} more characters) …{text[-tail:]}"


def masked(text: str) -> str:
    """Text without secrets: passwords before an ``@`` of a URL, its values of keys and signatures, known tokens."""
    return _TOKEN.sub(r"\1***", _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1\2***@", text)))


def shown(value: object) -> str:
    """A value of the user's as Python writes it, shortened; masked before, since half a URL hides that it holds one."""
    return shortened(masked(repr(value)))


class W2SError(Exception):
    """A mistake in the input or the environment, written for the person at the keyboard.

    The command line prints ``str(error)`` without a traceback and exits with status 1. However large what the user gave
    is, a sentence is not: its middle is left out, as are sentences after the first fifty. Passwords in URLs are masked.

    Args:
        problems: one sentence, or several where several things are wrong at once.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        given = [problems] if isinstance(problems, str) else list(problems)
        self.problems: list[str] = [shortened(masked(problem), SENTENCE) for problem in given[:SENTENCES]]
        if len(given) > SENTENCES:
            self.problems.append(f"… and {len(given) - SENTENCES:,} more such problems")
        super().__init__("\n".join(self.problems))


class Unreachable(W2SError):
    """A hub model or data set that is not here and could not be asked for. Planning goes on without it."""


class StageMissing(W2SError):
    """A stage that should stand in the store and does not: it was damaged and set aside, or somebody removed it."""


def system_error(error: Exception) -> OSError | None:
    """The system's error behind an exception, or None. Torch, safetensors and tokenizers wrap it in kinds of theirs."""
    if isinstance(error, OSError):
        return error
    text = str(error)
    number = re.search(r"os error (\d+)", text)
    if number:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    if any(mark in text for mark in ("iostream error", "inline_container.cc", "PytorchStreamWriter")):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # torch's writer keeps the reason to itself
    return None


def disk_sentence(error: OSError, key: str, folder: Path) -> Exception:
    """A full, read-only or misplaced folder as a sentence; ``key`` is the recipe's key that names it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return W2SError(
            f"{key}: no space left on the disk of {folder}; free some or give another {key} ({key}=FOLDER), "
            "then run the same command again: it continues where it stopped"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return W2SError(
            f"{key}: {folder} cannot be written ({error.strerror}); give another: {key}=FOLDER, or, where it is "
            "another user's, ask for `chmod -R g+w`, a group that you share, and umask 002"
        )
    if error.errno in {errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EIO}:
        return W2SError(f"{key}: {folder} cannot be written ({error.strerror}); give another: {key}=FOLDER")
    return error


_HASH = re.compile("[0-9a-f]{64}")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, read in blocks. The hub's cache names large files by it: then nothing is read."""
    blob = path.resolve()
    if blob.parent.name == "blobs" and _HASH.fullmatch(blob.name) and (blob.parent.parent / "snapshots").is_dir():
        return blob.name
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
