"""Probes: equal to torch's own training of a two-output head, equal alone and in company, early stopping."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from w2s_pref.core.errors import W2SError
from w2s_pref.losses.named import mean_loss
from w2s_pref.losses.spec import CONSTANTS, LossSpec
from w2s_pref.training.probes import (
    ProbeFit,
    ProbeJob,
    ProbeSettings,
    Said,
    Validation,
    fit_probes,
    load_probes,
    probe_margins,
    save_probes,
)


def data(n: int = 300, d: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, soft weak labels, truth: one direction decides, the supervisor sees it through noise."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(n, d)).astype(np.float32) * 3 + 1
    signal = (features[:, 0] - 1) / 3
    truth = (signal > 0).astype(int)
    return features, 1 / (1 + np.exp(-2 * signal - draw.normal(size=n) * 1.5)), truth


def named(name: str, **constants: object) -> LossSpec:
    return LossSpec.model_validate({"name": name, **constants})


def fit_probe(
    features: np.ndarray,
    p: np.ndarray,
    loss: LossSpec | None = None,
    seed: int = 0,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    settings: ProbeSettings | None = None,
) -> ProbeFit:
    """One probe. ``validation``: activations and weak labels of other items."""
    job = ProbeJob(p, loss or LossSpec(), seed, validation_p=None if validation is None else validation[1])
    return fit_probes(features, [job], settings, None if validation is None else Validation(validation[0]))[0]


@pytest.mark.parametrize("name", CONSTANTS)
def test_equals_adam_on_a_two_output_head(name: str) -> None:
    """The same steps as torch.optim.Adam on nn.Linear(d, 2) from zeros; the last batch is a short one."""
    features, p, _ = data(n=70)
    spec, settings = named(name), ProbeSettings(epochs=3, batch_size=16, learning_rate=1e-2, standardise=False)
    ours = fit_probe(features, p, spec, 5, settings=settings).probes["final"]
    head = torch.nn.Linear(12, 2, dtype=torch.float64)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    adam = torch.optim.Adam(head.parameters(), lr=1e-2)
    draw, step = torch.Generator().manual_seed(5), 0
    x, y = torch.from_numpy(features).double(), torch.from_numpy(p)
    for _ in range(3):
        for rows in torch.randperm(70, generator=draw).split(16):
            z = head(x[rows])
            adam.zero_grad()
            mean_loss(spec, z[:, 1] - z[:, 0], y[rows], step / 15).backward()
            adam.step()
            step += 1
    assert np.abs((head.weight[1] - head.weight[0]).detach().numpy() - ours.weight).max() < 1e-9
    assert (head.bias[1] - head.bias[0]).item() == pytest.approx(ours.bias, abs=1e-9)


def company() -> list[ProbeJob]:
    """Every loss, two label sets, two seeds, some with fewer items."""
    jobs = []
    for number, (name, seed, which) in enumerate(product(CONSTANTS, (0, 1), (0, 1))):
        _, p, truth = data(seed=0)
        draw = np.random.default_rng(number)
        labels = p if which == 0 else np.where(draw.random(300) < 0.2, 1 - truth, truth).astype(float)
        keep = draw.random(300) < 0.4 if number % 3 == 0 else None
        jobs.append(ProbeJob(labels, named(name), seed, keep, data(n=60, seed=7)[1]))
    return jobs


def test_company_changes_nothing() -> None:
    features, _, _ = data()
    validation = Validation(data(n=60, seed=7)[0], data(n=60, seed=7)[2])
    settings = ProbeSettings(epochs=30, batch_size=32, learning_rate=1e-2, patience=4)
    jobs = company()
    together = fit_probes(features, jobs, settings, validation)
    assert len({fit.epochs for fit in together}) > 3, "they should stop at different epochs, or this tests nothing"
    for job, fit in zip(jobs, together, strict=True):
        (alone,) = fit_probes(features, [job], settings, validation)
        assert alone.epochs == fit.epochs
        assert alone.curve == fit.curve
        for name, probe in alone.probes.items():
            assert np.abs(probe.weight - fit.probes[name].weight).max() < 1e-6
            assert probe.bias == pytest.approx(fit.probes[name].bias, abs=1e-6)
            assert probe.epoch == fit.probes[name].epoch


def test_early_stopping_by_hand() -> None:
    """The curve names the best epoch, the best probe reproduces its agreement, and training ends patience later."""
    features, p, _ = data()
    held, weak, truth = data(n=60, seed=7)
    settings = ProbeSettings(epochs=60, batch_size=32, learning_rate=1e-2, patience=5)
    (fit,) = fit_probes(features, [ProbeJob(p, validation_p=weak)], settings, Validation(held, truth))
    agreement = [point["weak_agreement"] for point in fit.curve]
    best = int(np.argmax(agreement)) + 1
    assert fit.probes["best_weak"].epoch == best
    assert fit.epochs == best + 5 < 60
    assert fit.probes["final"].epoch == fit.epochs == len(agreement)
    chosen = (probe_margins(fit.probes["best_weak"], held) > 0) == (weak >= 0.5)
    assert chosen.mean() == pytest.approx(max(agreement))
    accuracy = [point["truth_accuracy"] for point in fit.curve]
    assert ((probe_margins(fit.probes["best_truth"], held) > 0) == truth).mean() == pytest.approx(max(accuracy))


def test_the_truth_changes_nothing_but_the_oracles_pick() -> None:
    features, p, _ = data()
    held, weak, truth = data(n=60, seed=7)
    job = ProbeJob(p, named("aux_confidence"), validation_p=weak)
    settings = ProbeSettings(epochs=20, patience=3)
    fits = [fit_probes(features, [job], settings, Validation(held, known))[0] for known in (None, truth, 1 - truth)]
    for fit in fits[1:]:
        for name in ("final", "best_weak"):
            assert np.array_equal(fit.probes[name].weight, fits[0].probes[name].weight)
    assert "best_truth" not in fits[0].probes
    assert not np.array_equal(fits[1].probes["best_truth"].weight, fits[2].probes["best_truth"].weight)


def test_evaluation_changes_no_weights() -> None:
    features, p, _ = data()
    held, weak, _ = data(n=60, seed=7)
    settings = ProbeSettings(epochs=10, patience=None)
    watched = fit_probe(features, p, named("aux_confidence"), 3, (held, weak), settings)
    alone = fit_probe(features, p, named("aux_confidence"), 3, None, settings)
    assert np.array_equal(watched.probes["final"].weight, alone.probes["final"].weight)
    assert alone.epochs == watched.epochs == 10
    assert set(alone.probes) == {"final"}


def test_it_learns_and_the_seed_matters() -> None:
    features, p, _ = data(n=600)
    held, _, truth = data(n=400, seed=9)
    fits = [fit_probe(features, p, seed=seed, settings=ProbeSettings(epochs=150)) for seed in (0, 0, 1)]
    weights = [fit.probes["final"].weight for fit in fits]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    assert ((probe_margins(fits[0].probes["final"], held) > 0) == truth).mean() > 0.9


def test_kept_items_are_all_that_counts() -> None:
    """Labels of items that are not kept may be anything."""
    features, p, _ = data()
    keep = np.arange(300) % 2 == 0
    settings = ProbeSettings(epochs=5)
    other = np.where(keep, p, 1 - p)
    fits = fit_probes(features, [ProbeJob(p, keep=keep), ProbeJob(other, keep=keep), ProbeJob(other)], settings)
    weights = [fit.probes["final"].weight for fit in fits]
    assert np.abs(weights[0] - weights[1]).max() < 1e-12
    assert np.abs(weights[0] - weights[2]).max() > 1e-3


def test_standardising_is_recorded() -> None:
    features, p, _ = data()
    features[:, 5] = 2.0  # a feature that never changes
    settings = ProbeSettings(epochs=5)
    shifted = fit_probe(features * 7 + 2, p, settings=settings).probes["final"]
    plain = fit_probe(features, p, settings=settings).probes["final"]
    assert np.allclose(probe_margins(shifted, features * 7 + 2), probe_margins(plain, features), atol=1e-4)
    assert plain.scale[5] == 1.0


def test_saved_and_loaded(tmp_path: Path) -> None:
    features, p, _ = data()
    held, weak, _ = data(n=60, seed=7)
    fit: ProbeFit = fit_probe(features, p, validation=(held, weak), settings=ProbeSettings(epochs=8))
    save_probes(fit.probes, tmp_path / "probe")
    loaded = load_probes(tmp_path / "probe")
    assert set(loaded) == {"final", "best_weak"}
    for name, probe in loaded.items():
        assert np.array_equal(probe_margins(probe, held), probe_margins(fit.probes[name], held))
        assert probe.epoch == fit.probes[name].epoch
    with pytest.raises(W2SError, match="no saved probes"):
        load_probes(tmp_path)


def test_bad_input() -> None:
    features, p, _ = data()
    with pytest.raises(W2SError, match="probabilities"):
        fit_probe(features, p * 2)
    with pytest.raises(W2SError, match="299 labels"):
        fit_probe(features, p[1:])
    with pytest.raises(W2SError, match="0 kept items"):
        fit_probes(features, [ProbeJob(p, keep=np.zeros(300, dtype=bool))])
    with pytest.raises(W2SError, match="finite"):
        fit_probe(features * np.inf, p)
    with pytest.raises(W2SError, match="equally many"):
        fit_probe(features, p, validation=(features, p[1:]))
    probe = fit_probe(features, p, settings=ProbeSettings(epochs=1)).probes["final"]
    with pytest.raises(W2SError, match="reads 12 features"):
        probe_margins(probe, features[:, 1:])


def supervised(labels: np.ndarray, rate: float, easy: float = 0.0, seed: int = 0) -> ProbeJob:
    return ProbeJob(labels.mean(axis=0), seed=seed, said=Said(labels, rate, easy))


def test_equal_weights_over_supervisors_are_their_mean_to_the_last_bit() -> None:
    """RAVEN with rate 0, three supervisors, beside the same probe on their mean probability."""
    draw = np.random.default_rng(0)
    features, labels = draw.normal(size=(60, 5)), draw.random((3, 60))
    settings = ProbeSettings(epochs=7, batch_size=16, patience=None)
    learned, plain = fit_probes(features, [supervised(labels, 0.0), ProbeJob(torch_mean(labels))], settings)
    np.testing.assert_array_equal(learned.probes["final"].weight, plain.probes["final"].weight)
    assert learned.supervisor_weights == [[1 / 3] * 3] * 7
    assert plain.supervisor_weights == []


def torch_mean(labels: np.ndarray) -> np.ndarray:
    return torch.from_numpy(labels).mean(dim=0).numpy()


def test_weights_over_supervisors_follow_the_gradient_on_the_simplex() -> None:
    """Two batches by hand: label p·w, loss mean of softplus(m) - p m, so dL/dw_s = -mean(p_s m), m = 0 first.

    From zeros the first step moves the probe only; in the second batch the weights move to clamp(w - rate grad) / sum.
    """
    draw = np.random.default_rng(1)
    features, labels = draw.normal(size=(32, 3)), draw.random((2, 32))
    settings = ProbeSettings(epochs=1, batch_size=16, patience=None)
    (found,) = fit_probes(features, [supervised(labels, 5.0)], settings)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0)).numpy()
    first, second = order[:16], order[16:]
    table = np.c_[(features - features.mean(axis=0)) / features.std(axis=0), np.ones(32)]
    slope = ((0.5 - labels.mean(axis=0))[first, None] * table[first]).mean(axis=0)
    probe = -2 * settings.learning_rate * slope / (np.abs(slope) + 1e-8)
    margins = table[second] @ probe
    moved = np.maximum(0.5 + 5.0 * (labels[:, second] * margins).mean(axis=1), 1e-6)
    np.testing.assert_allclose(found.supervisor_weights, [moved / moved.sum()], rtol=1e-9)


def test_first_only_what_all_supervisors_agree_on_counts() -> None:
    """With ``easy: 1`` a probe is trained as if the others were not there, and its weights stay equal."""
    draw = np.random.default_rng(2)
    features, labels = draw.normal(size=(40, 3)), draw.random((2, 40))
    same = (labels > 0.5).all(axis=0) | ~(labels > 0.5).any(axis=0)
    other = np.where(same, labels, np.array([[0.9], [0.1]]))
    settings = ProbeSettings(epochs=5, batch_size=40, patience=None)
    one, two = fit_probes(features, [supervised(labels, 1.0, 1.0), supervised(other, 1.0, 1.0)], settings)
    np.testing.assert_array_equal(one.probes["final"].weight, two.probes["final"].weight)
    assert one.supervisor_weights == [[0.5, 0.5]] * 5


def test_learned_weights_stay_on_the_simplex_and_come_out_as_alone() -> None:
    draw = np.random.default_rng(3)
    features, labels = draw.normal(size=(50, 4)), draw.random((3, 50))
    settings = ProbeSettings(epochs=6, batch_size=16, patience=None, learning_rate=0.1)
    jobs = [supervised(labels, 3.0, 0.2), ProbeJob(labels[0]), supervised(labels[:2], 1.0, 0.0, seed=1)]
    together = fit_probes(features, jobs, settings)
    for job, fit in zip(jobs, together, strict=True):
        (alone,) = fit_probes(features, [job], settings)
        np.testing.assert_allclose(alone.probes["final"].weight, fit.probes["final"].weight, rtol=1e-9)
        np.testing.assert_allclose(alone.supervisor_weights, fit.supervisor_weights, rtol=1e-9)
    weights = np.array(together[0].supervisor_weights)
    assert weights.shape == (6, 3)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights > 0).all()
    assert not np.allclose(weights[-1], 1 / 3)
