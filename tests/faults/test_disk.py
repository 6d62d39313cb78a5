"""Disks that are full or read-only, artifacts that are damaged, two runs at once: a sentence, and equal results."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import copy_tiny
from fault_helpers import half_written, succeeded, w2s
from processes import started

from w2s_pref.engine import store as store_module

ONE = ["seeds=[0]", "arms={direct: [weak, strong]}", "conflict.settings=[none]"]


def results(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """What a run found, without when and where it ran."""
    value = json.loads((folder / "runs" / "tiny" / "results.json").read_text())
    value.pop("provenance")
    for place in ("output", "store"):
        value["recipe"].pop(place)
    return value, pd.read_parquet(folder / "runs" / "tiny" / "scores.parquet")


def equal(one: tuple[dict[str, Any], pd.DataFrame], other: tuple[dict[str, Any], pd.DataFrame]) -> None:
    assert one[0] == other[0]
    pd.testing.assert_frame_equal(one[1], other[1], check_exact=True)


def said(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def finished(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, its store beside it."""
    folder = copy_tiny(original, tmp_path_factory.mktemp("finished") / "study")
    succeeded("run", folder / "tiny.yaml", *ONE)
    return folder


@pytest.fixture
def again(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished run, as the working directory."""
    folder = copy_tiny(finished, tmp_path / "again")
    shutil.copytree(finished / "runs", folder / "runs", symlinks=True)
    monkeypatch.chdir(folder)
    return folder


class Disk:
    """A small disk of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def mount(self, options: str) -> None:
        line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.place)]
        try:
            subprocess.run(line, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no small disk can be mounted here: {error}")

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.place)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    place.mkdir()
    yield Disk(place)
    if place.is_mount():
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def test_full_disk_then_more_room(study: Path, finished: Path, disk: Disk) -> None:
    """Real full disks, so that every library's own way of failing is met; with room, the same command ends it."""
    disk.mount("size=16k")
    for size in (16, 32, 48, 200, 300, 640):
        disk.remount(f"size={size}k")
        done = w2s("run", "tiny.yaml", *ONE, f"store={disk.place}/store")
        assert done.code == 1, size
        assert f"store: no space left on the disk of {disk.place}/store; free some or give another" in said(done.err)
        assert "run the same command again" in said(done.err)
        assert not half_written(disk.place / "store"), size
        assert not (study / "runs").exists()
    disk.remount("size=16m")
    succeeded("run", "tiny.yaml", *ONE, f"store={disk.place}/store")
    equal(results(study), results(finished))


def test_full_disk_of_the_output(again: Path, disk: Disk) -> None:
    disk.mount("size=40k")
    done = w2s("run", "tiny.yaml", *ONE, f"output={disk.place}", f"store={again}/runs/store")
    assert done.code == 1
    assert f"output: no space left on the disk of {disk.place}/tiny; free some or give another" in said(done.err)
    assert not list(disk.place.iterdir())
    disk.remount("size=16m")
    succeeded("run", "tiny.yaml", *ONE, f"output={disk.place}", f"store={again}/runs/store")
    assert (disk.place / "tiny" / "report.html").is_file()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_full_disk_of_a_score_table(again: Path, disk: Disk, suffix: str) -> None:
    disk.mount("size=4k")
    model = next(again.glob("runs/tiny/students/*"))
    done = w2s("score", model, "target.csv", "--out", f"{disk.place}/x.{suffix}")
    assert done.code == 1
    assert f"--out {disk.place}/x.{suffix}: cannot be written" in said(done.err)
    assert "None" not in done.err
    assert not list(disk.place.iterdir())


