"""The hub: whether it can be asked at all, and rows from it. A machine offline is asked once, not for half a minute."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from w2s_pref.core.errors import Unreachable

if TYPE_CHECKING:
    from datasets import Dataset


#: How long the hub is waited for.
SECONDS = 3.0


@cache
def go_offline_if_unreachable() -> bool:
    """Set HF_HUB_OFFLINE=1 where the hub's host cannot be connected to; call before importing a hub library.

    A proxy is trusted to work. Returns True where the hub may not or cannot be asked.
    """
    if offline():
        return True
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return False
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
        socket.create_connection((endpoint.hostname or "huggingface.co", port), SECONDS).close()
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"
        return True
    return False


def hub_rows(name: str, part: str, /, **where: Any) -> Dataset:
    """One split of a hub data set, from its local cache where the hub cannot be asked.

    Args:
        name: hub id.
        part: what to call the part of it in an error.
        where: arguments of ``datasets.load_dataset``, a split among them.

    Raises:
        Unreachable: neither the hub nor the cache has it.
    """
    go_offline_if_unreachable()
    from datasets import load_dataset

    try:
        return load_dataset(name, **where)
    except (ConnectionError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Unreachable(
            f"data set {name!r} ({part}) is not in the local cache and the hub could not be asked "
            f"({reason}); load it once where there is a network, or give local files as source"
        ) from error


def offline() -> bool:
    """True where the environment says that no hub may be asked."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}
