"""How many workers a run gets where nobody says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from w2s_pref.engine.stage import Stage
from w2s_pref.launch import allocation
from w2s_pref.launch.allocation import EMPTY_WORKER, FILLED, allocate, cores, here

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


def study(*stages: Stage, there: int = 0) -> Any:
    store = SimpleNamespace(has=lambda kind, key: key in {stage.key for stage in stages[:there]})
    return SimpleNamespace(stages=list(stages), store=store)


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


def test_cores_follow_the_quota_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    for text, expected in (("200000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 16), ("", 16)):
        (tmp_path / "cpu.max").write_text(text)
        monkeypatch.setattr(allocation, "QUOTA", tmp_path / "cpu.max")
        assert cores() == expected


def test_nobody_is_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert here(study(*chains(9, 4))) is None
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert here(study(*chains(9, 4), there=36)) is None
    monkeypatch.setattr(allocation, "_gpus", lambda: [])
    assert here(study(*chains(9, 4))) is not None
