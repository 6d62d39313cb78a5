"""Leases: one holder at a time, dead ones freed, live ones never, whatever clocks say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lease_helpers import ENVIRONMENT, dead_here, elsewhere, put_lease

from w2s_pref.engine import locks as locks_module
from w2s_pref.engine.identity import Identity, alive, myself, started
from w2s_pref.engine.lease_folder import LeaseFolder
from w2s_pref.engine.locks import Lease, LeaseLost, Locks


@pytest.fixture
def shelf(tmp_path: Path) -> LeaseFolder:
    return LeaseFolder(tmp_path)


class Clock:
    """A monotonic clock that only moves when told."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        patch.setattr(locks_module.time, "monotonic", lambda: self.now)


def test_a_lease_is_read_as_it_was_written() -> None:
    lease = Lease("t" * 32, elsewhere(), "2026-01-01 09:41", 12)
    data = lease.encode()
    assert data.startswith(b"00000000000000000012\n")
    assert Lease.decode(data) == lease
    assert len(replace(lease, beat=10**19).encode()) == len(data)  # a heartbeat never changes the length


def test_half_a_lease_has_a_holder_nobody_knows() -> None:
    half = Lease.decode(b"0000000000")
    assert alive(half.process) is None
    assert half.token != Lease.decode(b"00000000000").token
    assert Lease.decode(b"").token == Lease.decode(b"").token


def test_one_holder_at_a_time(shelf: LeaseFolder, tmp_path: Path) -> None:
    one, other = Locks(shelf), Locks(LeaseFolder(tmp_path))
    held = one.take("model-k")
    assert held is not None
    assert not held.taken_over
    assert one.take("model-k") is None
    assert other.take("model-k") is None
    assert other.take("model-j") is not None
    lease = other.holder("model-k")
    assert lease is not None
    assert lease.process == myself()
    assert f"process {os.getpid()} on " in lease.holder
    held.release()
    again = other.take("model-k")
    assert again is not None
    assert not again.taken_over
    again.release()
    assert [path.name for path in (tmp_path / "locks").iterdir()] == ["model-j.lease"]
    assert not list((tmp_path / "tmp").iterdir())


def test_processes_are_told_apart() -> None:
    me = myself()
    assert alive(me) is True
    assert alive(replace(me, start=str(int(me.start) + 1))) is False  # the number went to another process
    assert alive(replace(me, place="0" * 12)) is None  # another machine, or container: nothing can be seen
    assert alive(dead_here()) is False
    assert Identity.of_name(f"model-abc-{me.tag}") == replace(me, host="")
    assert Identity.of_name("model-k-4194304") is None


def test_a_process_that_waits_to_be_buried_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 10
    while started(child.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert started(child.pid) is None
    os.kill(child.pid, 0)  # its number is still taken
    child.wait()


def test_a_dead_process_of_this_machine_frees_at_once(shelf: LeaseFolder) -> None:
    put_lease(shelf, "model-k", dead_here())
    held = Locks(shelf).take("model-k")
    assert held is not None
    assert held.taken_over
    held.release()
    assert shelf.read("model-k") is None


def test_a_live_process_of_this_machine_keeps_it_however_silent(
    shelf: LeaseFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_lease(shelf, "model-k", myself())
    clock, locks = Clock(monkeypatch), Locks(shelf)
    for _ in range(100):
        clock.now += 3600
        assert locks.take("model-k") is None


@pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0])
@pytest.mark.parametrize("since", ["2026-01-01 08:41", "1970-01-01 00:00", "2099-12-31 23:59", ""])
def test_another_machine_is_judged_by_change_alone(
    shelf: LeaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skew: float, since: str
) -> None:
    """119 of 120 seconds without a heartbeat: alive. 120: dead. No clock but the waiter's own is read."""
    lease = put_lease(shelf, "model-k", elsewhere(), since)
    clock, locks, path = Clock(monkeypatch), Locks(shelf), tmp_path / "locks" / "model-k.lease"

    def tick(seconds: int) -> Any:
        os.utime(path, (time.time() + skew, time.time() + skew))
        clock.now += seconds
        return locks.take("model-k")

    assert tick(0) is None
    assert all(tick(1) is None for _ in range(119))
    assert shelf.beat("model-k", lease.token, replace(lease, beat=lease.beat + 1).encode())
    assert all(tick(1) is None for _ in range(120))  # the first look after the heartbeat begins anew
    assert tick(1) is not None


