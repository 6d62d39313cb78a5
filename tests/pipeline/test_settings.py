"""Every kind of run, small, through the real command line: what it trains, and that its results make sense."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import WORDS
from fault_helpers import half_written, refused, succeeded

SIX = ["none", "explicit", "implicit", "placebo", "gold", "base"]


def results(folder: Path = Path("runs/tiny")) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return value


def manifests(kind: str) -> dict[str, dict[str, Any]]:
    """Stage name → manifest, with the folder in it."""
    found = {}
    for path in Path("runs/store", kind).glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        found[manifest["meta"]["name"]] = {**manifest, "folder": path.parent}
    return found


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "model.safetensors"))


def encoder(folder: Path) -> None:
    """A tiny BERT without a pooler, with a WordPiece tokenizer: nothing in it is like the decoders'."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    torch.manual_seed(5)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "p", "-", "1", "2", "3", "##1", "##2", "##3"]
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertForMaskedLM(BertConfig(vocab_size=len(tokens), max_position_embeddings=64, **shape)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(tokens))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)


@pytest.fixture
def all_settings(study: Path) -> dict[str, Any]:
    """An encoder with LoRA teaches decoders of which the last is frozen; hard, calibrated, filtered labels."""
    encoder(study / "encoder")
    succeeded(
        "run", "tiny.yaml", "seeds=[0]", "models.weak.path=encoder", "models.weak.lora={r: 2}",
        "models.weak.training={learning_rate: 3.0e-2, num_train_epochs: 6}",
        "models.strong.freeze_backbone=true", "labels.form=hard", "labels.filter=high_confidence",
        "labels.threshold=0.6", "labels.calibrate=true", "data.splits.calibration=18", "data.splits.w2s=40",
        "loss.name=aux_confidence", f"conflict.settings={json.dumps(SIX)}", "training.save_steps=100",
    )  # fmt: skip
    return results()


def test_all_conflicts_with_an_encoder_lora_and_a_frozen_backbone(study: Path, all_settings: dict[str, Any]) -> None:
    value = all_settings
    assert list(value["ceilings"]) == ["weak", "strong", "middle"]
    assert 0 <= value["base"]["accuracy"]["estimate"] <= 1
    for arm, chain in zip(value["arms"], (["weak", "strong"], ["weak", "middle", "strong"]), strict=True):
        assert arm["chain"] == chain
        assert [(hop["supervisor"], hop["student"]) for hop in arm["hops"]] == list(pairwise(chain))
        assert [setting["conflict"] for setting in arm["settings"]] == SIX[:-1]
        for setting in arm["settings"]:
            assert setting["performance"]["conflict_accuracy"]["estimate"] is not None
            references = {deception["reference"] for deception in setting["deception"]}
            assert references == ({"ceiling"} if setting["conflict"] == "none" else {"ceiling", "w2s"})
    assert value["ladder"] is None
    assert not half_written(Path("runs/store"))

    trained, labels = manifests("model"), pd.read_parquet("runs/tiny/labels.parquet")
    assert set(labels["p_true"]) <= {0.0, 0.5, 1.0}
    kept = manifests("labels")["direct/hop1 by ceiling/weak · seed 0"]["meta"]
    assert kept["temperature"] != 1.0
    assert kept["kept"] == labels[labels["name"] == "direct/hop1"]["keep"].sum() == trained["direct/none · seed 0"]["meta"]["pairs"]  # fmt: skip  # noqa: E501
    mixed = {trained[f"direct/{name} · seed 0"]["meta"]["pairs"] for name in ("implicit", "placebo")}
    assert mixed == {kept["kept"] + 48}
    assert trained["direct/gold · seed 0"]["meta"]["pairs"] == 40 + 48  # ground truth is not filtered
    steps = {trained[f"direct/{name} · seed 0"]["meta"]["steps"] for name in ("none", "explicit", "implicit")}
    assert len(steps) == 1
    for model in trained.values():
        assert model["meta"].get("reload_difference", 0.0) <= 1e-4

    start, base = weights(study / "large"), weights(trained["base/strong · seed 0"]["folder"])
    for name in ("ceiling/strong · seed 0", "direct/none · seed 0", "bootstrapped/implicit · seed 0"):
        after = weights(trained[name]["folder"])
        assert (after["score.weight"] != base["score.weight"]).any()
        assert all((after[key] == start[key]).all() for key in after if key != "score.weight")

    adapter = trained["ceiling/weak · seed 0"]["folder"]
    assert (adapter / "adapter_model.safetensors").is_file()
    assert not (adapter / "model.safetensors").exists()


