"""What a plan says of texts and models that do not go together: before a run, not in the middle of one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.core.yaml_values import dumped
from w2s_pref.models.positions import has_class, positions
from w2s_pref.planning.plan import open_for_plan
from w2s_pref.studies.notices import warnings_of
from w2s_pref.testbed import ladder

KNOWN = "use mild soap and water"
STRANGE = "photosynthesis converts electromagnetic radiation"


def study(folder: Path, better: str, other: str, *overrides: str) -> list[str]:
    """Warnings of a plan whose pairs hold these words, under models of the ladder."""
    pairs = [
        {"prompt": f"how do I clean my oven {n}?", "chosen": f" {better} {n} milk", "rejected": f" {other} {n} wine"}
        for n in range(60)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    recipe = folder / "r.yaml"
    recipe.write_text(
        "name: study\ndata:\n  target: {source: pairs.jsonl, objective: good}\n  splits: {gt: 20, w2s: 20, test: 20}\n"
        "models:\n  weak: {path: ladder/xs}\n  strong: {path: ladder/s}\nconflict: {settings: [none]}\n"
        f"output: {folder / 'runs'}\n"
    )
    return warnings_of(open_for_plan(recipe, list(overrides)))


def test_a_run_on_other_pairs_is_another_run(tmp_path: Path) -> None:
    """Where data cannot be reached, nobody knows."""
    study(tmp_path, KNOWN, KNOWN)
    opened = open_for_plan(tmp_path / "r.yaml", [])
    opened.folder.mkdir(parents=True)
    (opened.folder / "recipe.yaml").write_text(dumped(opened.recipe.model_dump(mode="json")))
    stages = {stage.name: stage.key for stage in opened.stages}
    (opened.folder / "results.json").write_text(json.dumps({"provenance": {"stages": stages}}))
    told = "holds a run of the same recipe on other data"
    assert not any(told in note for note in study(tmp_path, KNOWN, KNOWN))
    assert any(told in note for note in study(tmp_path, KNOWN, f"{KNOWN} and"))
    opened.prepared.hashes["gt"] = "unreachable"
    (opened.folder / "results.json").write_text(json.dumps({"provenance": {"stages": {"another": "0" * 64}}}))
    assert warnings_of(opened) == opened.prepared.notes


def copy(folder: Path, **config: Any) -> str:
    """A rung of the ladder with another configuration, as a path."""
    shutil.copytree(ladder.path("s"), folder, copy_function=shutil.copyfile)
    file = folder / "config.json"
    file.chmod(0o644)
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return str(folder)


def test_texts_that_a_model_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(W2SError) as caught:
        study(tmp_path, STRANGE, STRANGE)
    assert "models.weak: " in caught.value.problems[0]
    for said in ("% of the tokens of", "are unknown to its tokenizer: it cannot read these texts", "GPT-2, OPT, Llama"):
        assert said in caught.value.problems[0]
    assert "it cannot read these texts" in study(tmp_path, STRANGE, STRANGE, "data.unknown_tokens=warn")[0]


def test_unknown_words_on_one_side(tmp_path: Path) -> None:
    notes = study(tmp_path, KNOWN, STRANGE, "data.unknown_tokens=warn")
    assert any("the other ones have" in note and "tells them apart by that alone" in note for note in notes)
    assert not any(
        "apart by that alone" in note for note in study(tmp_path, STRANGE, STRANGE, "data.unknown_tokens=warn")
    )


def test_a_model_that_can_is_named(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    able = Path(copy(tmp_path / "able"))
    core = Tokenizer(models.BPE({sign: n for n, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel()
    core.add_special_tokens(["<pad>", "<s>", "</s>", "<unk>"])
    core.save(str(able / "tokenizer.json"))
    with pytest.raises(W2SError, match=r"models.strong of this recipe can; so can a model whose tokenizer spells any"):
        study(tmp_path, STRANGE, STRANGE, f"models.strong.path={able}")


def test_texts_longer_than_positions(tmp_path: Path) -> None:
    path = copy(tmp_path / "gpt2", model_type="opt", max_position_embeddings=16)
    long = " ".join([KNOWN] * 4)
    words = (
        r"strong has positions for 16 tokens \(opt\), but data.max_length is 512, and pair \w+ of \w+ has 3\d tokens"
    )
    with pytest.raises(W2SError, match=words + ": set data.max_length to 16 or less"):
        study(tmp_path, long, long, f"models.strong.path={path}", "data.unknown_tokens=warn")
    study(tmp_path, long, long, f"models.strong.path={path}", "data.max_length=16", "data.unknown_tokens=warn")


def test_texts_longer_than_the_positions_of_a_reference(tmp_path: Path) -> None:
    """It is not trained, and reads the pairs and what the policy writes."""
    short = copy(tmp_path / "short", model_type="opt", max_position_embeddings=8)
    some = copy(tmp_path / "some", model_type="opt", max_position_embeddings=64)
    held = ["students=[dpo]", "methods={dpo: {reference: other}}", "speech.prompts=4"]
    with pytest.raises(W2SError, match=r"models.other has positions for 8 tokens"):
        study(tmp_path, KNOWN, KNOWN, *held, f"models.other.path={short}")
    written = r"'.*some' has positions for 64 tokens \(opt\), and reads answers of 'ladder/s', of up to \d+ tokens"
    with pytest.raises(W2SError, match=written):
        study(tmp_path, KNOWN, KNOWN, *held, f"models.other.path={some}")
    study(tmp_path, KNOWN, KNOWN, *held, f"models.other.path={some}", "data.max_length=64", "speech.max_new_tokens=8")


@pytest.mark.parametrize(
    "overrides",
    [
        ("students=[ppo]",),
        ("students=[rloo]", "methods={rloo: {training: {batch_size: 32}}}"),
        ("arms={a: [weak@dpo, strong@macpo]}",),
    ],
)
def test_texts_longer_than_the_positions_of_who_reads_answers(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    """The weak model rewards answers that the strong one writes, or learns from them."""
    weak = copy(tmp_path / "weak", model_type="opt", max_position_embeddings=80)
    with pytest.raises(W2SError, match=r"weak' has positions for 80 tokens \(opt\), and reads answers of 'ladder/s'"):
        study(tmp_path, KNOWN, KNOWN, *overrides, f"models.weak.path={weak}")


def test_questions_longer_than_a_context(tmp_path: Path) -> None:
    context = json.loads((ladder.path("s") / "config.json").read_text())["max_position_embeddings"]
    long = " ".join([KNOWN] * 4)
    words = rf"20 of 20 questions are longer than the context of {context - 1} tokens.*; lower labels.refine.batch, or"
    refined = "methods={refined: {algorithm: reward, labels: {refine: {by: strong, batch: 5}}}}"
    with pytest.raises(W2SError, match=words):
        study(tmp_path, long, long, refined, "arms={a: [weak, strong@refined]}")
    judged = "supervisors={asked: {judge: strong@prompted, protocol: naive}}"
    with pytest.raises(W2SError, match=r"questions are longer than .*; lower max_new_tokens or turns"):
        study(tmp_path, 3 * f"{long} ", 3 * f"{long} ", judged, "arms={a: [asked, strong]}")
    argued = "supervisors={argued: {judge: 'labels:j.py:f', arguers: strong, max_new_tokens: 100}}"
    (tmp_path / "j.py").write_text("def f(pairs):\n    return [0.5] * len(pairs)\n")
    with pytest.raises(W2SError, match=rf"argues on test: 20 of 20 .* context of {context - 100} tokens"):
        study(tmp_path, KNOWN, KNOWN, argued, "arms={a: [argued, strong]}")


@pytest.mark.parametrize(("warmup", "said"), [(1, False), (2, True), (0.5, False), (0, False)])
def test_a_warm_up_that_never_ends(tmp_path: Path, warmup: float, said: bool) -> None:
    notes = study(tmp_path, KNOWN, KNOWN, "training.batch_size=10", f"training.warmup_steps={warmup}")
    told = [note for note in notes if "before their learning rate has risen" in note]
    assert told == (
        [note for note in notes if "makes 2 optimizer steps, and warmup_steps are 2" in note] if said else []
    )
    assert bool(told) is said


def test_heads_that_do_not_exist(tmp_path: Path) -> None:
    path = copy(tmp_path / "mamba", model_type="mamba")
    with pytest.raises(W2SError, match=r"models.strong: transformers has no reward model of type 'mamba'"):
        study(tmp_path, KNOWN, KNOWN, f"models.strong.path={path}", "data.unknown_tokens=warn")


def test_what_transformers_knows_is_read_from_its_source() -> None:
    from transformers.models.auto import modeling_auto as auto

    for head in ("SEQUENCE_CLASSIFICATION", "CAUSAL_LM"):
        kinds = getattr(auto, f"MODEL_FOR_{head}_MAPPING_NAMES")
        assert all(has_class(kind, head) for kind in kinds)
        assert has_class("nothing", head) is False
    assert has_class("mamba", "SEQUENCE_CLASSIFICATION") is False


def test_positions_of_kinds() -> None:
    assert positions({"model_type": "gpt2", "n_positions": 1024}) == 1024
    assert positions({"model_type": "roberta", "max_position_embeddings": 514}) == 512
    assert positions({"model_type": "llama", "max_position_embeddings": 128}) is None


def test_vocabularies_that_grow(tmp_path: Path) -> None:
    path = copy(tmp_path / "small", vocab_size=200)
    notes = study(tmp_path, KNOWN, KNOWN, f"models.strong.path={path}", "data.unknown_tokens=warn")
    said = "its tokenizer has 272 tokens, and the model vectors for 200: 72, more than a pad token, start from random"
    assert any(said in note for note in notes)


def test_a_run_of_another_recipe_is_not_replaced_in_silence(tmp_path: Path) -> None:
    import yaml

    def notes(*overrides: str) -> list[str]:
        found = study(tmp_path, KNOWN, KNOWN, "data.unknown_tokens=warn", *overrides)
        return [note for note in found if "a run replaces it" in note]

    study(tmp_path, KNOWN, KNOWN, "data.unknown_tokens=warn")
    opened = open_for_plan(tmp_path / "r.yaml", ["data.unknown_tokens=warn"])
    opened.folder.mkdir(parents=True)
    (opened.folder / "results.json").write_text("{}")
    (opened.folder / "recipe.yaml").write_text(yaml.safe_dump(opened.recipe.model_dump(mode="json")))
    assert notes("store=elsewhere", "processes=1") == []
    (note,) = notes("training.learning_rate=0.5", "seeds=[3]")
    assert "holds the run of another recipe (other seeds, training.learning_rate)" in note


def equal_study(folder: Path, version: int, *overrides: str) -> dict[str, int]:
    """Counts of a plan: of 40 pairs, 12 have answers that part only beyond ten tokens, 4 by a word nobody knows."""
    long = "use mild soap and water and hot water and soap to clean the oven"
    endings = [("", "no ")] * 24 + [(f"milk {long} and ", f"wine {long} and ")] * 12 + [("zzz ", "qqq ")] * 4
    pairs = [
        {"prompt": f"how do i clean my oven {n}?", "chosen": f" {a}use soap", "rejected": f" {b}use soap"}
        for n, (a, b) in enumerate(endings)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (folder / "e.yaml").write_text(
        f"name: study\ndata:\n  version: {version}\n  target: {{source: pairs.jsonl, objective: good}}\n"
        "  max_length: 12\n  unknown_tokens: warn\n  splits: {gt: 8, w2s: 8, test: 8}\n"
        "models:\n  weak: {path: ladder/xs}\n  strong: {path: ladder/s}\nconflict: {settings: [none]}\n"
    )
    return open_for_plan(folder / "e.yaml", list(overrides)).prepared.counts


def test_pairs_equal_under_a_model_are_dropped_once(tmp_path: Path) -> None:
    counts = equal_study(tmp_path, 2)
    assert counts["target.equal.weak"] == counts["target.equal.strong"] == counts["target.dropped.equal"] == 16
    assert not any("equal" in name for name in equal_study(tmp_path, 1))
    longer = equal_study(tmp_path, 2, "data.max_length=64")
    assert longer["target.dropped.equal"] == 4


def test_no_equal_pair_is_missed_before_texts_are_tokenised() -> None:
    """Against all texts tokenised whole and cut, for answers that part anywhere, or end in blanks."""
    from itertools import product

    import pandas as pd
    from conftest import make_tokenizer

    from w2s_pref.models.unknown import Reader
    from w2s_pref.studies.preferences.equal import AROUND, _last_other, _same_last_words

    tokenizer = make_tokenizer().backend_tokenizer
    words = ("w1 w2", "x y", "w1 z", " w1  w2", "w1 w2  ", "w1\nw2", "w2", "", "w1 w2 w3 w4 w5 w6", "w9 w2 w3 w4 w5 w6")
    pairs = list(product([f" {first} {last}" for first in words for last in ("w7", "qqq", "w7 ")], repeat=2))
    frame = pd.DataFrame(pairs, columns=["a", "b"]).assign(form="text", prompt="w8 w8")
    ids = {text: tokenizer.encode("w8 w8" + text).ids for text in {text for pair in pairs for text in pair}}
    for keep in (4, 9, 60):
        maybe = list(_same_last_words(frame, Reader(tokenizer, 104, 102), keep + AROUND))
        equal = [ids[a][-keep:] == ids[b][-keep:] for a, b in pairs]
        assert not [pair for pair, may, are in zip(pairs, maybe, equal, strict=True) if are and not may]
    assert sum(maybe) < len(pairs) / 2
    assert _last_other(" oven w1 w2", " oven w3 w2", 6) == ("w1", "w3")
    assert _last_other(" oven w1 w2", " oven w3 w2", 5) is None


def test_pairs_that_are_all_equal_are_refused() -> None:
    from w2s_pref.data.config import DataConfig, prepare

    config = {"version": 2, "target": {"source": "testbed", "objective": "harmless"}}
    sized = DataConfig.model_validate({**config, "splits": {"gt": 8, "w2s": 8, "test": 8}})
    with pytest.raises(W2SError, match=r"target: every pair is the same tokens to models.weak, which does not know"):
        prepare(sized, equal=lambda frame: {"weak": set(frame["id"])})
    some = prepare(sized, equal=lambda frame: {"weak": set(frame["id"][:3]), "strong": set(frame["id"][:5])})
    assert {name: n for name, n in some.counts.items() if "equal" in name} == {
        "target.equal.weak": 3,
        "target.equal.strong": 5,
        "target.dropped.equal": 5,
    }
