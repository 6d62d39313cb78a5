"""The thread that beats: where it cannot go on, its process ends with a sentence, and never hangs deaf to signals."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

#: A process whose main thread waits for ever; ``FAULT`` is what goes wrong in its heartbeat.
PROCESS = """
import os, sys, time
from w2s_pref.parallel import heartbeat

heartbeat.begin(0, 2, 60.0)
beating = heartbeat._heartbeat
FAULT
print("explained:", beating.explain(), flush=True)
time.sleep(120)
"""


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A key-value store of a launch of two processes, of which this test is the second."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    own = PrefixStore("w2s-heartbeat/0", store)
    own.set("name/1", "pid 7 on there")
    own.set("beat/1", "1")
    return own


def begin(fault: str) -> subprocess.Popen[str]:
    code = PROCESS.replace("FAULT", fault)
    return subprocess.Popen([sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_heartbeat_that_fails_ends_its_process(launched: Any) -> None:
    """By an error nobody foresaw: before, ``explain`` waited for ever, and SIGTERM went nowhere."""
    process = begin("def fail():\n    raise ValueError('no number')\nbeating._listen = fail")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, (out, err)
    assert "explained" not in out
    assert "the thread that watches the other processes failed (ValueError: no number)" in err
    assert "continues where this run stopped" in err
    assert launched.get("beat/0") == b"left"


def test_it_ends_even_where_nobody_reads_its_sentence(launched: Any) -> None:
    """A closed stderr is no reason to stay."""
    process = begin("sys.stderr = open(os.devnull)\ndef fail():\n    raise KeyError(3)\nbeating._listen = fail")
    process.communicate(timeout=60)
    assert process.returncode == 1
