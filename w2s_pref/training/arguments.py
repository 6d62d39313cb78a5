"""Training arguments: TRL's and transformers' own names, checked without importing either.

Two keys are ours: ``batch_size``, the number of pairs per optimizer step over all processes, and
``micro_batch_tokens``, the most tokens that go through the model at once. How a batch is split into micro-batches and
processes changes no result and is in no key; ``per_device_train_batch_size`` is the most pairs of a micro-batch.
"""

from __future__ import annotations

import json
import re
from math import ceil, gcd, isfinite
from typing import Any

from w2s_pref.core.errors import shown
from w2s_pref.core.strict import nearest, text_number
from w2s_pref.training.fields import Kind, default_of, known_arguments, known_lora_arguments, known_values
from w2s_pref.training.refused import CHANGES_BASE, GENERATION, NEVER_WHOLE, OF_PARTS, OURS, OURS_OF, SHARES

#: What this toolkit sets instead of TRL's own defaults (learning rate 1e-4, bf16, activation checkpointing, a filter).
DEFAULTS: dict[str, Any] = {
    "batch_size": 32,
    "num_train_epochs": 1,
    "learning_rate": 1.0e-5,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "optim": "adamw_torch",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1.0e-8,
    "bf16": False,
    "fp16": False,
    "activation_checkpointing": False,
    "disable_dropout": True,
    "save_steps": 200,
    "save_total_limit": 2,
    "logging_steps": 5,
    "report_to": "none",
    "ddp_find_unused_parameters": False,
}

#: What RLOO and GRPO get beside these: TRL's own 512 tokens would leave a prompt of the default length no room.
ONLINE_DEFAULTS: dict[str, Any] = {"max_completion_length": 64}

#: What MACPO's trainings get, as in the authors' scripts: positive agents, negative agents over that, and the rounds.
MACPO_DEFAULTS: dict[str, dict[str, Any]] = {
    "sft": {"num_train_epochs": 3, "learning_rate": 5.0e-5},
    "negative": {"num_train_epochs": 1},
    "training": {"num_train_epochs": 1, "learning_rate": 1.0e-5},
}

#: Arguments that say how an effective batch is split over memory.
SPLIT = frozenset({"micro_batch_tokens", "per_device_train_batch_size"})
#: Arguments that change no weights: not part of a stage's key.
NOT_IN_KEY = SPLIT | frozenset(
    {
        "save_steps",
        "save_total_limit",
        "logging_steps",
        "logging_first_step",
        "report_to",
        "run_name",
        "disable_tqdm",
        "log_level",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "dataloader_prefetch_factor",
        "dataloader_persistent_workers",
        "ddp_timeout",
        "ddp_find_unused_parameters",
        "activation_checkpointing",
        "activation_checkpointing_kwargs",
        "use_cpu",
        "torch_empty_cache_steps",
    }
)

#: Arguments that must be above zero: at a rate of 0, or in no epoch, nothing is learned.
POSITIVE = frozenset(
    {
        "batch_size",
        "micro_batch_tokens",
        "per_device_train_batch_size",
        "learning_rate",
        "num_train_epochs",
        "save_steps",
        "logging_steps",
    }
)

#: Arguments that are no trainer's own, and their types; trainers that generate make their own micro-batches.
ADDED = {"batch_size": "int", "micro_batch_tokens": "int | None"}
ADDED_OF: dict[str, tuple[str, ...]] = {"rloo": ("batch_size",), "grpo": ("batch_size",)}


def _added(kind: Kind) -> dict[str, str]:
    return {name: ADDED[name] for name in ADDED_OF.get(kind, tuple(ADDED))}


