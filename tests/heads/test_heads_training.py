"""Fitting classifiers: every loss as worked out, equal under accumulation, watched without a trace, resumed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import save_tiny
from float64 import EXACT
from heads_helpers import make_items, save_encoder

from w2s_pref.data.tokens import item_ids
from w2s_pref.labels.make import agreement
from w2s_pref.losses.named import mean_loss
from w2s_pref.losses.spec import CONSTANTS, LossSpec
from w2s_pref.models.classifier import load_classifier, margins, score_items
from w2s_pref.models.load import load_saved
from w2s_pref.models.spec import ModelSpec
from w2s_pref.training import callbacks
from w2s_pref.training.arguments import merged
from w2s_pref.training.classify import ClassifyJob, fit_classifier
from w2s_pref.training.methods import SUPERVISOR
from w2s_pref.training.raven import SupervisorWeights
from w2s_pref.training.selection import POINT, Selection, ValidationItems

ARGUMENTS = {"learning_rate": 5.0e-3, "save_steps": 100, "logging_steps": 1, "batch_size": 8, "num_train_epochs": 1}
OPENAI = {"name": "aux_confidence", "mode": "openai"}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("decoder"))


def weak(n: int, seed: int) -> np.ndarray:
    """Labels of a supervisor that is right four times in five."""
    draw, truth = np.random.default_rng(seed), np.arange(n) % 2
    return np.where(draw.random(n) < 0.8, truth, 1 - truth) * 0.8 + 0.1


def load(folder: Path, head: str = "normal", **more: Any) -> tuple[Any, Any]:
    model, tokenizer = load_classifier(ModelSpec(path=str(folder), **more), Path(), 0, head)  # type: ignore[arg-type]
    return model.to(torch.get_default_dtype()), tokenizer


def job(
    tokenizer: Any, n: int = 64, loss: dict[str, Any] | None = None, watched: bool = False, **more: Any
) -> ClassifyJob:
    arguments = merged(ARGUMENTS, {name: more.pop(name) for name in list(more) if name not in {"lora", "base_path", "progress", "patience", "truth"}})  # fmt: skip  # noqa: E501
    patience, truth = more.pop("patience", None), more.pop("truth", np.arange(24) % 2)
    held = ids(tokenizer, 24, 9)
    validation = ValidationItems(held, weak(24, 9), truth, patience=patience) if watched else None
    spec = LossSpec.model_validate(loss or {})
    return ClassifyJob(ids(tokenizer, n, 1), weak(n, 1), spec, validation, arguments=arguments, seed=3, **more)


def ids(tokenizer: Any, n: int, seed: int) -> list[tuple[int, ...]]:
    return [tuple(each) for each in item_ids(make_items(n, seed)["prompt"].tolist(), tokenizer, 64)]


def weights(model: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def train(folder: Path, source: Path, work: ClassifyJob) -> tuple[torch.Tensor, dict[str, Any]]:
    model, tokenizer = load(source)
    done = fit_classifier(model, tokenizer, work, folder / "work", folder / "saved")
    return weights(model), done


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("loss", [*({"name": name} for name in CONSTANTS), OPENAI], ids=[*CONSTANTS, "openai"])
def test_the_first_loss_by_hand(tmp_path: Path, decoder: Path, loss: dict[str, Any]) -> None:
    """One batch of all items: the loss that is logged is the named one on margins z1 - z0."""
    model, tokenizer = load(decoder)
    loss = {**loss, "warmup": 0.0} if loss["name"] in {"aux_confidence", "entropy"} else loss
    work = job(tokenizer, 8, loss)
    margin = torch.from_numpy(margins(model, work.ids, tokenizer.pad_token_id))
    expected = mean_loss(work.loss, margin, torch.from_numpy(np.asarray(work.p)), 0.0).item()
    history = fit_classifier(model, tokenizer, work, tmp_path / "work", tmp_path / "saved")["history"]
    assert history[0]["loss"] == pytest.approx(expected, abs=EXACT)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("loss", [*({"name": name} for name in CONSTANTS), OPENAI], ids=[*CONSTANTS, "openai"])
def test_micro_batches_change_nothing(tmp_path: Path, decoder: Path, loss: dict[str, Any]) -> None:
    """Also where the items are no multiple of the batch."""
    tokenizer = load(decoder)[1]
    both = [
        train(tmp_path / str(size), decoder, job(tokenizer, 13, loss, optim="sgd", per_device_train_batch_size=size))
        for size in (8, 2)
    ]
    losses = [[entry["loss"] for entry in done["history"]] for _, done in both]
    assert len(losses[0]) == 2
    assert losses[0] == pytest.approx(losses[1], abs=EXACT)
    assert (both[0][0] - both[1][0]).abs().max() <= EXACT


def test_weights_over_supervisors_that_do_not_move_are_the_mean_of_their_labels(tmp_path: Path, decoder: Path) -> None:
    """To the bit, with quarters as labels; the column that they replace is not read."""
    tokenizer = load(decoder)[1]
    first, second = (np.where(weak(24, seed) > 0.5, 0.75, 0.25) for seed in (1, 2))
    said = {f"{SUPERVISOR}0": first.tolist(), f"{SUPERVISOR}1": second.tolist()}
    plain = replace(job(tokenizer, 24), p=((first + second) / 2).tolist())
    learned = replace(plain, p=[0.0] * 24, said=said, raven=SupervisorWeights(2, 0.0, 0.0))
    assert torch.equal(train(tmp_path / "plain", decoder, plain)[0], train(tmp_path / "raven", decoder, learned)[0])
    assert learned.raven is not None
    assert learned.raven.epochs == [[0.5, 0.5]]


def test_watching_leaves_no_trace(tmp_path: Path, decoder: Path) -> None:
    """The same weights to the bit, with the confidence loss too; twenty points an epoch; the truth picks its own."""
    tokenizer = load(decoder)[1]
    loss = {"name": "aux_confidence"}
    alone, silent = train(tmp_path / "alone", decoder, job(tokenizer, 176, loss))
    watched, seen = train(tmp_path / "watched", decoder, job(tokenizer, 176, loss, watched=True))
    other, known = train(
        tmp_path / "other", decoder, job(tokenizer, 176, loss, watched=True, truth=1 - np.arange(24) % 2)
    )
    assert torch.equal(alone, watched)
    assert torch.equal(alone, other)
    assert silent["curve"] == []
    assert len(seen["curve"]) >= 20
    assert seen["curve"][-1]["step"] == seen["steps"] == 22
    assert seen["picked"]["best_weak"] == known["picked"]["best_weak"]
    assert [point["weak_agreement"] for point in seen["curve"]] == [point["weak_agreement"] for point in known["curve"]]
    first, second = ([point["truth_accuracy"] for point in done["curve"]] for done in (seen, known))
    assert np.allclose(np.add(first, second), 1.0)
    assert sorted(path.name for path in (tmp_path / "watched/saved").iterdir()) == ["best_truth", "best_weak", "final"]
    assert [path.name for path in (tmp_path / "alone/saved").iterdir()] == ["final"]


@pytest.mark.parametrize("kind", ["full", "lora", "encoder"])
def test_it_learns_and_the_picks_are_what_the_curve_says(tmp_path: Path, decoder: Path, kind: str) -> None:
    source = save_encoder(tmp_path / "encoder") if kind == "encoder" else decoder
    lora = {"r": 8, "lora_alpha": 32, "target_modules": "all-linear"} if kind == "lora" else None
    model, tokenizer = load(source, "zeros")
    epochs = 3 if kind == "full" else 1
    work = job(
        tokenizer, 240, watched=True, num_train_epochs=epochs, lora=lora, base_path=str(source), learning_rate=2e-2
    )
    done = fit_classifier(model, tokenizer, work, tmp_path / "work", tmp_path / "saved")
    assert work.validation is not None
    targets = {"best_weak": ("weak_agreement", work.validation.p), "best_truth": ("truth_accuracy", np.arange(24) % 2)}
    for name, (measure, target) in targets.items():
        values = {int(point["step"]): point[measure] for point in done["curve"]}
        step = next(step for step, value in values.items() if value == max(values.values()))
        assert done["picked"][name] == step
        loaded, again = load_saved(tmp_path / "saved" / name, outputs=2)
        found = margins(loaded, list(work.validation.ids), again.pad_token_id)
        assert agreement(found, np.asarray(target)) == pytest.approx(values[step])
    if kind == "full":
        final, again = load_saved(tmp_path / "saved" / "final", outputs=2)
        scores = score_items(final, again, make_items(60, seed=5))
        assert agreement((scores["score_a"] - scores["score_b"]).to_numpy(), np.arange(60) % 2) > 0.7
    assert done["picked"]["final"] == done["steps"] == 30 * epochs
    assert not list((tmp_path / "saved").rglob("point.json"))


def test_patience_ends_it(tmp_path: Path, decoder: Path) -> None:
    tokenizer = load(decoder)[1]
    _, done = train(tmp_path, decoder, job(tokenizer, 400, watched=True, patience=3, learning_rate=1.0e-6))
    seen = [point["weak_agreement"] for point in done["curve"]]
    assert len(seen) - 1 - seen.index(max(seen)) == 3
    assert done["steps"] == done["curve"][-1]["step"] < 50
    assert done["picked"]["final"] == done["steps"]


class Interrupted(Exception):
    pass


def test_resumed_is_undisturbed(tmp_path: Path, decoder: Path) -> None:
    tokenizer = load(decoder)[1]
    settings: dict[str, Any] = {"watched": True, "save_steps": 4, "loss": OPENAI}
    whole, undisturbed = train(tmp_path / "whole", decoder, job(tokenizer, 176, **settings))

    def stop(step: int, steps: int) -> None:
        if step == 14:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(tmp_path / "cut", decoder, job(tokenizer, 176, progress=stop, **settings))
    curve = tmp_path / "cut/work/selection/curve.json"
    assert curve.is_file()
    steps: list[int] = []
    again, resumed = train(
        tmp_path / "cut", decoder, job(tokenizer, 176, progress=lambda step, _: steps.append(step), **settings)
    )
    assert steps[0] == 13
    assert torch.equal(whole, again)
    assert resumed["curve"] == undisturbed["curve"]
    assert resumed["picked"] == undisturbed["picked"]
    for name in ("best_weak", "best_truth", "final"):
        kept = [weights(load_saved(tmp_path / place / "saved" / name, outputs=2)[0]) for place in ("whole", "cut")]
        assert torch.equal(*kept)


def test_killed_after_the_last_step_is_undisturbed(tmp_path: Path, decoder: Path) -> None:
    """The stage's folder is gone with its process, the work folder is not: the picked models are still in there."""
    tokenizer = load(decoder)[1]
    whole, undisturbed = train(tmp_path, decoder, job(tokenizer, 176, watched=True))
    kept = {name: weights(load_saved(tmp_path / "saved" / name, outputs=2)[0]) for name in undisturbed["picked"]}
    shutil.rmtree(tmp_path / "saved")
    again, resumed = train(tmp_path, decoder, job(tokenizer, 176, watched=True))
    assert torch.equal(whole, again)
    assert resumed["picked"] == undisturbed["picked"]
    for name, model in kept.items():
        assert torch.equal(model, weights(load_saved(tmp_path / "saved" / name, outputs=2)[0]))


