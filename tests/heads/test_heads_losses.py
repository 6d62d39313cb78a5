"""The named losses against the parity values of six two-class logits, and what each does to gradients."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from w2s_pref.losses.named import harden, loss, mean_loss
from w2s_pref.losses.spec import CONSTANTS, LossSpec

LOGITS = torch.tensor([[1.2, -0.3], [0.1, 0.4], [-0.7, 0.9], [0.5, 0.2], [2.0, -1.0], [-0.2, -0.1]]).double()
MARGIN = LOGITS[:, 1] - LOGITS[:, 0]
WEAK = torch.tensor([0.10, 0.65, 0.80, 0.45, 0.30, 0.55], dtype=torch.float64)
ONES = torch.ones(6, dtype=torch.float64)


def named(name: str, **constants: object) -> LossSpec:
    return LossSpec.model_validate({"name": name, **constants})


def value(name: str, progress: float = 1.0, margin: Tensor = MARGIN, p: Tensor = WEAK, **constants: object) -> float:
    return float(mean_loss(named(name, **constants), margin, p, progress))


@pytest.mark.parametrize("name", ["soft_bce", "xent", "naive"])
def test_xent(name: str) -> None:
    assert value(name) == pytest.approx(0.640335, abs=1e-6)


def test_product() -> None:
    assert value("product") == pytest.approx(0.434025, abs=1e-6)


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.05, 0.633439), (0.2, 0.502418), (0.7, 0.502418), (0.1, None), (0.10001, 0.502418)]
)
def test_openai(progress: float, expected: float | None) -> None:
    """Bug-compatible: up to a tenth of the training the coefficient is s / 2, not s / .1 / 2, and then it jumps."""
    if expected is None:  # 0.1 itself still counts as warm-up: coefficient .05
        p = WEAK * 0.95 + torch.tensor([0.0, 1, 1, 0, 0, 1]) * 0.05
        expected = value("xent", p=p)
    assert value("aux_confidence", progress, mode="openai") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("a_max", "expected"), [(0.5, 0.502418), (0.75, 0.433460)])
def test_aux_confidence(a_max: float, expected: float) -> None:
    spec = named("aux_confidence", a_max=a_max)
    assert harden(spec, MARGIN, WEAK, ONES).tolist() == [0, 1, 1, 0, 0, 1]
    assert value("aux_confidence", a_max=a_max) == pytest.approx(expected, abs=1e-6)
    assert value("aux_confidence", 0.0, a_max=a_max) == value("xent")
    half = WEAK * (1 - a_max / 2) + torch.tensor([0.0, 1, 1, 0, 0, 1]) * a_max / 2
    assert value("aux_confidence", 0.1, a_max=a_max) == pytest.approx(value("xent", p=half), abs=1e-9)


def test_entropy() -> None:
    assert value("entropy", a_max=0.5) == pytest.approx(0.584712, abs=1e-6)


def test_kl() -> None:
    assert value("kl") == pytest.approx(0.063656, abs=1e-6)
    certain = torch.tensor([0.0, 1, 1, 0, 1, 0], dtype=torch.float64)
    assert value("kl", p=certain) == pytest.approx(value("xent", p=certain))  # a certain label has no entropy


def test_two_class_forms_of_torch() -> None:
    """The margin form is the two-class form: torch's own cross-entropy and KL divergence on the logits."""
    two = torch.stack([1 - WEAK, WEAK], dim=1)
    assert value("xent") == pytest.approx(cross_entropy(LOGITS, two).item(), abs=1e-12)
    assert value("kl") == pytest.approx(kl_div(log_softmax(LOGITS, 1), two, reduction="batchmean").item(), abs=1e-12)
    target = softmax(LOGITS, 1) ** 2 * two**0.5
    target = target / target.sum(dim=1, keepdim=True)
    assert value("product", alpha=0.5, beta=2.0) == pytest.approx(cross_entropy(LOGITS, target).item(), abs=1e-12)


def test_product_of_certain_labels() -> None:
    certain = torch.tensor([0.0, 1, 1, 0, 1, 0], dtype=torch.float64)
    assert value("product", p=certain) == pytest.approx(value("xent", p=certain))
    extreme = torch.tensor([-900.0, 900, 0, 1, 1, 1], dtype=torch.float64)
    assert math.isfinite(value("product", margin=extreme, p=certain))


