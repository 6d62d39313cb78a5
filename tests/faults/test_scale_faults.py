"""Runs that share a store: one is killed while another waits, locks of the dead, clocks that disagree, full disks."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import copy_tiny
from fault_helpers import half_written, succeeded, w2s
from processes import Running, started
from test_disk import ONE, Disk, equal, results, said

from w2s_pref.engine import store as store_module
from w2s_pref.engine.identity import Identity, myself
from w2s_pref.engine.lease_folder import LeaseFolder
from w2s_pref.engine.locks import Held, Lease, Locks
from w2s_pref.planning.plan import rows_of
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.run import open_recipe
from w2s_pref.training import callbacks, sharding


@pytest.fixture(scope="module")
def finished(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    folder = copy_tiny(original, tmp_path_factory.mktemp("finished") / "study")
    succeeded("run", folder / "tiny.yaml", *ONE)
    return folder


def built(text: str) -> list[str]:
    return re.findall(r"^\[\d+/\d+\] (.*?)  [\d.]+ s$", text, re.MULTILINE)


FAR = Identity("far", "0" * 12, 7, "1")


def test_killed_while_another_waits(study: Path, finished: Path) -> None:
    """The other run says whom it waits for, takes over at once when that one dies, and continues its checkpoint."""
    store, line = study / "runs" / "store", ["-m", "w2s_pref", "run", "tiny.yaml", *ONE]
    with started(*line) as first, contextlib.ExitStack() as later:
        sealed = wait_for(lambda: list(store.glob(f"partial/*/checkpoint-3/{callbacks.MARKER}")), first)[0]
        first.send(signal.SIGSTOP)  # it lives, so nobody may take its stage
        before = sealed.stat().st_ino, sealed.stat().st_mtime_ns
        second = later.enter_context(started(*line))
        wait_for(lambda: "waiting for" in second.out, second)
        who = rf"waiting for \S+ .*: another run builds it \(process {first.pid} on .+, since "
        assert re.search(who, said(second.out)), second.out
        assert (sealed.stat().st_ino, sealed.stat().st_mtime_ns) == before
        first.send(signal.SIGKILL)
        first.wait()
        killed = time.monotonic()
        stands = store / "model" / sealed.parent.parent.name.removeprefix("model-") / "manifest.json"
        while not stands.exists() and second.poll() is None:
            with contextlib.suppress(FileNotFoundError):  # in its time the oldest checkpoint goes
                found = sealed.stat()
                assert (found.st_ino, found.st_mtime_ns) == before  # from the beginning, it would be a new one
            time.sleep(0.001)
        assert time.monotonic() - killed < 60  # and not the 120 s that another machine's lease has
        done = second.ended()
    assert done.returncode == 0, done
    equal(results(study), results(finished))
    assert not half_written(store)
    assert not list((store / "locks").iterdir())


def wait_for(look: Any, process: Running) -> Any:
    deadline = time.monotonic() + 300
    while not (found := look()) and time.monotonic() < deadline:
        assert process.poll() is None, process.ended()
        time.sleep(0.002)
    return found


def hold_everything(study: Path, holder: Identity, since: str, skew: float) -> None:
    """Leases on every stage of the recipe, their files' times ``skew`` seconds off."""
    shelf = LeaseFolder(study / "runs" / "store")
    for stage in all_stages(open_recipe(study / "tiny.yaml", ONE).study):
        assert shelf.create(f"{stage.kind}-{stage.key}", Lease(uuid.uuid4().hex, holder, since).encode())
    for path in shelf.folder.iterdir():
        os.utime(path, (time.time() + skew, time.time() + skew))


