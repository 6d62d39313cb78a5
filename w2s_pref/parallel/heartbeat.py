"""Every process of a launch says once a second that it is there. Who falls silent is named, and nobody waits forever.

A process that is killed or stopped leaves the others in a collective operation that never ends, or ends with an error
about sockets. Counters in the launch's own key-value store (torch's TCPStore) say who it was.
"""

from __future__ import annotations

import os
import platform
import select
import signal
import sys
import threading
import time
from datetime import timedelta
from typing import Any

#: Seconds between two beats, and the silence after which a process is suspected once something went wrong.
BEAT_S = 1.0
SUSPECT_S = 5.0
#: Silence that ends a run by itself, where collective operations may take longer.
SILENCE_S = 60.0

#: What every such end says.
HOW_TO_CONTINUE = "Nothing finished is lost: the same accelerate launch command continues where this run stopped"


class Heartbeat:
    """A thread that beats, listens to the others, and ends this process where one of them is gone.

    Silence is counted in own beats: who was suspended, or got no time on a busy machine, must not blame the others.

    Args:
        rank, size: of this process and of the launch.
        patience: seconds of silence of another process after which this one ends.
    """

    def __init__(self, rank: int, size: int, patience: float) -> None:
        self.rank, self.size, self.patience = rank, size, patience
        self._store = _store(patience)
        self._others = [other for other in range(size) if other != rank]
        self._beats = 0
        self._heard: dict[int, tuple[bytes, int]] = {}
        self._names: dict[int, str] = {}
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        self._listen_to_signals(wake)

    def start(self) -> None:
        """Say who this is, and beat from now on."""
        self._store.set(f"name/{self.rank}", f"pid {os.getpid()} on {platform.node()}")
        self._store.set(f"beat/{self.rank}", "0")
        for other in self._others:
            self._names[other] = self._store.get(f"name/{other}").decode()
        self._listen()
        threading.Thread(target=self._run, name="w2s-heartbeat", daemon=True).start()

    def stop(self, last_word: str) -> None:
        """No more beats. ``last_word``: ``done``, ``failed`` (by an error of its own), or ``left`` (after another)."""
        if not self._stopped.is_set():
            self._stopped.set()
            try:
                self._store.set(f"beat/{self.rank}", last_word)
            except RuntimeError:  # whoever held the store is gone already
                return

    def explain(self) -> str | None:
        """Who is gone, as a sentence; None where everybody is heard of. Takes some seconds: silence must be heard."""
        until = self._beats + (SUSPECT_S + 5 * BEAT_S) / BEAT_S  # the last beat of who is gone may be heard late
        while self._beats < until and not self._stopped.is_set():
            sentence = self._sentence(min(SUSPECT_S, self.patience))
            if sentence is not None:
                return sentence
            time.sleep(BEAT_S / 10)
        return None

    def _listen_to_signals(self, wake: int) -> None:
        """A launcher that lost a process sends SIGTERM to the rest; the thread hears it, whatever the main one does."""
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=_default_signals)

    def _run(self) -> None:
        """Beat until stopped. Who can beat no more must end: the others would take it for dead, and no signal is heard.

        Without this thread SIGTERM would be ignored, and ``explain`` would wait for beats that never come.
        """
        try:
            while not self._stopped.is_set():
                self._beat()
        except BaseException as error:
            self._end(f"the thread that watches the other processes failed ({type(error).__name__}: {error})", 1)

    def _beat(self) -> None:
        """One beat: say so, hear the others, and wait a second for signals."""
        self._beats += 1
        try:
            self._store.set(f"beat/{self.rank}", str(self._beats))
            self._listen()
        except RuntimeError:
            self._end("the launcher, or process 0, is gone", 1)
        sentence = self._sentence(self.patience)
        if sentence is not None:
            self._end(sentence, 1)
        if select.select([self._wake], [], [], BEAT_S)[0] and signal.SIGTERM in os.read(self._wake, 64):
            threading.Thread(target=self._terminated, name="w2s-terminated", daemon=True).start()

    def _listen(self) -> None:
        keys = [f"beat/{other}" for other in self._others]
        for other, beat in zip(self._others, self._store.multi_get(keys), strict=True):
            if other not in self._heard or self._heard[other][0] != beat:
                self._heard[other] = (beat, self._beats)

    def _sentence(self, patience: float) -> str | None:
        for other, (beat, since) in sorted(self._heard.items()):
            name = f"process {other} of {self.size} ({self._names[other]})"
            if beat == b"failed":
                return f"{name} ended with an error of its own, and says so above"
            silence = (self._beats - since) * BEAT_S
            if beat not in {b"done", b"left"} and silence > patience:
                return f"{name} has not been heard of for {silence:.0f} s: it was killed, ran out of memory, or hangs"
        return None

    def _terminated(self) -> None:
        self._end(self.explain() or "stopped by SIGTERM", 128 + signal.SIGTERM)

    def _end(self, sentence: str, status: int) -> None:
        """Say it once, and end, unless the main thread is ending already. It may sit in what never returns."""
        with self._lock:
            if self._stopped.is_set():
                return
            try:
                self.stop("left")
                print(f"error: {sentence}. {HOW_TO_CONTINUE}", file=sys.stderr, flush=True)
            finally:  # whatever became of the store or of stderr
                os._exit(status)


_heartbeat: Heartbeat | None = None


def begin(rank: int, size: int, timeout: float) -> None:
    """Beat from now on; the processes have formed their group. Does nothing the second time."""
    global _heartbeat
    if _heartbeat is None:
        _heartbeat = Heartbeat(rank, size, min(SILENCE_S, timeout))
        _heartbeat.start()


def explain() -> str | None:
    """See :meth:`Heartbeat.explain`; None where nothing beats."""
    return None if _heartbeat is None else _heartbeat.explain()


def stop(last_word: str) -> None:
    """See :meth:`Heartbeat.stop`."""
    if _heartbeat is not None:
        _heartbeat.stop(last_word)


def _store(patience: float) -> Any:
    """A connection of its own to the launch's key-value store, which stands once the processes have met."""
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    timeout = timedelta(seconds=max(patience, 10.0))
    store = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=timeout)
    return PrefixStore(f"w2s-heartbeat/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _default_signals() -> None:
    """A forked child (a data loader's worker) must not wake its parent's thread."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
