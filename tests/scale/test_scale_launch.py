"""Every accelerate configuration trains a small recipe in one launch, and what comes out equals one process."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import copy_tiny
from launch_helpers import CONFIGS, REWARDS, launch, launch_forked, line, run_alone, scores
from processes import started
from typer.testing import CliRunner

from w2s_pref.cli.main import app
from w2s_pref.core.errors import W2SError
from w2s_pref.parallel.world import World
from w2s_pref.training import sharding

#: Scores reach 0.1; SGD, one thread, float32: what is left is the order of sums. Four steps of a rate that falls from
#: .1, gradients clipped to norm 1, which sum 8 rows of 32 tokens: .25 * 256 * 6e-8 = 4e-6 of difference in the weights.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def one(original: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.Series:
    """Scores after `w2s run`: two reward-model ceilings and a student, a DPO ceiling and a student."""
    recipe = copy_tiny(original, tmp_path_factory.mktemp("one") / "study") / "tiny.yaml"
    run_alone(recipe)
    return scores(recipe)


REWARD_MODELS = {"ceiling/weak", "ceiling/strong", "direct/none"}


def assert_equal(one: pd.Series, several: pd.Series, policies: bool = True) -> None:
    models = REWARD_MODELS | ({"ceiling/strong@dpo", "direct@dpo/none"} if policies else set())
    assert set(several.index.get_level_values("model")) == models
    one = one[one.index.get_level_values("model").isin(models)]
    assert one.index.equals(several.index)
    assert np.abs(one).max() > 1000 * TOLERANCE
    assert np.abs(one - several).max() <= TOLERANCE


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_equals_one_process(original: Path, tmp_path: Path, one: pd.Series, stage: int) -> None:
    """Five trainings of four kinds in one launch: what one leaves behind would break the next, or its scores.

    Stage 1 divides the optimizer and nothing else, which is the same for every kind: three trainings show it.
    No compiler is needed: DeepSpeed builds no operation of its own.
    """
    pytest.importorskip("deepspeed")
    recipe = copy_tiny(original, tmp_path / "study") / "tiny.yaml"
    options = ("--zero_stage", "1") if stage == 1 else ()
    built = tmp_path / "extensions"
    begin = launch if stage == 3 else launch_forked
    words = ["processes=2", *(REWARDS if stage == 1 else [])]
    begin(recipe, f"zero{max(stage, 2)}.yaml", *words, options=options, TORCH_EXTENSIONS_DIR=str(built))
    assert not built.exists()
    assert_equal(one, scores(recipe), policies=stage > 1)


def test_two_machines_equal_one_process(original: Path, tmp_path: Path, one: pd.Series) -> None:
    """Two launchers, as on two machines, with the launch lines that multi_node.yaml gives.

    That policies train alike on two processes is seen elsewhere (tests/invariant).
    """
    recipe = copy_tiny(original, tmp_path / "study") / "tiny.yaml"
    shared = ("--num_processes", "2", "--main_process_ip", "127.0.0.1")
    words = [line(recipe, "multi_node.yaml", "processes=2", *REWARDS, options=(*shared, "--machine_rank", str(rank)))
             for rank in range(2)]  # fmt: skip
    port = words[0].index("--main_process_port") + 1
    words[1][port] = words[0][port]
    with started(*words[0]) as one_machine, started(*words[1]) as other:
        nodes = [node.ended() for node in (one_machine, other)]
    assert [node.returncode for node in nodes] == [0, 0], nodes[0].stderr[-2000:] + nodes[1].stderr[-2000:]
    assert_equal(one, scores(recipe), policies=False)


@pytest.fixture
def fsdp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that accelerate makes of fsdp2.yaml."""
    launched(monkeypatch, CONFIGS / "fsdp2.yaml")


def launched(monkeypatch: pytest.MonkeyPatch, config: Path, *options: str) -> None:
    """The environment that accelerate makes of a configuration of FSDP."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    words = ["--config_file", str(config), *options, "recipes/run.py"]
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    for name, value in prepare_multi_gpu_env(args).items():
        if name.startswith(("FSDP_", "ACCELERATE_")):
            monkeypatch.setenv(name, value)


def test_fsdp2_means_what_it_says(fsdp: None) -> None:
    from accelerate import FullyShardedDataParallelPlugin

    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    assert not plugin.cpu_ram_efficient_loading
    assert sharding.division() == "fsdp"


def test_fsdp_on_cpus_is_refused(fsdp: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accelerate would train data parallel and say nothing."""
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    with pytest.raises(W2SError, match="FSDP needs a GPU in every process"):
        World().form()
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")
    with pytest.raises(W2SError, match="set it to false"):
        World().form()