@pytest.mark.parametrize("early", [{"patience": 3}, {"max_steps": 5}], ids=["patience", "steps"])
def test_what_ended_within_an_epoch_trains_no_step_more(tmp_path: Path, decoder: Path, early: dict[str, int]) -> None:
    """From the checkpoint of its last step; the rate is constant, so a step more would show."""
    tokenizer = load(decoder)[1]
    settings: dict[str, Any] = {"watched": True, "save_steps": 1, "lr_scheduler_type": "constant", **early}
    whole, undisturbed = train(tmp_path, decoder, job(tokenizer, 400, **settings))
    assert undisturbed["steps"] < 50
    shutil.rmtree(tmp_path / "saved")
    steps: list[int] = []
    again, resumed = train(
        tmp_path, decoder, job(tokenizer, 400, progress=lambda step, _: steps.append(step), **settings)
    )
    assert steps == []
    assert torch.equal(whole, again)
    assert resumed == undisturbed


@pytest.mark.parametrize("end", [{}, {"max_steps": 6}], ids=["epochs", "steps"])
@pytest.mark.parametrize("stopped", [None, 6], ids=["at the end", "early on"])
def test_weights_over_supervisors_go_on(
    tmp_path: Path, decoder: Path, end: dict[str, int], stopped: int | None
) -> None:
    """Four steps an epoch, two epochs, a checkpoint at the end of the first: the weights begin anew behind it."""
    tokenizer = load(decoder)[1]
    draw = np.random.default_rng(0)
    said = {f"{SUPERVISOR}{number}": draw.random(32).tolist() for number in range(2)}

    def told(progress: Any = None) -> ClassifyJob:
        plain = job(tokenizer, 32, progress=progress, num_train_epochs=2, save_steps=4, **end)
        return replace(plain, said=said, raven=SupervisorWeights(2, 5.0, 0.0))

    def stop(step: int, steps: int) -> None:
        if step == stopped:
            raise Interrupted

    undisturbed, resumed = told(), told()
    whole, _ = train(tmp_path / "whole", decoder, undisturbed)
    if stopped is None:
        train(tmp_path / "cut", decoder, told())
    else:
        with pytest.raises(Interrupted):
            train(tmp_path / "cut", decoder, told(stop))
    again, _ = train(tmp_path / "cut", decoder, resumed)
    assert torch.equal(whole, again)
    assert undisturbed.raven is not None
    assert resumed.raven is not None
    assert resumed.raven.epochs == undisturbed.raven.epochs
    assert len(resumed.raven.epochs) == 2