def test_stale_locks_of_a_dead_process_hold_nobody_up(
    study: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may belong to another process by now: when that one started gives it away."""
    gone = Identity(myself().host, myself().place, os.getpid(), "1")
    hold_everything(study, gone, "2026-01-01 09:41", 0.0)
    monkeypatch.setattr(store_module.Store, "poll", 1e6)  # waiting once would last for ever
    done = succeeded("run", "tiny.yaml", *ONE)
    assert len(built(done.out)) == 12
    equal(results(study), results(finished))
    assert not list((study / "runs" / "store" / "locks").iterdir())


@pytest.mark.parametrize("skew", [-3600.0, 3600.0], ids=["an hour behind", "an hour ahead"])
def test_clocks_that_disagree(study: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, skew: float) -> None:
    """Leases of another machine whose clock is off: waited for while their hearts beat, and then not longer."""
    hold_everything(study, FAR, "2099-01-01 00:00", skew)
    shelf = LeaseFolder(study / "runs" / "store")
    alive = {"beats": 30}

    def beat(_: float) -> None:
        """The other machine's heartbeats, while this one sleeps."""
        if alive["beats"] > 0:
            assert not list(study.glob("runs/store/model/*"))
            alive["beats"] -= 1
            for path in shelf.folder.glob("*.lease"):
                lease = Lease.decode(path.read_bytes())
                shelf.beat(path.stem, lease.token, Lease(lease.token, lease.process, beat=31 - alive["beats"]).encode())
                os.utime(path, (time.time() + skew, time.time() + skew))

    monkeypatch.setattr("w2s_pref.engine.loop.time.sleep", beat)
    monkeypatch.setattr(store_module, "Locks", partial(Locks, lease=0.02))
    done = succeeded("run", "tiny.yaml", *ONE)
    assert alive["beats"] == 0
    assert "another run builds it (process 7 on far, since 2099-01-01 00:00)" in said(done.out)
    assert len(built(done.out)) == 12
    equal(results(study), results(finished))


def test_suspended_while_another_machine_took_over(
    study: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a training the lease is found in other hands: the stage is left to them, and waited for."""
    store, check, taken = study / "runs" / "store", Held.check, []
    shelf = LeaseFolder(store)

    def overtaken(self: Held) -> None:
        if not taken and list(store.glob(f"partial/*/checkpoint-3/{callbacks.MARKER}")):
            taken.append(self.name)
            shelf.replace(self.name, Lease("f" * 32, FAR).encode())
            self._beat()
        check(self)

    def given_up(_: float) -> None:
        """The other machine ends without a result; its checkpoints are continued here."""
        assert shelf.read(taken[0]) == Lease("f" * 32, FAR).encode()
        assert not half_written(store)
        shelf.remove(taken[0])

    monkeypatch.setattr(Held, "check", overtaken)
    monkeypatch.setattr("w2s_pref.engine.loop.time.sleep", given_up)
    done = succeeded("run", "tiny.yaml", *ONE)
    assert said(done.out).count("left to the run that took it over while this one was suspended") == 1
    assert len(built(done.out)) == 12
    equal(results(study), results(finished))


def test_status_names_who_builds(study: Path) -> None:
    """Another machine's process may live; one of this machine that is gone does not."""
    first, second = all_stages(open_recipe(study / "tiny.yaml", ONE).study)[:2]
    shelf = LeaseFolder(study / "runs" / "store")
    shelf.create(f"{first.kind}-{first.key}", Lease("a" * 32, FAR, "09:41").encode())
    gone = Identity(myself().host, myself().place, os.getpid(), "1")
    shelf.create(f"{second.kind}-{second.key}", Lease("b" * 32, gone, "09:41").encode())
    text = said(succeeded("status", "tiny.yaml", *ONE).out)
    assert "process 7 on far, since" in text  # the table wraps
    assert "0 hit, 1 building, 0 partial, 11 miss" in text


def test_plan_and_status_see_checkpoints_of_divided_trainings(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They fit only the same division, which is said; other folders of a training hold no checkpoints of it."""
    first, second, third = all_stages(open_recipe(study / "tiny.yaml", ONE).study)[:3]
    store = study / "runs" / "store"
    works = [store / "partial" / f"{stage.kind}-{stage.key}" for stage in (first, second, third)]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    for division in ("DEEPSPEED", "FSDP"):
        with monkeypatch.context() as launch:
            launch.setenv(f"ACCELERATE_USE_{division}", "true")
            for step in (3, 12):
                (sharding.checkpoints(works[0]) / f"checkpoint-{step}").mkdir(parents=True)
    (works[0] / "checkpoint-6").mkdir()
    (works[1] / "fsdp-1" / "checkpoint-3").mkdir(parents=True)
    (works[2] / "selection-1" / "checkpoint-3").mkdir(parents=True)
    monkeypatch.delenv("WORLD_SIZE")
    notes = {row.key: (row.state, row.note) for row in rows_of(open_recipe(study / "tiny.yaml", ONE))}
    every = "continues after step 6 or after step 12 (deepspeed3, 2 processes) or after step 12 (fsdp, 2 processes)"
    assert notes[first.key] == ("partial", every)
    assert notes[second.key] == ("partial", "continues after step 3 (fsdp, 1 process)")
    assert notes[third.key] == ("miss", "")
    assert "0 hit, 2 partial, 10 miss" in said(succeeded("status", "tiny.yaml", *ONE).out)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    place.mkdir()
    yield Disk(place)
    if place.is_mount():
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as handle, contextlib.suppress(OSError):
        while handle.write(b"x" * 4096):
            pass


def test_disk_full_in_the_middle_of_a_checkpoint(
    study: Path, finished: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real full disk between the weights and the optimizer of the second checkpoint; with room it continues."""
    disk.mount("size=16m")
    filler, save = disk.place / "filler", torch.save

    def filling(value: Any, place: Any, *rest: Any, **more: Any) -> None:
        if "checkpoint-6" in str(place) and not filler.exists():
            fill(filler)
        save(value, place, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", filling)
        done = w2s("run", "tiny.yaml", *ONE, f"store={disk.place}/store")
    assert done.code == 1
    assert f"store: no space left on the disk of {disk.place}/store" in said(done.err)
    assert not half_written(disk.place / "store")
    (work,) = (disk.place / "store").glob("partial/*")
    assert (work / "checkpoint-6" / "model.safetensors").is_file()
    assert not callbacks.whole(work / "checkpoint-6")
    assert callbacks.whole(work / "checkpoint-3")
    filler.unlink()
    again = succeeded("run", "tiny.yaml", *ONE, f"store={disk.place}/store")
    assert len(built(again.out)) == 12
    equal(results(study), results(finished))


def test_caches_share_a_store_at_a_url(
    study: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one machine built, another takes; a file damaged at the URL is set aside and that stage built again."""
    import fsspec

    url = f"memory://{uuid.uuid4().hex}"
    counts = []
    for cache in ("one", "two", "three"):
        monkeypatch.setenv("W2S_CACHE", str(tmp_path / cache))
        if cache == "three":
            files = fsspec.filesystem("memory")
            damaged = sorted(files.glob(f"{url}/model/*/model.safetensors"))[0]
            files.pipe_file(damaged, b"x" + files.cat_file(damaged)[1:])
        done = succeeded("run", "tiny.yaml", *ONE, f"store={url}")
        counts.append(int(re.search(r", (\d+) built,", done.out)[1]))  # type: ignore[index]
        equal(results(study), results(finished))
    assert counts == [12, 0, 1]
    assert "did not match its hashes; moved to" in said(done.out)
    assert f"{url}/corrupted/model-" in said(done.out).replace(" ", "")
