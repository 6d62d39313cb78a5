"""Launches of a small recipe with reward models and a DPO policy, on one process and on several."""

from __future__ import annotations

import json
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import processes
import psutil
from conftest import ROOT
from processes import ENVIRONMENT, run, run_together
from typer.testing import CliRunner

from w2s_pref.cli.main import app

CONFIGS = ROOT / "accelerate_configs"
SMALL = [
    "seeds=[0]",
    "arms={direct: [weak, strong]}",
    "conflict.settings=[none]",
    "students=[reward, dpo]",
    "methods={dpo: {pre_stage: false}}",
    "speech.prompts=0",
    "data.splits={gt: 32, w2s: 32, test: 32, conflict: 32, conflict_test: 16}",
    "training.optim=sgd",
    "training.learning_rate=1.0e-1",
    "training.save_steps=2",
]
#: Less of it: two ceilings and a student.
REWARDS = ["students=[reward]", "methods={}"]


#: Its processes start interpreters, as always.
LAUNCHER = ["-m", "accelerate.commands.launch"]
#: Where what the processes do is asked, and not how they are started.
FORKED = [str(Path(__file__).with_name("forked_launch.py"))]


def line(
    recipe: Path, config: str, *overrides: str, options: tuple[str, ...] = (), launcher: list[str] = FORKED
) -> list[str]:
    """What Python is given; ``config`` is a file of accelerate_configs.

    The launcher is forked from a process that has imported it, and its processes from it, or started by it.
    """
    port = str(random.SystemRandom().randint(20000, 60000))
    launcher = [*launcher, "--config_file", str(CONFIGS / config)]
    script = [str(ROOT / "recipes" / "run.py"), str(recipe), *SMALL, *overrides]
    return [*launcher, "--main_process_port", port, *options, *script]


def launch(recipe: Path, config: str, *overrides: str, options: tuple[str, ...] = (), **extra: str) -> str:
    """Run to the end, which must be a good one that leaves no process; what it printed. ``extra``: environment."""
    words = line(recipe, config, *overrides, options=options, launcher=LAUNCHER)
    mark = uuid.uuid4().hex
    environment = {**ENVIRONMENT, **extra, "W2S_TEST_LAUNCH": mark}
    done = run(*words, environment=environment, seconds=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not [process for process in psutil.process_iter() if marked(process, mark)]
    return done.stdout + done.stderr


def launch_forked(recipe: Path, config: str, *overrides: str, options: tuple[str, ...] = (), **extra: str) -> None:
    """:func:`launch` of a DeepSpeed configuration without the launcher: two forked processes in the environment that
    accelerate makes of it, a third of the processor time, most of which is imports."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env

    words = line(recipe, config, *overrides, options=options)[len(FORKED) :]
    with patch.dict("os.environ", {**ENVIRONMENT, **extra}, clear=True):
        args, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(words))
        args.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
        environment = prepare_deepspeed_cmd_env(args)[1]
    for done in run_together(2, args.training_script, *args.training_script_args, environment=environment):
        assert done.returncode == 0, done.stderr[-3000:]


def marked(process: psutil.Process, mark: str) -> bool:
    """True for a process of that launch."""
    try:
        return process.environ().get("W2S_TEST_LAUNCH") == mark
    except psutil.Error:  # it ended while it was looked at, or is somebody else's
        return False


def run_alone(recipe: Path) -> None:
    """`w2s run` on one process, which is this one."""
    done = CliRunner().invoke(app, ["run", str(recipe), *SMALL])
    assert done.exit_code == 0, done.output


def scores(recipe: Path) -> pd.Series:
    """Δ of every model on every item."""
    table = pd.read_parquet(recipe.parent / "runs" / "tiny" / "scores.parquet")
    return table.set_index(["model", "seed", "objective", "id"])["delta"].sort_index()


def artifacts(recipe: Path) -> dict[str, dict[str, str]]:
    """Key → files and their hashes, of models, scores and labels."""
    found = {}
    for path in (recipe.parent / "runs" / "store").glob("*/*/manifest.json"):
        manifest = json.loads(path.read_text())
        if manifest["kind"] != "analysis":
            files = {name: value for name, value in manifest["files"].items() if name != "history.json"}
            found[manifest["key"]] = files
    return found


@dataclass
class Running:
    """A launch that goes on."""

    launcher: processes.Running
    store: Path

    def rank(self, number: int) -> psutil.Process:
        """The process of that rank; they begin in that order."""
        return sorted(psutil.Process(self.launcher.pid).children(), key=lambda each: each.pid)[number]

    def wait_for(self, what: Callable[[], bool], seconds: float = 300.0) -> float:
        """Until it is true; the seconds it took."""
        began = time.monotonic()
        while not what():
            assert time.monotonic() - began < seconds, self.text()
            time.sleep(0.01)
        return time.monotonic() - began

    def wait_for_file(self, pattern: str) -> None:
        """Until a file of the store matches, while the launch goes on."""
        self.wait_for(lambda: any(self.store.glob(pattern)) or self.launcher.poll() is not None)
        assert self.launcher.poll() is None, self.text()

    def text(self) -> str:
        """What it said so far."""
        return self.launcher.out + self.launcher.err


@contextmanager
def started(recipe: Path, config: str, *overrides: str) -> Iterator[Running]:
    """A launch in the background; whatever is left of it at the end is killed."""
    with processes.started(*line(recipe, config, *overrides)) as launcher:
        try:
            yield Running(launcher, recipe.parent / "runs" / "store")
        finally:
            for member in descendants(launcher.pid):
                member.send_signal(signal.SIGKILL)


def descendants(pid: int) -> list[psutil.Process]:
    """Every process under that one."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