def test_read_only_store(again: Path, disk: Disk) -> None:
    disk.mount("size=16m")
    shutil.copytree("runs/store", disk.place / "store")
    disk.remount("ro")
    succeeded("run", "tiny.yaml", *ONE, f"store={disk.place}/store", "output=elsewhere")  # nothing to build
    done = w2s("run", "tiny.yaml", *ONE, f"store={disk.place}/store", "output=other", "data.seed=1")
    assert done.code == 1
    sentence = f"store: {disk.place}/store cannot be written (Read-only file system); give another: store=FOLDER"
    assert sentence in said(done.err)
    assert not Path("other").exists()
    succeeded("plan", "tiny.yaml", *ONE, f"store={disk.place}/store")


@pytest.mark.parametrize(("number", "call"), [(errno.ENOSPC, 4), (errno.EDQUOT, 1), (errno.EROFS, 9), (errno.EIO, 1)])
def test_disk_fails_in_mid_commit(
    study: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: int
) -> None:
    calls = iter(range(1, 10_000))

    def failing(path: Path) -> None:
        if next(calls) == call:
            raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_fsync", failing)
        done = w2s("run", "tiny.yaml", *ONE)
    assert done.code == 1
    assert "error: store: " in done.err
    assert not half_written(study / "runs" / "store")
    assert not (study / "runs" / "tiny").exists()
    if call == 4:
        succeeded("run", "tiny.yaml", *ONE)
        equal(results(study), results(finished))


def flip(path: Path) -> None:
    value = bytearray(path.read_bytes())
    value[-20] ^= 1
    path.write_bytes(bytes(value))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edited(path: Path) -> None:
    path.write_text(path.read_text().replace('"accuracy"', '"accuracy" ', 1).replace("0.5", "0.9", 1))


DAMAGE: dict[str, tuple[str, Callable[[Path], None], int]] = {
    "a weight": ("model/*/model.safetensors", flip, 3),
    "a tokenizer": ("model/*/tokenizer.json", cut, 3),
    "score tables": ("scores/*/table.parquet", cut, 7),
    "labels": ("labels/*/table.parquet", flip, 1),
    "a manifest": ("*/*/manifest.json", cut, 12),
    "the analysis": ("analysis/*/body.json", edited, 1),
    "a file of the analysis": ("analysis/*/scores.parquet", Path.unlink, 1),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_artifacts_are_built_again(again: Path, finished: Path, case: str) -> None:
    pattern, damage, number = DAMAGE[case]
    store = again / "runs" / "store"
    paths = sorted(store.glob(pattern))
    assert len(paths) == number
    for path in paths:
        damage(path)
    done = succeeded("run", "tiny.yaml", *ONE)
    assert said(done.out).count("; moved to ") == number
    assert f", {number} built," in done.out
    assert len(list((store / "corrupted").iterdir())) == number
    equal(results(again), results(finished))


def test_a_damaged_run_folder_is_written_again(again: Path, finished: Path) -> None:
    (again / "runs" / "tiny" / "results.json").write_text("{")
    (again / "runs" / "tiny" / "scores.parquet").unlink()
    assert "unreadable results.json" in succeeded("status").out
    assert ", 0 built," in succeeded("run", "tiny.yaml", *ONE).out
    equal(results(again), results(finished))
    assert [path.name for path in (again / "runs").iterdir() if path.name.startswith(".")] == []


def test_two_runs_at_once(study: Path, finished: Path) -> None:
    """Both end well, no stage is built twice, and the results are those of one run alone."""
    line = ["-m", "w2s_pref", "run", "tiny.yaml", *ONE]
    with started(*line) as first, started(*line) as second:
        both = [process.ended(120) for process in (first, second)]
    assert [done.returncode for done in both] == [0, 0], both
    printed = "".join(done.stdout for done in both)
    built = re.findall(r"^\[\d+/\d+\] (.*?)  [\d.]+ s$", printed, re.MULTILINE)
    assert len(built) == len(set(built)) == 12
    counts = [int(re.search(r", (\d+) built,", done.stdout)[1]) for done in both]  # type: ignore[index]
    assert sum(counts) == 12
    equal(results(study), results(finished))
    assert not half_written(study / "runs" / "store")
    assert sorted(path.name for path in (study / "runs").iterdir()) == ["store", "tiny"]