@pytest.mark.parametrize("inputs", ["paper", "split"])
def test_other_inputs_matched_compute_and_a_lora_student(study: Path, inputs: str) -> None:
    words = ["tiny.yaml", "seeds=[0]", f"bootstrap.inputs={inputs}", "bootstrap.match_compute=true"]
    words += ["models.strong.lora={r: 2}", "conflict.settings=[none, base]", "models.strong.dtype=float32"]
    succeeded("run", *words)
    assert ", 0 built," in succeeded("run", *words).out
    value, trained = results(), manifests("model")
    assert value["base"] is not None
    assert [len(arm["hops"]) for arm in value["arms"]] == [1, 2]
    assert value["arms"][1]["hops"][0]["accuracy"]["estimate"] is not None
    hop, last = (trained[f"bootstrapped/{name} · seed 0"]["payload"]["parts"][0] for name in ("hop1", "none"))
    assert hop["rows"] != last["rows"]
    if inputs == "paper":
        assert last["rows"] == trained["ceiling/weak · seed 0"]["payload"]["parts"][0]["rows"]
        assert last["labels"] == "stage"
        assert last["truth"] is None
    epochs = [trained[f"{arm}/none · seed 0"]["payload"]["arguments"]["num_train_epochs"] for arm in ("direct", "bootstrapped")]  # fmt: skip  # noqa: E501
    assert epochs[0] > epochs[1] == 1

    scores = pd.read_parquet("runs/tiny/scores.parquet").set_index("id")
    for student in sorted(Path("runs/tiny/students").glob("*-none-*")):
        succeeded("score", student, "target.csv", "--out", "x.jsonl", "--append", "--max-length", 32)
        table = pd.read_json("x.jsonl", lines=True, dtype={"id": str})
        new = table[table["model"] == student.name].set_index("id")
        expected = scores[(scores["model"] == student.name.removesuffix("-seed0").replace("-", "/"))]
        expected = expected[expected["objective"] == "target"]["delta"]
        assert len(new) == 180
        assert (new.loc[expected.index, "delta"] - expected).abs().max() <= 1e-5
    said = "already has scores of 'direct-none-seed0'"
    refused(study, "score", "runs/tiny/students/direct-none-seed0", "target.csv", "--out", "x.jsonl", "--append", said=said)  # fmt: skip  # noqa: E501
    models = ["--weak", "direct-none-seed0", "--ceiling", "bootstrapped-none-seed0", "--student", "direct-none-seed0"]
    succeeded("analyze", "generalization", "x.jsonl", *models, "--resamples", 100, "--json", "out.json")

    (study / "large").rename(study / "moved")
    words = ["score", "runs/tiny/students/direct-none-seed0", "target.csv", "--out", "y.csv"]
    refused(study, *words, said=("direct-none-seed0' is an adapter over", "large', which is neither a folder here"))


def test_a_ladder_of_three(study: Path) -> None:
    succeeded(
        "run", "tiny.yaml", "seeds=[0]", "conflict.settings=[none, explicit]",
        "models={ladder: [small, medium, {path: large}]}",
    )  # fmt: skip
    value = results()
    chains = {arm["name"]: arm["chain"] for arm in value["arms"]}
    assert chains == {
        "direct:small>medium": ["small", "medium"],
        "direct:small>large": ["small", "large"],
        "bootstrapped:small>large": ["small", "medium", "large"],
        "direct:medium>large": ["medium", "large"],
    }
    assert list(value["ceilings"]) == ["small", "medium", "large"]
    points = value["ladder"]["points"]
    assert {(point["weak"], point["strong"], point["arm"], point["conflict"]) for point in points} == {
        (chain[0], chain[-1], name.split(":")[0], conflict)
        for name, chain in chains.items()
        for conflict in ("none", "explicit")
    }
    accuracy = {name: ceiling["accuracy"]["estimate"] for name, ceiling in value["ceilings"].items()}
    for point in points:
        assert point["gap"] == pytest.approx(accuracy[point["strong"]] - accuracy[point["weak"]])
    assert {slope["metric"] for slope in value["ladder"]["slopes"]} == {"pgr", "deception_score", "lift_smooth"}
    assert sum(name.startswith("ceiling") for name in manifests("model")) == 3
    assert (Path("runs/tiny/students/direct-small-large-none-seed0") / "README.md").is_file()


@pytest.mark.usefixtures("study")
def test_a_card_speaks_of_its_own_seed_in_whatever_order_a_recipe_names_them() -> None:
    import yaml

    succeeded("run", "tiny.yaml", "seeds=[3,0]", "conflict.settings=[none]", "arms={direct: [weak, strong]}")
    assert results()["seeds"] == [0, 3]
    scores = pd.read_parquet("runs/tiny/scores.parquet")
    own = scores[(scores["model"] == "direct/none") & (scores["objective"] == results()["objectives"]["target"])]
    right = own.assign(right=own["delta"] > 0).groupby("seed")["right"].mean()
    assert right[0] != right[3]
    for seed in (0, 3):
        card = Path(f"runs/tiny/students/direct-none-seed{seed}/README.md").read_text()
        (result,) = yaml.safe_load(card.split("---\n")[1])["model-index"][0]["results"]
        assert result["metrics"][0]["value"] == pytest.approx(right[seed])