def check(arguments: dict[str, Any], where: str, kind: Kind = "reward") -> list[str]:
    """Problems with training arguments, as sentences."""
    known = {**known_arguments(kind), **_added(kind)}
    ours = OURS | OURS_OF.get(kind, {})
    problems = []
    for name, value in arguments.items():
        if name in ours:
            problems.append(f"{where}.{name}: not set here; {ours[name]}")
        elif name not in known:
            problems.append(f"{where}: unknown key {shown(name)}; {nearest(name, sorted(known))}")
        elif problem := _wrong_type(value, known[name]):
            problems.append(f"{where}.{name}: {problem}")
        elif isinstance(value, str) and known_values().get(name) and value not in known_values()[name]:
            problems.append(f"{where}.{name}: unknown value {shown(value)}; {nearest(value, known_values()[name])}")
        elif name == "optim" and any(word in str(value) for word in NEVER_WHOLE):
            problems.append(f"{where}.{name}: {value} updates weights before a whole effective batch; take another")
        elif name in POSITIVE and value is not None and not value > 0:
            problems.append(f"{where}.{name}: should be above zero, but this is {value}")
        elif name == "max_steps" and value == 0:
            problems.append(f"{where}.{name}: should be above zero, or -1: as many as num_train_epochs makes")
        elif why := _unlike(name, value, kind):
            problems.append(f"{where}.{name}: {why}")
    return problems


def _unlike(name: str, value: Any, kind: Kind) -> str:
    """Why a value would make another training of the same effective batch, or one that nothing else knows of."""
    if name == "train_sampling_strategy" and value == "group_by_length":
        return "not group_by_length; texts of like length go through the model together anyway"
    if name == "accelerator_config" and "num_steps" in str((value or {}).get("gradient_accumulation_kwargs", "")):
        return "gradient_accumulation_kwargs.num_steps would multiply the batch; set batch_size"
    if name == "generation_kwargs" and (key := next((key for key in GENERATION if key in (value or {})), None)):
        return f"{key} is not set there; {GENERATION[key]}"
    if name == "accelerator_config" and (key := next((key for key in SHARES if key in (value or {})), None)):
        return f"{key} would share a batch among processes by another rule; leave it out"
    if name == "lr_scheduler_type" and value in ("reduce_lr_on_plateau", "greedy"):
        return f"{value} reads evaluations within the training, which there are none of; take another"
    if kind == "grpo" and (name, value) == ("loss_type", "bnpo"):
        return "bnpo depends on how a batch is split over memory; take another"
    if kind == "grpo" and name in OF_PARTS and value != OF_PARTS[name]:
        return "it would be taken of each part of a batch, which depends on memory; leave it out"
    return ""


def check_lora(arguments: dict[str, Any] | None, where: str) -> list[str]:
    """Problems with the arguments of an adapter, as sentences."""
    known = known_lora_arguments()
    problems = []
    for name, value in (arguments or {}).items():
        if name not in known:
            problems.append(f"{where}: unknown key {shown(name)}; {nearest(name, sorted(known))}")
        elif problem := _wrong_type(value, known[name]):
            problems.append(f"{where}.{name}: {problem}")
        elif name == "r" and value is not None and not value > 0:
            problems.append(f"{where}.{name}: should be above zero, but this is {value}")
        elif name == "init_lora_weights" and isinstance(value, str) and value.startswith(CHANGES_BASE):
            problems.append(
                f"{where}.{name}: {value} changes the weights below the adapter, which references and other adapters "
                "share; take another, or leave it out"
            )
    return problems


