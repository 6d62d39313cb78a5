"""How many workers a run gets where nobody says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import make_model

from w2s_pref.core.gpus import GPU_SHARE, gpu_share
from w2s_pref.engine.stage import Stage
from w2s_pref.launch import allocation, control_groups, workers
from w2s_pref.launch.allocation import EMPTY_WORKER, FILLED, allocate, cores, here
from w2s_pref.models.batches import budget

GB = 10**9


@dataclass(frozen=True, eq=False)
class Step(Stage):
    """A stage of nothing but inputs."""

    after: tuple[Stage, ...] = field(default=())

    @property
    def inputs(self) -> dict[str, Stage]:
        return {str(number): stage for number, stage in enumerate(self.after)}

    @property
    def payload(self) -> dict[str, Any]:
        return {"name": self.name}


def study(*stages: Stage, there: int = 0, models: dict[str, Any] | None = None) -> Any:
    keys = {stage.key for stage in stages[:there]}
    store = SimpleNamespace(has=lambda kind, key: key in keys, freed=lambda kind, key: False)
    return SimpleNamespace(stages=list(stages), store=store, study=SimpleNamespace(models=models or {}))


def chains(number: int, length: int) -> list[Stage]:
    found: list[Stage] = []
    for chain in range(number):
        last: tuple[Stage, ...] = ()
        for step in range(length):
            found.append(Step(f"{chain}/{step}", last))
            last = (found[-1],)
    return found


@pytest.mark.parametrize(
    ("stages", "there", "size", "memory", "gpus", "workers", "threads", "why"),
    [
        (chains(9, 4), 0, 4, 64 * GB, [], 4, 1, "the cores"),
        (chains(2, 20), 0, 4, 64 * GB, [], 2, 1, "what can be built at the same time"),
        (chains(1, 40), 0, 4, 64 * GB, [], 1, 1, "what can be built at the same time"),
        (chains(9, 4), 30, 4, 64 * GB, [], 1, 1, "what can be built at the same time"),  # six are left
        (chains(9, 4), 0, 4, int(2.5 * EMPTY_WORKER / FILLED), [], 2, 1, "the free memory"),
        (chains(9, 4), 0, 16, 64 * GB, [2 * GB, 2 * GB], 2, 8, "the GPUs"),  # too small for two workers each
        (chains(9, 8), 0, 16, 64 * GB, [80 * GB], 9, 1, "what can be built at the same time"),
        (chains(9, 8), 0, 4, 64 * GB, [80 * GB], 4, 1, "the cores"),
        (chains(9, 8), 0, 16, 9 * GB, [80 * GB], 2, 8, "the free memory"),
        (chains(9, 8), 0, 1, 1 * GB, [80 * GB, 80 * GB], 2, 1, "the cores"),  # a GPU is never left alone
    ],
)
def test_what_bounds_the_workers(
    stages: list[Stage], there: int, size: int, memory: int, gpus: list[int], workers: int, threads: int, why: str
) -> None:
    found = allocate(study(*stages, there=there), size, memory, gpus)
    assert (found.workers, found.threads, found.why) == (workers, threads, f"bound by {why}")


def test_large_models_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "training_memory", lambda stage: 5 * GB)
    found = allocate(study(*chains(9, 4)), 8, 18 * GB)
    assert (found.workers, found.threads) == (2, 4)  # 12.6 GB may be filled, a worker needs 5.9
    assert str(found) == "2 processes of 4 threads (bound by the free memory; --workers N sets another number)"


@pytest.mark.parametrize(("need", "workers"), [(7, 7), (9, 1)])  # 56 of 80 GB, 8 a worker; above, a GPU is busy
def test_small_models_share_a_gpu(monkeypatch: pytest.MonkeyPatch, need: int, workers: int) -> None:
    monkeypatch.setattr(allocation, "training_memory", lambda stage: need * GB)
    found = allocate(study(*chains(9, 8)), 16, 128 * GB, [80 * GB])
    assert found.workers == workers
    assert found.why == "bound by the GPUs"


def test_unlike_gpus_and_models_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPUs are given out in turn, so the smallest bounds them all; models that are only read take memory too."""
    monkeypatch.setattr(allocation, "training_memory", lambda stage: 7 * GB)
    stages = chains(9, 8)
    assert allocate(study(*stages), 16, 128 * GB, [80 * GB, 16 * GB]).workers == 2
    shapes = {"unknown": None, "small": SimpleNamespace(parameters=GB), "large": SimpleNamespace(parameters=3 * GB)}
    monkeypatch.setattr(allocation, "shape", lambda facts: shapes[facts.name])
    for name, number in (("unknown", 1), ("small", 7), ("large", 1)):
        facts = SimpleNamespace(name=name, spec=SimpleNamespace(dtype="float32"))
        assert allocate(study(*stages, models={"a": facts}), 16, 128 * GB, [80 * GB]).workers == number


def test_workers_are_told_how_many_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_gpus", lambda: ["0", "1"])
    told = [(each["CUDA_VISIBLE_DEVICES"], each[GPU_SHARE]) for each in workers.environments(5)]
    assert told == [("0", "3"), ("1", "3"), ("0", "3"), ("1", "3"), ("0", "3")]
    monkeypatch.setattr(workers, "_gpus", lambda: [])
    assert all(GPU_SHARE not in each for each in workers.environments(5))
    assert gpu_share() == 1