@pytest.mark.parametrize(
    ("version", "kind", "said"),
    [
        (2, None, "SHARDED_STATE_DICT, accelerate's default for fsdp_version 2, would save pieces"),
        (
            2,
            "SHARDED_STATE_DICT",
            "SHARDED_STATE_DICT would save pieces instead of a model; write fsdp_state_dict_type: ",
        ),
        (1, "LOCAL_STATE_DICT", "LOCAL_STATE_DICT would save pieces"),
        (1, 3, "fsdp_state_dict_type 3 would save pieces"),
        (1, None, None),
        (2, "full_state_dict", None),
        (2, 1, None),
    ],
)
def test_fsdp_saves_whole_models_or_nothing_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, kind: str | int | None, said: str | None
) -> None:
    """Under what accelerate's own plugin makes of the same environment."""
    from accelerate import FullyShardedDataParallelPlugin

    config = yaml.safe_load((CONFIGS / "fsdp2.yaml").read_text())
    own = {name: value for name, value in config["fsdp_config"].items() if name != "fsdp_state_dict_type"}
    own |= {"fsdp_version": version} | ({} if kind is None else {"fsdp_state_dict_type": kind})
    own |= {"fsdp_reshard_after_forward": version == 2 or "FULL_SHARD", "fsdp_sync_module_states": False}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config | {"fsdp_config": own}))
    launched(monkeypatch, tmp_path / "mine.yaml")
    whole = FullyShardedDataParallelPlugin().state_dict_type.name == "FULL_STATE_DICT"
    assert whole == (said is None)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    with pytest.raises(W2SError, match=said) if said else nullcontext():
        World().form()  # alone in its launch: forms no group


def test_every_configuration_leaves_the_precision_to_the_recipe() -> None:
    files = {path.name: yaml.safe_load(path.read_text()) for path in CONFIGS.glob("*.yaml")}
    assert files.keys() == {"cpu.yaml", "ddp.yaml", "fsdp2.yaml", "zero2.yaml", "zero3.yaml", "multi_node.yaml"}
    assert {config["mixed_precision"] for config in files.values()} == {"no"}


GOOD = {"gradient_clipping": 1.0, "zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizer": {"type": "Adam"}}, "has a block 'optimizer'"),
        ({"gradient_clipping": 0.5}, "clips gradients at 0.5, the recipe's training.max_grad_norm is 1.0"),
        ({"zero_optimization": {"stage": 3}}, "would save pieces instead of a model"),
        ({}, None),
    ],
    ids=["another optimizer", "another clipping", "pieces", "good"],
)
def test_a_launch_does_not_change_the_optimisation(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: str | None
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    trainer = a_trainer("no", GOOD | change)
    with pytest.raises(W2SError, match=said) if said else nullcontext():
        sharding.check(trainer)


def a_trainer(precision: str, deepspeed: dict[str, Any] | None = None) -> Any:
    """What `check` looks at, in a trainer of a recipe without bf16."""
    kind = SimpleNamespace(value="DEEPSPEED" if deepspeed else "MULTI_CPU")
    state = SimpleNamespace(deepspeed_plugin=SimpleNamespace(deepspeed_config=deepspeed))
    accelerator = SimpleNamespace(mixed_precision=precision, distributed_type=kind, state=state)
    args = SimpleNamespace(bf16=False, fp16=False, max_grad_norm=1.0)
    return SimpleNamespace(accelerator=accelerator, args=args)


def test_a_launch_does_not_change_precision_or_division(monkeypatch: pytest.MonkeyPatch) -> None:
    sharding.check(a_trainer("no"))
    with pytest.raises(W2SError, match="sets mixed_precision 'bf16', the recipe's training 'no'"):
        sharding.check(a_trainer("bf16"))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(W2SError, match="to divide models by fsdp, but accelerate formed multi_cpu"):
        sharding.check(a_trainer("no"))


def test_what_cannot_be_divided_is_refused_before_any_work(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    words = ["run", "tiny.yaml", "students=[ppo]", "data.max_length=96"]
    with pytest.raises(W2SError, match="PPO trains data parallel only"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert not list(study.glob("runs/store/*/*"))


def test_a_recipe_does_not_say_what_the_launch_decides(study: Path) -> None:
    with pytest.raises(W2SError, match="deepspeed: not set here; the launch decides: accelerate_configs/"):
        CliRunner().invoke(app, ["plan", "tiny.yaml", "training.deepspeed=zero.json"], catch_exceptions=False)


def test_checkpoints_of_a_division_are_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DeepSpeed cannot read another one's pieces."""
    places = [sharding.checkpoints(tmp_path)]
    for stage, processes in (("2", "2"), ("3", "2"), ("3", "4")):
        for name, value in (("USE_DEEPSPEED", "true"), ("DEEPSPEED_ZERO_STAGE", stage)):
            monkeypatch.setenv(f"ACCELERATE_{name}", value)
        monkeypatch.setenv("WORLD_SIZE", processes)
        places.append(sharding.checkpoints(tmp_path))
    assert places == [tmp_path, *(tmp_path / name for name in ("deepspeed2-2", "deepspeed3-2", "deepspeed3-4"))]
