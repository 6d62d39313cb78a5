"""What users' functions return: checked where it is used, and what they raise becomes a sentence with file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_pairs
from extend_helpers import refused, write

from w2s_pref.core.errors import W2SError
from w2s_pref.labels.make import LabelConfig, make_labels
from w2s_pref.losses import conflict, named
from w2s_pref.losses.pairs import PairLoss, PairObjective
from w2s_pref.losses.spec import LossSpec

RAW = pd.DataFrame({"id": list("abc"), "score_a": [2.0, 0.0, -1.0], "score_b": [0.0, 0.0, 3.0]})


def file(folder: Path, body: str, parameters: str) -> str:
    (folder / "mine.py").write_text(f"import torch\nimport numpy as np\ndef mine({parameters}):\n    return {body}\n")
    return "mine.py:mine"


LABELS = {
    "p[:2]": "should return one number for each of 3, but it returned shape (2,)",
    "p + 1": r"outside of 0 to 1",
    "p * np.nan": "3 numbers that are not finite; the first is number 0",
    "['yes'] * 3": "should return 3 numbers, but it returned list",
    "__import__('random').sample([], 1)": "labeler 'mine.py:mine' failed (mine.py, line 4): ValueError",
    "1 / 0": "labeler 'mine.py:mine' failed (mine.py, line 4): ZeroDivisionError",
}


@pytest.mark.parametrize("body", list(LABELS))
def test_labelers(body: str, tmp_path: Path) -> None:
    config = LabelConfig(form=file(tmp_path, body, "p"))
    with pytest.raises(W2SError) as refusal:
        make_labels(RAW, config, base=tmp_path)
    assert LABELS[body] in str(refusal.value)


def test_a_labeler_gets_the_scores(tmp_path: Path) -> None:
    form = file(tmp_path, "1 / (1 + np.exp(-(score_a - score_b) / temperature)) * (margin == margin)",
                "score_a, score_b, temperature, margin")  # fmt: skip
    ours = make_labels(RAW, LabelConfig(form=form), 2.0, base=tmp_path)
    assert np.allclose(ours["p"], make_labels(RAW, LabelConfig(), 2.0)["p"])


@pytest.mark.parametrize("body", ["p", "p[:2] > 0.5", "None"])
def test_filters(body: str, tmp_path: Path) -> None:
    config = LabelConfig(filter=file(tmp_path, body, "p"))
    with pytest.raises(W2SError, match="should return True or False for each of 3 pairs"):
        make_labels(RAW, config, base=tmp_path)


def test_a_filter_named_like_the_oracle_sees_no_truth(tmp_path: Path) -> None:
    (tmp_path / "oracle.py").write_text("def oracle_mine(p, truth): return truth == 1\n")
    with pytest.raises(W2SError, match="asks for 'truth', which is not offered"):
        make_labels(RAW, LabelConfig(filter="oracle.py:oracle_mine"), 1.0, pd.Series([1, 0, 1], list("abc")), tmp_path)


TENSORS = {
    "margin.mean()": r"returned shape (); return one number a pair, (3,)",
    "(margin > 0)": "a tensor of torch.bool; return a floating-point tensor",
    "margin.log()": "numbers that are not finite",
    "p * 1.0": "numbers without a gradient; compute them from the margin",
    "3.0": "of type float",
    "margin + '1'": "failed (mine.py, line 4): TypeError",
}


@pytest.mark.parametrize("kind", ["loss", "conflict"])
@pytest.mark.parametrize("body", list(TENSORS))
def test_tensors(body: str, kind: str, tmp_path: Path) -> None:
    name = file(tmp_path, body, "margin, p")
    margin = torch.tensor([1.0, -1.0, 0.5], requires_grad=True)
    p = torch.tensor([1.0, 0.0, 0.5])
    calls = {
        "loss": lambda: named.loss(LossSpec.of({"name": name}, tmp_path), margin, p, 0.0),
        "conflict": lambda: conflict.term(name, tmp_path)(margin, p=p, truth=p),
    }
    with pytest.raises(W2SError) as refusal:
        calls[kind]()
    assert f"{kind} 'mine.py:mine'" in str(refusal.value)
    assert TENSORS[body] in str(refusal.value)


COUPLED = [
    "torch.nn.functional.softplus(-(margin - margin.mean()))",
    "margin * torch.softmax(margin.detach(), -1) * len(margin)",
    "margin * (margin > margin.median())",
    "margin * p / p.sum()",
    "margin * torch.rand_like(margin)",
]


@pytest.mark.parametrize("kind", ["loss", "conflict"])
@pytest.mark.parametrize("body", COUPLED)
def test_a_number_is_of_its_own_pair(body: str, kind: str, tmp_path: Path) -> None:
    """A part of a batch is as large as the memory allows."""
    name = file(tmp_path, body, "margin, p")
    margin = torch.tensor([1.0, -1.0, 0.5], requires_grad=True)
    p = torch.tensor([0.9, 0.2, 0.6])
    calls = {
        "loss": lambda at: named.loss(LossSpec.of({"name": name}, tmp_path), margin[at], p[at], 0.0),
        "conflict": lambda at: conflict.term(name, tmp_path)(margin[at], p=p[at], truth=p[at]),
    }
    with pytest.raises(W2SError, match=f"{kind} .* gives a pair another number beside other pairs"):
        calls[kind](slice(None))
    if "median" not in body:
        calls[kind](slice(1))


@pytest.mark.parametrize(
    ("body", "apart"),
    [
        ("batch.logp_a - batch.logp_b", True),
        ("batch.logp_a / batch.tokens_a - batch.logp_b / batch.tokens_b", True),
        ("batch.logp_a - batch.logp_b - (batch.logp_a - batch.logp_b).mean()", False),
        ("(batch.logp_a - batch.logp_b) / batch.tokens_a.max()", False),
    ],
)
def test_a_margin_is_of_its_own_pair(body: str, apart: bool, tmp_path: Path) -> None:
    from w2s_pref.losses.margins import PairBatch

    numbers = [torch.tensor(each) for each in ([-5.0, -9.0], [-7.0, -4.0], [3, 4], [5, 2])]
    loss = PairLoss(PairObjective(file(tmp_path, body, "batch")), tmp_path)
    if apart:
        assert loss.margin(PairBatch(*numbers)).shape == (2,)
    else:
        with pytest.raises(W2SError, match=r"margin .* gives a pair another number beside other pairs"):
            loss.margin(PairBatch(*numbers))


def test_a_loss_equals_the_one_of_the_package(tmp_path: Path) -> None:
    """Written by hand: the window loss, on vectors and on rows of several probes."""
    name = file(tmp_path, "own(p) * (torch.sigmoid(margin.abs()) < 0.5 + radius).double()", "margin, p, own, radius")
    ours, theirs = (
        LossSpec.of({"name": name, "options": {"radius": 0.15}, "code": "x"}, tmp_path),
        LossSpec(name="window"),
    )
    for shape in ((7,), (3, 7)):
        margin, p = torch.randn(shape, dtype=torch.float64), torch.rand(shape, dtype=torch.float64)
        assert torch.equal(named.loss(ours, margin, p, 0.5), named.loss(theirs, margin, p, 0.5))


@pytest.mark.parametrize("method", ["ipo", "dpo", "sft"])
def test_a_loss_of_a_policy_has_the_methods_own(method: str, tmp_path: Path) -> None:
    from w2s_pref.losses.margins import PairBatch

    spec = LossSpec.of({"name": file(tmp_path, "2 * own(p)", "margin, p, own")}, tmp_path)
    numbers = [
        torch.tensor(values, dtype=torch.float64) for values in ([-5.0, -9.0], [-7.0, -4.0], [3.0, 4.0], [5.0, 2.0])
    ]
    batch = PairBatch(*numbers, *(numbers[side] - 0.3 for side in (0, 1)))
    loss = PairLoss(PairObjective(method, student=spec))
    assert not loss.objective.preferred_only
    margin, p = loss.margin(batch), torch.tensor([0.9, 0.2], dtype=torch.float64)

    def own(target: torch.Tensor) -> torch.Tensor:
        return loss.own(batch, margin, target)

    assert torch.equal(named.loss(spec, margin, p, 0.0, own=own), 2 * own(p))


def test_a_term_equals_the_explicit_conflict(tmp_path: Path) -> None:
    from w2s_pref.losses import objectives

    body = "(margin * (2 * truth - 1) < 0) * torch.nn.functional.softplus(margin * (2 * truth - 1))"
    term = conflict.term(file(tmp_path, body, "margin, truth"), tmp_path)
    margin, truth = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 0.0, 1.0])
    assert torch.equal(term(margin, p=truth, truth=truth), objectives.explicit_conflict(margin, 2 * truth - 1))


def test_extra_pairs_see_truth_only_where_they_ask(tmp_path: Path) -> None:
    pairs = make_pairs(9)
    name = file(tmp_path, "np.where(pairs['a'].str.len() > 24, 0.25, np.nan) * ('truth' not in pairs)", "pairs")
    found = conflict.extra_labels(name, tmp_path, pairs, 0).set_index("id").loc[pairs["id"]]
    assert (found["keep"].to_numpy() == (pairs["a"].str.len() > 24).to_numpy()).all()
    assert (found.loc[found["keep"], "p"] == 0.25).all()
    (tmp_path / "told.py").write_text("def told(pairs, truth): return truth\n")
    told = conflict.extra_labels("told.py:told", tmp_path, pairs, 0).set_index("id")
    assert (told.loc[pairs["id"], "p"].to_numpy() == pairs["truth"].to_numpy()).all()
    shuffled = conflict.extra_labels("told.py:told", tmp_path, pairs.sample(frac=1, random_state=0), 0)
    assert shuffled.equals(told.reset_index())


METRICS = {
    "student[:3]": "should return one number for each of 48, but it returned shape (3,)",
    "'high'": "returned something of type str; return numbers",
    "student / 0": "not finite",
    "student.nothing": "metric 'mine' failed (mine.py, line 4): AttributeError",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize("body", list(METRICS))
def test_metrics(
    body: str, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file(tmp_path, body, "student")
    code = (tmp_path / "mine.py").read_text()
    recipe = write(tmp_path, code, {"analysis": {"metrics": ["mine.py:mine"]}}, store)
    assert METRICS[body] in refused(monkeypatch, capsys, "run", recipe)


def test_a_section_that_fails_or_returns_what_is_no_block(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for body, said in (("results.nothing", "failed (mine.py, line 4): AttributeError"), ("7", "something of type int")):
        file(tmp_path, body, "results")
        code = (tmp_path / "mine.py").read_text()
        recipe = write(tmp_path, code, {"report": {"sections": ["mine.py:mine"]}}, store)
        assert said in refused(monkeypatch, capsys, "run", recipe)