def test_window_by_hand() -> None:
    """Rows at a confidence of ½ + radius or more cost nothing; the mean still runs over all rows."""
    inside = torch.sigmoid(MARGIN.abs()) < 0.65  # margins 1.5, .3, 1.6, .3, 3, .1: three rows are unsure
    assert inside.tolist() == [False, True, False, True, False, True]
    each = loss(named("window", radius=0.15), MARGIN, WEAK, 1.0)
    assert each[~inside].tolist() == [0, 0, 0]
    assert torch.equal(each[inside], loss(LossSpec(), MARGIN, WEAK, 1.0)[inside])
    assert value("window", radius=0.5) == value("xent")


def gradient(name: str, **constants: object) -> Tensor:
    margin = MARGIN.clone().requires_grad_()
    mean_loss(named(name, **constants), margin, WEAK, 1.0).backward()
    assert margin.grad is not None
    return margin.grad * 6


def test_gradients_by_hand() -> None:
    """Of a loss with a fixed target t the gradient is f - t; entropy's own prediction is no fixed target."""
    f = torch.sigmoid(MARGIN)
    assert torch.allclose(gradient("xent"), f - WEAK)
    assert torch.allclose(gradient("kl"), f - WEAK)
    product = f * WEAK / (f * WEAK + (1 - f) * (1 - WEAK))
    assert torch.allclose(gradient("product"), f - product)
    hard = torch.tensor([0.0, 1, 1, 0, 0, 1])
    assert torch.allclose(gradient("aux_confidence", a_max=0.75), f - 0.25 * WEAK - 0.75 * hard)
    # d/dm of the entropy of sigmoid(m) is -m f (1 - f): descent makes every margin larger
    assert torch.allclose(gradient("entropy", a_max=0.5), 0.5 * (f - WEAK) - 0.5 * MARGIN * f * (1 - f))
    assert torch.allclose(gradient("window"), (f - WEAK) * (torch.sigmoid(MARGIN.abs()) < 0.65))


@pytest.mark.parametrize("mode", ["paper", "openai"])
@pytest.mark.parametrize("prior", ["half", "mean"])
def test_many_batches_at_once_are_hardened_one_by_one(mode: str, prior: str) -> None:
    spec = named("aux_confidence", mode=mode, prior=prior)
    draw = torch.Generator().manual_seed(1)
    margin, p = torch.randn(7, 10, generator=draw).double(), torch.rand(7, 10, generator=draw).double()
    weight = torch.ones(7, 10).double()
    weight[2, 7:] = 0
    margin[3] = 0.0
    together = harden(spec, margin, p, weight)
    for row in range(7):
        assert torch.equal(together[row], harden(spec, margin[row], p[row], weight[row]))
    assert together[2, 7:].sum() == 0
    assert torch.equal(together[2, :7], harden(spec, margin[2, :7], p[2, :7], weight[2, :7]))


def test_openai_hardening_is_its_quantile() -> None:
    """1 where P(class 0) is under the quantile of P(class 0) at the mean label; ties are all 0, so counts can miss."""
    spec = named("aux_confidence", mode="openai")
    assert harden(spec, MARGIN, WEAK, ONES).tolist() == [0, 1, 1, 0, 0, 1]
    assert harden(spec, torch.zeros(6), WEAK, ONES).tolist() == [0] * 6
    few = torch.full((6,), 0.1, dtype=torch.float64)
    p0 = torch.sigmoid(-MARGIN)
    expected = (p0 < torch.quantile(p0, 0.1)).double()
    assert torch.equal(harden(spec, MARGIN, few, ONES), expected)


def test_only_the_confidence_loss_needs_the_whole_batch() -> None:
    assert [name for name in CONSTANTS if named(name).ranks] == ["aux_confidence"]
    with pytest.raises(ValueError, match="hardened"):
        loss(named("aux_confidence"), MARGIN, WEAK, 1.0)
    assert not named("aux_confidence", a_max=0.0).ranks


@pytest.mark.parametrize(
    ("name", "constants", "sentence"),
    [
        ("produkt", {}, "'product'"),
        ("product", {"alpha": 0.0}, "alpha"),
        ("window", {"radius": 0.6}, "radius"),
        ("aux_confidence", {"a_max": 1.5}, "a_max"),
        ("aux_confidence", {"mode": "openal"}, "openai"),
    ],
)
def test_bad_input(name: str, constants: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        named(name, **constants)


def test_what_a_loss_reads() -> None:
    """Constants of other losses are in no key."""
    assert named("naive").read() == {}
    assert named("product", radius=0.3).read() == {"name": "product", "alpha": 1.0, "beta": 1.0}
    assert {name for names in CONSTANTS.values() for name in names} | {"name", "options"} == set(LossSpec.model_fields)
