"""Small models and pairs for every test, built from configuration: no network, no files of others."""

from __future__ import annotations

import gc
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and a run starts no workers by itself

import pandas as pd
import pytest
from float64 import in_float64
from spared import folders_in_memory, packages_once, worlds_once

from w2s_pref.core import collector, registry

collector.begin()
folders_in_memory()
packages_once()
worlds_once()
WORDS = [f"w{number}" for number in range(96)] + ["!", "yes", "no", "maybe"]
ROOT = Path(__file__).parent.parent
#: Modules that take longest: they go first, so that no process is left alone with one of them at the end. The
#: second one mostly waits, and does so while mypy has a use for the processor (scripts/test.sh).
SLOW = [
    "test_readme.py",
    "scale/test_scale_store_locks.py",
    "scale/test_scale_launch.py",
    "scale/test_scale_workers.py",
    "scale/test_scale_launch_faults.py",
    "pipeline/test_policies_run.py",
    "faults/test_policy_faults.py",
    "pipeline/test_monitor_run.py",
    "faults/test_disk.py",
    "testbed/test_trained.py",
    "invariant/test_policy_processes.py",
    "faults/test_scale_faults.py",
    "faults/test_policy_bad_input.py",
    "faults/test_kill.py",
    "golden/test_golden_keys.py",
    "analysis/test_analysis_speech.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow modules first, everything else as it was."""
    place = {ROOT / "tests" / name: number for number, name in enumerate(SLOW)}
    items.sort(key=lambda item: place.get(item.path, len(SLOW)))


def real_data() -> Path:
    """Folder of the real data sets, or a skip."""
    folder = Path(os.environ.get("W2S_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set W2S_DATA")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _spared() -> None:
    """What stands between two modules stays: the collections that every training asks for need not look through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _own_names() -> Iterator[None]:
    """What the tests of one module register is not there for those of the next one in the same process."""
    before = {id(each): set(each._known) for each in registry._REGISTRIES}
    yield
    for each in registry._REGISTRIES:
        for name, item in list(each._known.items()):
            of_package = str(getattr(item, "__module__", "")).startswith("w2s_pref.")
            if name not in before.get(id(each), set()) and not of_package:
                del each._known[name]


@pytest.fixture
def float64() -> Iterator[None]:
    """The test and what it tests compute in float64 (``float64.in_float64``)."""
    with in_float64():
        yield


def make_tokenizer(pad_id: int = 100):
    """A word-level tokenizer with "!" as id 0 and pad, eos, unk of its own; ``pad_id`` 100 or 103."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"!": 0, **{word: number for number, word in enumerate([w for w in WORDS if w != "!"], 1)}}
    vocabulary.update({"<pad>": pad_id, "<eos>": 101, "<unk>": 102})
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def make_model(seed: int = 0, hidden: int = 32, layers: int = 2, **extra):
    """A small Llama reward model with seeded random weights."""
    import torch
    from transformers import LlamaForSequenceClassification

    torch.manual_seed(seed)
    return LlamaForSequenceClassification(_config(hidden, layers, num_labels=1, **extra))


def _config(hidden: int, layers: int, **extra):
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        vocab_size=104,
        max_position_embeddings=256,
        pad_token_id=100,
        **extra,
    )


def save_tiny(folder: Path, seed: int = 0, hidden: int = 32, layers: int = 2) -> Path:
    """A model folder as a recipe names it: a causal LM's weights, tokenizer, configuration."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(seed)
    LlamaForCausalLM(_config(hidden, layers, eos_token_id=101)).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def make_rows(n: int, seed: int = 0, marker: str = "yes") -> pd.DataFrame:
    """Preference rows in TRL's form; the preferred answer holds ``marker`` more often than not."""
    draw = random.Random(seed)
    rows = []
    for number in range(n):
        prompt = " ".join(draw.choices(WORDS[:90], k=draw.randint(4, 12))) + f" w{number % 96}"
        good, bad = draw.choices(WORDS[:90], k=4), draw.choices(WORDS[:90], k=4)
        (good if draw.random() < 0.9 else bad).append(marker)
        answers = {"chosen": " " + " ".join(good), "rejected": " " + " ".join(bad)}
        rows.append({"prompt": f"{prompt} p{seed}-{number}", **answers})
    return pd.DataFrame(rows)


def make_pairs(n: int, seed: int = 0, objective: str = "target") -> pd.DataFrame:
    """Pairs in neutral order, as ``w2s_pref.core.tables`` describes them."""
    from w2s_pref.core.tables import neutral_order, pair_id

    rows = []
    for row in make_rows(n, seed).to_dict("records"):
        first = neutral_order(row["chosen"], row["rejected"])
        a, b = (row["chosen"], row["rejected"]) if first else (row["rejected"], row["chosen"])
        identity = pair_id(row["prompt"], row["chosen"], row["rejected"])
        rows.append({"id": identity, "group": row["prompt"], "form": "text", "prompt": row["prompt"], "a": a, "b": b,
                     "truth": int(first), "objective": objective})  # fmt: skip
    return pd.DataFrame(rows)


RECIPE = """
name: tiny
seeds: [0, 1]
data:
  target: {source: target.csv, objective: target}
  conflict: {source: conflict.csv, objective: other}
  splits: {gt: 48, w2s: 48, test: 64, conflict: 48, conflict_test: 32}
  max_length: 32
models:
  weak: {path: small}
  middle: {path: medium}
  strong: {path: large}
training: {batch_size: 8, learning_rate: 1.0e-3, save_steps: 3, logging_steps: 1}
analysis: {resamples: 100}
"""


@pytest.fixture
def tiny(original: Path, tmp_path: Path) -> Path:
    """A folder of the test's own with three tiny models, two data files and a recipe over them; returns the recipe."""
    return copy_tiny(original, tmp_path) / "tiny.yaml"


def write_tiny(folder: Path) -> Path:
    """Write the tiny study into ``folder``."""
    for number, (name, hidden) in enumerate([("small", 16), ("medium", 24), ("large", 32)]):
        save_tiny(folder / name, seed=number, hidden=hidden, layers=1)
    make_rows(180, seed=1).to_csv(folder / "target.csv", index=False)
    make_rows(100, seed=2, marker="no").to_csv(folder / "conflict.csv", index=False)
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE + f"output: {folder / 'runs'}\n", encoding="utf-8")
    return recipe


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study, written once."""
    folder = tmp_path_factory.mktemp("original")
    write_tiny(folder)
    return folder


@pytest.fixture
def study(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny study, as the working directory: ``tiny.yaml``, its data and its models."""
    folder = copy_tiny(original, tmp_path / "study")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def module_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that stays from test to test."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def one_store(study: Path, module_store: Path) -> None:
    """The tiny study's store is that of all tests of a module: what one has built, the next takes."""
    with (study / "tiny.yaml").open("a") as recipe:
        recipe.write(f"store: {module_store}\n")


def copy_tiny(original: Path, folder: Path) -> Path:
    """Copy a study that ``write_tiny`` wrote; its output goes into the copy."""
    shutil.copytree(original, folder, ignore=shutil.ignore_patterns("runs"), dirs_exist_ok=True)
    recipe = folder / "tiny.yaml"
    recipe.write_text(recipe.read_text().replace(str(original), str(folder)))
    return folder
