"""Speed of training policies, as the documentation quotes it; one part a call, each printed as a Markdown table.

    python benchmarks/policies.py ppo       # PPO's phases: generate, score, update
    python benchmarks/policies.py shared    # the policies of a study, with and without shared reference stages

``ppo`` reads HH-RLHF pairs (``--pairs``, Parquet with prompt, chosen, rejected) and without ``--model`` makes
a Llama of 1.1 million random weights with a byte-level BPE of 4,096 tokens from them. ``--quick`` only shows that a
part works. Run on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pandas as pd
import torch
from policies_shared import shared_lines
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from w2s_pref.data.sources import Source, load
from w2s_pref.models.load import load_base
from w2s_pref.models.policies import load_policy
from w2s_pref.models.spec import ModelSpec
from w2s_pref.training.environment import quiet
from w2s_pref.training.ppo.fit import PPOJob, fit_ppo
from w2s_pref.training.ppo.settings import PPOSettings
from w2s_pref.training.rewards import reward_model

PAIRS = Path(__file__).parent.parent.parent / "shared" / "data" / "hh" / "harmless_train_w2s.parquet"
#: Tokens of the longest text.
MAX_LENGTH = 256


def main() -> None:
    """Print one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("ppo", "shared"))
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="HH-RLHF pairs as Parquet")
    parser.add_argument("--model", default="", help="folder of a language model, or ladder/NAME (ppo)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: the figures mean nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet()
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, {options.threads} threads{', --quick' * options.quick}\n")
    part: Callable[[argparse.Namespace, Path], None] = {"ppo": ppo, "shared": shared}[options.part]
    with tempfile.TemporaryDirectory() as folder:
        part(options, Path(folder))


def table(*rows: tuple[object, ...]) -> None:
    """A Markdown table; the first row is its head. Numbers get three digits."""
    for number, row in enumerate(rows):
        print("|", " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row), "|")
        if not number:
            print("|---" * len(row) + "|")
    print(flush=True)


def hh(options: argparse.Namespace) -> pd.DataFrame | None:
    """HH pairs, or None and a sentence where there is no file."""
    if not options.pairs.is_file():
        print(f"no HH pairs at {options.pairs}: what needs them is left out; name the file with --pairs")
        return None
    return load(Source(source=str(options.pairs), objective="harmless", on_bad_row="drop")).frame


def language_model(options: argparse.Namespace, frame: pd.DataFrame, folder: Path) -> ModelSpec:
    """The model that was named, or a small Llama with random weights and a tokenizer made from the pairs."""
    if options.model:
        return ModelSpec(path=options.model)
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator((frame["prompt"] + frame["a"] + frame["b"]).tolist(), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=352, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return ModelSpec(path=str(folder / "model"))


def ppo(options: argparse.Namespace, folder: Path) -> None:
    """Seconds and tokens of PPO's phases on a ladder rung, and on a larger model with HH prompts."""
    updates, batch = (3, 8) if options.quick else (5, 32)
    shape = {"total_episodes": updates * batch, "batch_size": batch, "save_steps": 10**6}
    world = load(Source(source="testbed", objective="harmless", options={"rows": 400})).frame
    lines = phases("ladder/m, testbed", ModelSpec(path="ladder/m"), world, {**shape, "response_length": 16}, folder)
    frame = hh(options)
    if frame is not None:
        spec = language_model(options, frame, folder)
        length = 8 if options.quick else 48
        name = f"{load_policy(spec, Path(), 0)[0].num_parameters():,} parameters, HH"
        lines += phases(name, spec, frame, {**shape, "response_length": length}, folder)
    table(("model and prompts", "phase", "s an update", "share", "tokens/s"), *lines)
    print(
        f"median of {updates - 1} updates after the first, {batch} answers and 4 passes each. Tokens: generate, those"
    )
    print("written; score (log-probs of policy and reference, values, a reward model of the policy's size), prompt and")
    print("answer once; update, prompt and answer once a pass")


def phases(
    name: str, spec: ModelSpec, frame: pd.DataFrame, shape: dict[str, Any], folder: Path
) -> list[tuple[object, ...]]:
    """Lines of one model, which is judged by a reward model of its own size (the time is that of a trained one)."""
    judge, reader = load_base(spec, Path(), 0)
    job = PPOJob(
        prompts=frame[["form", "prompt"]].drop_duplicates(),
        reward=reward_model(judge.eval(), reader, MAX_LENGTH),
        settings=PPOSettings(**shape),
        seed=0,
        max_length=MAX_LENGTH,
    )
    place = folder / spec.path.replace("/", "-")
    history = fit_ppo(*load_policy(spec, Path(), 0), job, place / "work", place / "saved")["history"][1:]
    seconds = {phase: median(line[f"seconds_{phase}"] for line in history) for phase in ("generate", "score", "update")}
    return [
        (name, phase, taken, f"{taken / sum(seconds.values()):.0%}",
         f"{median(line[f'tokens_per_second_{phase}'] for line in history):,.0f}")
        for phase, taken in seconds.items()
    ]  # fmt: skip


def shared(options: argparse.Namespace, folder: Path) -> None:
    """A study of DPO students with and without shared reference stages."""
    rows, seeds = (40, [0]) if options.quick else (200, [0, 1, 2])
    table(*shared_lines(folder, rows, seeds))
    print(f"ladder/m on the testbed, {rows} pairs a split, seeds {seeds}; one run each after a warm-up study")


if __name__ == "__main__":
    main()
