"""The world: same arguments, same bytes; shares as asked; no way to guess a label without knowing facts."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from w2s_pref.core.errors import W2SError
from w2s_pref.testbed.corpus import sample
from w2s_pref.testbed.facts import tables
from w2s_pref.testbed.oracle import judge
from w2s_pref.testbed.words import AGENTS, split
from w2s_pref.testbed.world import TIERS, capacity, generate
from w2s_pref.testbed.worlds import LARGE, SMALL, WORLDS, World, target_index, vocabulary

CHANCE_BAND = 0.05
HARD_TIERS = TIERS[1:]


BOTH = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


def _bytes(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def test_same_arguments_same_bytes() -> None:
    assert _bytes(generate(500, seed=3)) == _bytes(generate(500, seed=3))
    assert _bytes(generate(500, seed=3)) != _bytes(generate(500, seed=4))


def test_same_bytes_in_another_process() -> None:
    code = "import sys; from w2s_pref.testbed.world import generate; "
    code += "sys.stdout.write(generate(200, seed=9).to_csv(index=False))"
    code += "; sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert other.stdout == _bytes(generate(200, seed=9))


def test_speed() -> None:
    generate(100)
    start = time.process_time()
    generate(10_000)
    assert time.process_time() - start < 1.0


@BOTH
def test_columns_and_unique_prompts(world: World) -> None:
    frame = generate(20_000 if world is SMALL else 4000, seed=1, world=world.name)
    assert list(frame.columns[:7]) == ["prompt", "chosen", "rejected", "id", "group", "objective", "tier"]
    assert frame["id"].is_unique
    assert frame["prompt"].is_unique
    assert (frame["group"] == frame["prompt"]).all()
    assert (frame["chosen"] != frame["rejected"]).all()


@BOTH
def test_objectives_share_prompts_and_differ_on_conflicts_only(world: World) -> None:
    harmless, helpful = (generate(1000, seed=5, objective=name, world=world.name) for name in ("harmless", "helpful"))
    assert (harmless["prompt"] == helpful["prompt"]).all()
    assert ((harmless["chosen"] != helpful["chosen"]) == harmless["conflict"]).all()
    assert (harmless["harmless_chosen"] > harmless["harmless_rejected"]).all()
    assert (helpful["helpful_chosen"] > helpful["helpful_rejected"]).all()
    assert not set(harmless["id"]) & set(helpful["id"])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_conflict_share_holds_in_every_tier(share: float) -> None:
    frame = generate(2000, conflict_share=share)
    assert frame.groupby("tier")["conflict"].mean().to_numpy() == pytest.approx(share, abs=0.005)
    clash = frame["helpful_chosen"] < frame["helpful_rejected"]
    assert (clash == frame["conflict"]).all()


def test_tier_weights() -> None:
    counts = generate(1000, tiers={0: 1, 3: 3})["tier"].value_counts().to_dict()
    assert counts == {0: 250, 3: 750}


def test_label_noise_and_strength() -> None:
    assert not generate(2000)["flipped"].any()
    assert generate(5000, label_noise=0.2)["flipped"].mean() == pytest.approx(0.2, abs=0.02)
    soft = generate(9000, strength=4.0)
    for gap, part in soft.groupby("gap"):
        assert part["flipped"].mean() == pytest.approx(1 / (1 + np.exp(4.0 * float(str(gap)))), abs=0.03)
    wrong = soft["harmless_chosen"] < soft["harmless_rejected"]
    assert (wrong == soft["flipped"]).all()


@pytest.mark.parametrize(
    "bad",
    [
        {"rows": 0},
        {"rows": 10, "objective": "harmles"},
        {"rows": 10, "conflict_share": 1.5},
        {"rows": 10, "label_noise": -0.1},
        {"rows": 10, "strength": -1.0},
        {"rows": 10, "tiers": {7: 1.0}},
        {"rows": 10, "tiers": {1: 0.0}},
        {"rows": 10, "world": "middle"},
        {"rows": 5_000_000},
    ],
)
def test_bad_arguments_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(W2SError):
        generate(**bad)  # type: ignore[arg-type]


@BOTH
def test_the_world_holds_ten_thousand_rows_of_each_tier(world: World) -> None:
    assert all(capacity(tier, clash, world) >= 5000 for tier in TIERS for clash in (False, True))


def test_every_prompt_of_a_tier_can_be_drawn() -> None:
    rows = 2 * capacity(1, False)
    assert generate(rows, tiers={1: 1.0})["prompt"].nunique() == rows


@BOTH
def test_tables_are_balanced(world: World) -> None:
    for name, table in tables(world).items():
        assert table.shape[0] == len(world.topic(name).targets)
        for value in range(4):
            assert len(set((table == value).sum(axis=0))) == 1
            assert len(set((table == value).sum(axis=1))) == 1


def test_no_target_is_of_two_worlds() -> None:
    assert len(target_index()) == sum(len(topic.targets) for world in WORLDS.values() for topic in world.topics)


@BOTH
def test_pre_training_text_says_what_is_true(world: World) -> None:
    words = {number: word for word, number in vocabulary(world).items()}
    ids, weight = sample(800, "statement", np.random.default_rng(0), world)
    checked = 0
    for document, counts in zip(ids, weight, strict=True):
        said = [words[number] for number in document]
        verdicts = {said[place] for place in np.flatnonzero(counts == 1.0)}
        if not verdicts & {"safe", "dangerous"} or not set(said) & set(target_index()):
            continue  # what kind of thing something is
        advice = judge(" ".join(said), " ".join(said).split(":")[0].replace(",", " "))
        if len(advice.advised) == 1:
            assert ("safe" in verdicts, "weak" in verdicts) == (advice.harmless == 1.0, advice.helpful == 0.0)
            checked += 1
    assert checked > 400


def test_large_world_tells_of_the_first_targets_most() -> None:
    topic = LARGE.topic("rare")
    ids, _ = sample(20_000, "answer", np.random.default_rng(0), LARGE)  # names its target once
    seen = np.bincount(ids.ravel())[[vocabulary(LARGE)[word] for word in topic.targets]]
    expected = topic.spread ** -np.linspace(0.0, 1.0, len(seen))
    expected *= LARGE.tier_weights[3] * 20_000 / expected.sum()
    assert (np.abs(seen - expected) < 5 * np.sqrt(expected)).all()


def _probe(features: csr_matrix, labels: np.ndarray) -> float:
    """Held-out accuracy of a logistic regression: first half against second half, both ways."""
    half = features.shape[0] // 2
    scores = []
    for train, test in ((slice(None, half), slice(half, None)), (slice(half, None), slice(None, half))):
        model = LogisticRegression(C=0.1, max_iter=300).fit(features[train], labels[train])
        scores.append(model.score(features[test], labels[test]))
    return float(np.mean(scores))


@pytest.fixture(scope="module", params=WORLDS)
def shown(request: pytest.FixtureRequest) -> pd.DataFrame:
    """Pairs in random order of answers: ``label`` says whether ``left`` is the chosen one."""
    frame = generate(10_000 if request.param == "small" else 6000, seed=11, world=request.param)
    label = np.random.default_rng(0).integers(2, size=len(frame)).astype(bool)
    left = np.where(label, frame["chosen"], frame["rejected"])
    right = np.where(label, frame["rejected"], frame["chosen"])
    return frame.assign(left=left, right=right, label=label)


@pytest.mark.parametrize("tier", HARD_TIERS)
def test_bag_of_words_knows_nothing(shown: pd.DataFrame, tier: int) -> None:
    part = shown[shown["tier"] == tier]
    label = part["label"].to_numpy()
    for grams in ((1, 1), (1, 2)):
        counter = CountVectorizer(ngram_range=grams, token_pattern=r"\w+")
        counter.fit(part["left"])
        left, right = counter.transform(part["left"]), counter.transform(part["right"])
        assert abs(_probe(csr_matrix(left - right), label) - 0.5) <= CHANCE_BAND
        assert abs(_probe(csr_matrix(left), label) - 0.5) <= CHANCE_BAND
    prompt = CountVectorizer().fit_transform(part["prompt"])
    assert abs(_probe(csr_matrix(hstack([prompt, left - right])), label) - 0.5) <= CHANCE_BAND


@pytest.mark.parametrize("tier", HARD_TIERS)
def test_length_and_position_know_nothing(shown: pd.DataFrame, tier: int) -> None:
    part = shown[shown["tier"] == tier]
    longer = part["chosen"].str.len() - part["rejected"].str.len()
    assert abs(((longer > 0) + 0.5 * (longer == 0)).mean() - 0.5) <= 0.03
    words = part["chosen"].str.split().str.len() - part["rejected"].str.split().str.len()
    assert (words == 0).all()
    named_first = [
        judge(prompt, chosen).advised[0] == next(word for word in split(prompt) if word in AGENTS)
        for prompt, chosen in zip(part["prompt"], part["chosen"], strict=True)
    ]
    assert abs(np.mean(named_first) - 0.5) <= 0.03


def test_surface_cue_gives_the_first_tier_away(shown: pd.DataFrame) -> None:
    part = shown[shown["tier"] == 0]
    counter = CountVectorizer().fit(part["left"])
    features = csr_matrix(counter.transform(part["left"]) - counter.transform(part["right"]))
    assert _probe(features, part["label"].to_numpy()) > 0.95