def _wrong_type(value: Any, annotation: str) -> str | None:
    options = {part.strip() for part in annotation.split("|")}
    numeric = bool(options & {"float", "int"})
    words = set(re.findall(r"\w+", annotation))
    if value is None:
        empty = words & {"None", "Optional", "bool", "Any"}
        return None if empty else "should not be null; take the key out, and the default holds"
    if isinstance(value, list | dict) and not words & {"list", "dict", "tuple", "Any"} and "Config" not in annotation:
        what = "a number" if numeric else "true or false" if "bool" in options else "text"
        return f"should be {what}, but this is {shown(value)}"
    if (
        isinstance(value, int | float)
        and "str" in words
        and not words & {"int", "float", "bool", "dict", "list", "Any"}
    ):
        return f"should be text, but this is {json.dumps(value)}; quote it"
    if isinstance(value, float) and not isfinite(value):
        return f"should be a finite number, but this is {value}"
    if numeric and isinstance(value, str) and "str" not in options:
        return text_number(value)
    if isinstance(value, bool) and numeric and "bool" not in options:
        return f"should be a number, but this is {value}"
    if options <= {"bool", "None"} and not isinstance(value, bool | None):
        return f"should be true or false, but this is {shown(value)}"
    if options <= {"int", "None"} and isinstance(value, float):
        return f"should be a whole number, but this is {value}"
    if numeric and isinstance(value, int | float) and not isinstance(value, bool) and value < 0 and value != -1:
        return f"should not be negative, but this is {value}"
    return None


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    """Defaults, then each layer over the one before."""
    result = dict(DEFAULTS)
    for layer in layers:
        result.update(layer)
    return result


def only(arguments: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """The arguments that a trainer of this kind knows: a recipe's ``training`` serves several trainers."""
    known = {*_added(kind), *known_arguments(kind)} - OURS_OF.get(kind, {}).keys()
    return {name: value for name, value in arguments.items() if name in known}


def keyed(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that change weights: what a stage's key contains. Dropout differs with each split of the batch."""
    without = NOT_IN_KEY - SPLIT if arguments.get("disable_dropout") is False else NOT_IN_KEY
    return {name: value for name, value in arguments.items() if name not in without}


def micro_batches(batch_size: int, per_device: int | None, world: int) -> tuple[int, int]:
    """(per-device batch, accumulation steps) that make exactly ``batch_size`` pairs per step on ``world`` processes.

    Raises:
        ValueError: batch_size is no multiple of the number of processes.
    """
    if batch_size % world:
        raise ValueError(f"batch_size {batch_size} cannot be shared equally by {world} processes; use a multiple")
    share = batch_size // world
    steps = ceil(share / min(per_device or share, share))
    while share % steps:
        steps += 1
    return share // steps, steps


def planned_updates(rows: int, batch_size: int, epochs: float) -> int:
    """Optimizer steps of a training on ``rows`` pairs."""
    return max(1, ceil(ceil(rows / batch_size) * epochs))


def rising(arguments: dict[str, Any], rows: int) -> tuple[int, int]:
    """Optimizer steps of a training, and those of its warm-up: ``warmup_steps`` below 1 is a share of them."""
    own = arguments.get("max_steps") or -1
    steps = own if own > 0 else planned_updates(rows, arguments["batch_size"], arguments["num_train_epochs"])
    given = arguments.get("warmup_steps") or 0
    return steps, int(given) if given >= 1 else ceil(steps * given)


def drawn(arguments: dict[str, Any], kind: Kind) -> tuple[int, int]:
    """RLOO and GRPO: answers to one prompt, and answers drawn at a time.

    Raises:
        ValueError: the batch is no multiple of the first, or the second is no multiple of the batch.
    """
    batch = arguments["batch_size"]
    group = arguments.get("num_generations") or default_of(kind, "num_generations")
    at_once = arguments.get("generation_batch_size") or batch
    if batch % group:
        raise ValueError(
            f"batch_size {batch} (completions per step) is no multiple of num_generations {group}; use "
            f"{ceil(batch / group) * group}, or another num_generations"
        )
    if at_once % batch:
        raise ValueError(f"generation_batch_size {at_once} is no multiple of batch_size {batch}")
    return group, at_once


def enlarged(batch_size: int, ratio: float) -> int:
    """The effective batch of a mixture, so that as many updates see all of it.

    A multiple of the largest power of two up to 8 in ``batch_size``, so that the usual numbers of processes share it
    equally; it never depends on how many there are.
    """
    unit = gcd(batch_size, 8)
    return max(1, round(batch_size * ratio / unit)) * unit