def test_a_share_of_a_gpu_is_the_same_whatever_others_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    monkeypatch.setattr(budget, "GPU_TOKENS", 10**9)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: GB)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2 * GB)
    weights = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    monkeypatch.setattr(budget, "to_come", lambda model, optimizer: 0)
    monkeypatch.setattr(budget, "token_bytes", lambda model, packed: 1000)
    found = {}
    for free in (76, 12):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free * GB, 80 * GB))
        for share in ("1", "4"):
            monkeypatch.setenv(GPU_SHARE, share)
            monkeypatch.setattr(model, "parameters", lambda: iter([weights]))
            found[free, share] = budget.tokens_at_once(model)
    assert found[76, "4"] == found[12, "4"] == int(0.7 * 18 * GB / 1000) // 1024 * 1024
    assert found[76, "1"] > found[12, "1"]


@dataclass
class Groups:
    """Control groups of a machine: files under ``root``, and the groups that this process is said to be in."""

    root: Path
    own: Path

    def write(self, folder: str, **files: object) -> None:
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            (self.root / folder / name.replace("__", ".")).write_text(f"{value}\n")

    def inside(self, *lines: str) -> None:
        self.own.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=64 * GB))
    found = Groups(tmp_path / "groups", tmp_path / "own")
    monkeypatch.setattr(control_groups, "ROOT", found.root)
    monkeypatch.setattr(control_groups, "OWN", found.own)
    return found


@pytest.mark.parametrize(
    ("quota", "period", "expected"), [(200000, 100000, 2), (50000, 100000, 1), ("max", 100000, 64), ("", "", 64)]
)
def test_cores_follow_the_quota_of_a_container(groups: Groups, quota: object, period: object, expected: int) -> None:
    """Of version 2 and 1; the process sees its group as the whole tree, or as a path that is not here."""
    for lines in ((), ("0::/",), ("0::/docker/1f",), ("0::/../../job",)):
        groups.inside(*lines)
        groups.write("", cpu__max=f"{quota} {period}")
        assert cores() == expected
    groups.write("", cpu__max="")
    for folder in ("cpu", "cpu,cpuacct", "cpuacct,cpu"):
        groups.inside("3:cpu,cpuacct:/docker/1f")
        groups.write(folder, cpu__cfs_quota_us=-1 if quota == "max" else quota, cpu__cfs_period_us=period)
        assert cores() == expected
        groups.write(folder, cpu__cfs_quota_us=-1)


@pytest.mark.parametrize(
    ("lines", "tree"),
    [
        (["0::/system.slice/job"], "."),
        (["4:memory:/system.slice/job", "1:cpuacct,cpu:/system.slice/job", "0::/elsewhere"], "version 1"),
        (["0::/system.slice/job"], "unified"),
    ],
)
@pytest.mark.parametrize("tight", ["system.slice", "system.slice/job"])
def test_the_tightest_of_nested_groups_bounds(groups: Groups, lines: list[str], tree: str, tight: str) -> None:
    """A job's own group lies deeper than the tree's root, and a limit may be its own or of a group around it."""
    groups.inside(*lines)
    cpu, memory = ("cpu", "memory") if tree == "version 1" else (tree, tree)
    for folder in ("system.slice", "system.slice/job", "system.slice/another"):
        own = folder == tight
        limit, used = (10 if own else 40 if "another" not in folder else 1) * GB, GB
        if tree == "version 1":
            groups.write(f"{cpu}/{folder}", cpu__cfs_quota_us=300000 if own else 900000, cpu__cfs_period_us=100000)
            groups.write(f"{memory}/{folder}", memory__limit_in_bytes=limit, memory__usage_in_bytes=used)
        else:
            groups.write(f"{cpu}/{folder}", cpu__max="300000 100000" if own else "max 100000")
            groups.write(f"{memory}/{folder}", memory__max=limit, memory__current=used)
    assert (cores(), allocation.memory()) == (3, 9 * GB)


def test_workers_share_the_quota_of_a_container(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    groups.write("", cpu__max="800000 100000")
    assert {place["OMP_NUM_THREADS"] for place in workers.environments(4)} == {"2"}


@pytest.mark.parametrize(
    ("limit", "used", "stat", "free"),
    [
        (16 * GB, 4 * GB, "anon 4000000000\ninactive_file 0\nactive_file 0\n", 12 * GB),
        (16 * GB, 15 * GB, "inactive_file 6000000000\nactive_file 5000000000\n", 12 * GB),  # weights that were read
        (
            16 * GB,
            15 * GB,
            "inactive_file 1\nactive_file 1\ntotal_inactive_file 5000000000\ntotal_active_file 0\n",
            6 * GB,
        ),
        (16 * GB, 17 * GB, "inactive_file 0\n", 0),
        (2**63 - 4096, 4 * GB, "inactive_file 0\n", 64 * GB),  # version 1 without a limit
        ("max", 4 * GB, "", 64 * GB),
        (500 * GB, 4 * GB, "", 64 * GB),
        (None, None, "", 64 * GB),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_memory_follows_the_limit_of_a_container(
    groups: Groups, version: int, limit: int | str | None, used: int | None, stat: str, free: int
) -> None:
    names = control_groups.MEMORY[2 - version]
    if limit is not None:
        groups.write({1: "memory", 2: ""}[version], **dict(zip(names, (limit, used), strict=True)), memory__stat=stat)
    assert allocation.memory() == free


def test_a_run_is_told_of_the_limit_of_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(allocation, "cores", lambda: 8)
    monkeypatch.setattr(allocation, "_gpus", list)
    monkeypatch.setattr(allocation, "memory", lambda: int(2.5 * EMPTY_WORKER / FILLED))
    found = here(study(*chains(9, 4)))
    assert found is not None
    assert (found.workers, found.why) == (2, "bound by the free memory")


def test_nobody_is_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert here(study(*chains(9, 4))) is None
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert here(study(*chains(9, 4), there=36)) is None
    monkeypatch.setattr(allocation, "_gpus", lambda: [])
    assert here(study(*chains(9, 4))) is not None