def test_a_curve_that_was_torn_is_the_one_before(
    tmp_path: Path, decoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of writing it: patience goes on counting where it was."""
    tokenizer, write, written = load(decoder)[1], Path.write_text, []
    settings: dict[str, Any] = {"watched": True, "save_steps": 1, "patience": 3, "learning_rate": 1.0e-6}
    _, undisturbed = train(tmp_path / "whole", decoder, job(tokenizer, 400, **settings))

    def half(path: Path, text: str, *given: Any, **more: Any) -> int:
        if "curve.json" in path.name:
            written.append(path)
            if len(written) == len(undisturbed["curve"]) - 1:
                write(path, text[: len(text) // 2], *given, **more)
                raise Interrupted
        return write(path, text, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", half)
        with pytest.raises(Interrupted):
            train(tmp_path / "cut", decoder, job(tokenizer, 400, **settings))
    _, resumed = train(tmp_path / "cut", decoder, job(tokenizer, 400, **settings))
    assert resumed["curve"] == undisturbed["curve"]
    assert resumed["picked"] == undisturbed["picked"]


def test_one_checkpoint_to_keep_is_two_until_the_newer_one_is_sealed(
    tmp_path: Path, decoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, seal = load(decoder)[1], callbacks.seal

    def die(folder: Path) -> None:
        if folder.name == "checkpoint-8":
            raise Interrupted
        seal(folder)

    settings: dict[str, Any] = {"save_steps": 4, "save_total_limit": 1}
    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "seal", die)
        with pytest.raises(Interrupted):
            train(tmp_path, decoder, job(tokenizer, 176, **settings))
    steps: list[int] = []
    train(tmp_path, decoder, job(tokenizer, 176, progress=lambda step, _: steps.append(step), **settings))
    assert steps[0] == 5


def test_what_is_put_in_the_final_models_place_stays_for_the_next_try(tmp_path: Path) -> None:
    selection = Selection(ValidationItems(((1,),), (0.5,)), 1, tmp_path / "work", None)
    point = {"step": 3.0, "weak_agreement": 0.5}
    for name, text in {"model.safetensors": "weights", POINT: json.dumps(point)}.items():
        (tmp_path / "work/best_weak").mkdir(parents=True, exist_ok=True)
        (tmp_path / "work/best_weak" / name).write_text(text, encoding="utf-8")
    selection.kept["best_weak"] = point
    for folder in ("killed", "again"):
        assert selection.restore(tmp_path / folder)["selection"]["step"] == 3
        assert [file.name for file in (tmp_path / folder).iterdir()] == ["model.safetensors"]


def test_validation_needs_labels(tmp_path: Path, decoder: Path) -> None:
    from w2s_pref.core.errors import W2SError

    model, tokenizer = load(decoder)
    work = job(tokenizer)
    work.validation = ValidationItems(ids(tokenizer, 4, 9), [0.5] * 3)
    with pytest.raises(W2SError, match="a label for each"):
        fit_classifier(model, tokenizer, work, tmp_path / "work", tmp_path / "saved")
