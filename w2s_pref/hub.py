"""Whether the hub can be asked at all. Without this, every look-up retries for half a minute on a machine offline."""

from __future__ import annotations

import os
import socket
from functools import cache
from urllib.parse import urlsplit


@cache
def go_offline_if_unreachable(timeout: float = 3.0) -> bool:
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
        socket.create_connection((endpoint.hostname or "huggingface.co", port), timeout).close()
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"
        return True
    return False


def offline() -> bool:
    """True where the environment says that no hub may be asked."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}
