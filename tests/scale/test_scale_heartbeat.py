"""The thread that beats: where it cannot go on, its process ends with a sentence, and never hangs deaf to signals."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from processes import ENVIRONMENT, run
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


def end(folder: Path, fault: str) -> subprocess.CompletedProcess[str]:
    """What becomes of that process."""
    (folder / "process.py").write_text(PROCESS.replace("FAULT", fault))
    return run(str(folder / "process.py"), environment={**ENVIRONMENT, **os.environ}, seconds=60)


def test_a_heartbeat_that_fails_ends_its_process(launched: Any, tmp_path: Path) -> None:
    """By an error nobody foresaw: before, ``explain`` waited for ever, and SIGTERM went nowhere."""
    done = end(tmp_path, "def fail():\n    raise ValueError('no number')\nbeating._listen = fail")
    assert done.returncode == 1, done
    assert "explained" not in done.stdout
    assert "the thread that watches the other processes failed (ValueError: no number)" in done.stderr
    assert "continues where this run stopped" in done.stderr
    assert launched.get("beat/0") == b"left"


def test_it_ends_even_where_nobody_reads_its_sentence(launched: Any, tmp_path: Path) -> None:
    """A closed stderr is no reason to stay."""
    fault = "sys.stderr = open(os.devnull)\ndef fail():\n    raise KeyError(3)\nbeating._listen = fail"
    assert end(tmp_path, fault).returncode == 1
