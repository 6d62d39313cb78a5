"""A linear probe: one direction in the activations of a frozen model, its bias, and what it was trained with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from w2s_pref.core.errors import W2SError

TENSORS, FACTS = "probes.safetensors", "probes.json"


@dataclass(frozen=True)
class Probe:
    """A two-output linear head, kept as the difference of its outputs: margin = z1 - z0.

    Started from zeros, the two columns of such a head stay mirror images of each other, so the difference is all.

    Attributes:
        weight: (d,), on standardised features where ``scale`` is not 1.
        bias: added to the margin.
        center, scale: (d,), what the features are shifted and divided by.
        selection: ``final``, ``best_weak`` (agreement with weak validation labels) or ``best_truth`` (an oracle).
        epoch: after which epoch, from 1, these weights stood.
    """

    weight: np.ndarray
    bias: float
    center: np.ndarray
    scale: np.ndarray
    selection: str
    epoch: int


def probe_margins(probe: Probe, features: np.ndarray) -> np.ndarray:
    """Margins z1 - z0, shape (n,), float64.

    Raises:
        W2SError: features of another width.
    """
    if features.shape[1] != len(probe.weight):
        raise W2SError(
            f"the probe reads {len(probe.weight)} features, but these items have {features.shape[1]}; "
            "use activations of the model it was trained on"
        )
    margins: np.ndarray = ((features - probe.center) / probe.scale) @ probe.weight + probe.bias
    return margins


def save_probes(probes: dict[str, Probe], folder: Path) -> None:
    """Save the probes of one training by selection."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, np.ndarray] = {}
    said: dict[str, dict[str, Any]] = {}
    for name, probe in probes.items():
        tensors |= {
            f"{name}.{part}": np.ascontiguousarray(getattr(probe, part)) for part in ("weight", "center", "scale")
        }
        said[name] = {"bias": probe.bias, "epoch": probe.epoch}
    save_file(tensors, folder / TENSORS)
    (folder / FACTS).write_text(json.dumps({"probes": said}, indent=1), encoding="utf-8")


def load_probes(folder: Path) -> dict[str, Probe]:
    """Probes that ``save_probes`` wrote, by selection.

    Raises:
        W2SError: the folder holds none.
    """
    if not (folder / TENSORS).is_file() or not (folder / FACTS).is_file():
        raise W2SError(f"{folder} holds no saved probes ({TENSORS}, {FACTS}); train them again")
    tensors = load_file(folder / TENSORS)
    said = json.loads((folder / FACTS).read_text(encoding="utf-8"))["probes"]
    probes = {}
    for name, fact in said.items():
        weight, center, scale = (tensors[f"{name}.{part}"] for part in ("weight", "center", "scale"))
        probes[name] = Probe(weight, fact["bias"], center, scale, name, fact["epoch"])
    return probes
