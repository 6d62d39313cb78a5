"""Weights of an ONNX graph get the names back that export takes from them (scripts/convert_models.py)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from script_helpers import load_script


def node(kind: str, inputs: list[str], output: str) -> SimpleNamespace:
    return SimpleNamespace(op_type=kind, input=inputs, output=[output])


def test_a_matrix_is_named_by_the_bias_that_is_added_to_its_product() -> None:
    values = {
        "norm.weight": np.ones(3),
        "query.bias": np.zeros(2),
        "dense.bias": np.zeros(3),
        "onnx::MatMul_1": np.arange(6.0).reshape(3, 2),
        "onnx::MatMul_2": np.arange(6.0).reshape(2, 3),
    }
    nodes = [
        node("MatMul", ["x", "onnx::MatMul_1"], "a"),
        node("Add", ["query.bias", "a"], "b"),
        node("MatMul", ["b", "b"], "c"),  # of attention: no weights in it
        node("MatMul", ["c", "onnx::MatMul_2"], "d"),
        node("Add", ["d", "dense.bias"], "e"),
        node("Add", ["e", "x"], "f"),
    ]
    found = load_script("scripts/convert_models").named(nodes, values)
    assert set(found) == {"norm.weight", "query.bias", "dense.bias", "query.weight", "dense.weight"}
    np.testing.assert_array_equal(found["query.weight"], values["onnx::MatMul_1"].T)
    np.testing.assert_array_equal(found["dense.weight"], values["onnx::MatMul_2"].T)


def test_every_package_has_a_version_and_a_hash() -> None:
    for name, source in load_script("scripts/convert_models").MODELS.items():
        assert source.packages, name
        assert all(len(sha) == 64 and version[0].isdigit() for _, version, sha in source.packages)