def test_who_did_not_look_has_seen_nothing(shelf: LeaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour asleep, or building, between two looks counts as a quarter of the time a lease may be silent."""
    put_lease(shelf, "model-k", elsewhere())
    clock, locks = Clock(monkeypatch), Locks(shelf)
    for expected in (False, False, False, False, True):
        assert (locks.take("model-k") is not None) is expected
        clock.now += 3600


def test_of_two_that_see_it_dead_one_takes_it(shelf: LeaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is held up between its judgement and its step; by then the first has taken over and is at work."""
    put_lease(shelf, "model-k", dead_here())
    first, second = Locks(shelf), Locks(shelf)
    taken: list[Any] = []
    judge = second._dead

    def slow(name: str, found: Lease) -> bool:
        dead = judge(name, found)
        if not taken:
            taken.append(first.take("model-k"))
        return dead

    monkeypatch.setattr(second, "_dead", slow)
    assert second.take("model-k") is None
    assert taken[0] is not None
    taken[0].confirm()
    taken[0].release()


def test_a_taker_that_died_at_it_does_not_block(shelf: LeaseFolder, tmp_path: Path) -> None:
    """Its right to the dead lease is a lease itself, so it is taken over in turn, and nothing is left lying."""
    dead = put_lease(shelf, "model-k", dead_here())
    put_lease(shelf, f"model-k.{dead.token}", dead_here())
    held = Locks(shelf).take("model-k")
    assert held is not None
    held.release()
    assert not list((tmp_path / "locks").iterdir())


def test_a_right_to_a_lease_that_is_gone_is_swept(shelf: LeaseFolder) -> None:
    """Killed between taking the lease away and the right to do so: nobody asks for that right again."""
    locks = Locks(shelf)
    assert shelf.create("model-k", Lease("t" * 32, dead_here(), "").encode())
    for name, process in (("model-k." + "t" * 32, dead_here()), ("model-j." + "u" * 32, myself())):
        assert shelf.create(name, Lease("v" * 32, process, "").encode())
    shelf.sweep()
    assert locks.holder("model-k." + "t" * 32) is not None  # its lease stands: whoever takes that over needs the right
    shelf.remove("model-k")
    assert shelf.create("model-k", Lease("w" * 32, myself(), "").encode())
    shelf.sweep()
    assert locks.holder("model-k." + "t" * 32) is None
    assert locks.holder("model-j." + "u" * 32) is not None  # of a process that lives
    assert locks.holder("model-k") is not None


def test_a_holder_that_was_away_notices(shelf: LeaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Suspended for an hour: another machine took over. The old holder neither writes into nor removes its lease."""
    held = Locks(shelf, beat=3600).take("model-k")
    assert held is not None
    taker = Lease("f" * 32, elsewhere(), "10:41")
    shelf.replace("model-k", taker.encode())
    held.check()  # not looked yet
    with pytest.raises(LeaseLost):
        held.confirm()
    with pytest.raises(LeaseLost):
        held.check()
    held.release()
    assert shelf.read("model-k") == taker.encode()


def test_heartbeats_change_the_lease_and_notice_a_loss(shelf: LeaseFolder) -> None:
    held = Locks(shelf, beat=0.02).take("model-k")
    assert held is not None
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and Lease.decode(shelf.read("model-k") or b"").beat < 3:
        time.sleep(0.01)
    assert Lease.decode(shelf.read("model-k") or b"").beat >= 3
    assert Lease.decode(shelf.read("model-k") or b"").token == held.lease.token
    shelf.replace("model-k", Lease("f" * 32, elsewhere()).encode())
    while time.monotonic() < deadline and not held.lost:
        time.sleep(0.01)
    with pytest.raises(LeaseLost):
        held.check()
    held.release()


def test_a_heartbeat_goes_into_the_file_it_belongs_to(shelf: LeaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken over between the look at the token and the write: the taker's lease stays as it was written."""
    mine = put_lease(shelf, "model-k", myself())
    taker = Lease("f" * 32, elsewhere(), "10:41")
    decode = Lease.decode

    def overtaken(data: bytes) -> Lease:
        shelf.replace("model-k", taker.encode())
        return decode(data)

    with monkeypatch.context() as patch:
        patch.setattr(Lease, "decode", overtaken)
        assert shelf.beat("model-k", mine.token, replace(mine, beat=9).encode())
    assert shelf.read("model-k") == taker.encode()


def test_without_hard_links(shelf: LeaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems without links: created exclusively, then written."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    locks = Locks(shelf)
    held = locks.take("model-k")
    assert held is not None
    assert locks.take("model-k") is None
    held.release()
    assert shelf.read("model-k") is None


@pytest.mark.parametrize("machines", [False, True], ids=["one machine", "four machines"])
def test_many_processes_that_die_holding_it(tmp_path: Path, machines: bool) -> None:
    """Four players of 10 entries each, and each is killed at its last one: nobody ever meets another inside."""
    script = Path(__file__).with_name("lease_helpers.py")
    players = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path), "10", str(number), f"{number + 1:012x}" if machines else ""],
            env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    errors = [player.communicate(timeout=300)[1] for player in players]
    assert [player.returncode for player in players] == [-9] * 4, errors
    entries = (tmp_path / "entries").read_text().split()
    assert sorted(entries.count(str(player.pid)) for player in players) == [10] * 4
