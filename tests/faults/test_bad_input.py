"""Bad input through the real command line: non-zero exit, a sentence with place and fix, nothing half-written."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import make_rows
from fault_helpers import Change, files, half_written, refused, succeeded, w2s

from w2s_pref.cli.main import main

ONE = ["seeds=[0]", "arms={direct: [weak, strong]}", "conflict.settings=[none]"]
USER = {"role": "user", "content": "sky?"}


def rows(change: dict[int, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Target rows with ids; ``change`` maps a row (from 0) to new cells."""
    table = [{"id": f"n{number}", **row} for number, row in enumerate(make_rows(180, seed=1).to_dict("records"))]
    for number, cells in (change or {}).items():
        table[number] |= cells
    return table


def jsonl(path: Path, table: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")


def third(**cells: Any) -> Change:
    """The target file with row 3 changed."""
    return lambda folder: jsonl(folder / "target.jsonl", rows({2: cells}))


def renamed(folder: Path) -> None:
    table = make_rows(180, seed=1).rename(columns={"chosen": "better", "rejected": "worse"})
    table.to_csv(folder / "target.csv", index=False)


def split_files(folder: Path) -> None:
    """Split files of the user's own; row 5 of w2s repeats a prompt of gt."""
    table = make_rows(160, seed=3)
    parts = {"gt": table[:60], "w2s": table[60:110].copy(), "test": table[110:]}
    parts["w2s"].iloc[4, 0] = table.iloc[2, 0]
    for name, part in parts.items():
        part.to_csv(folder / f"{name}.csv", index=False)


JSONL = "data.target.source=target.jsonl"
SPLITS = (
    "data.target={gt: {source: gt.csv, objective: t}, w2s: {source: w2s.csv, objective: t}, "
    "test: {source: test.csv, objective: t}}"
)
ANSWERED = [USER, {"role": "assistant", "content": "blue"}]
DATA: dict[str, tuple[Change | None, list[str], tuple[str, ...]]] = {
    "missing file": (None, ["data.target.source=taget.csv"], ("taget.csv", "did you mean 'target.csv'?")),
    "missing column": (renamed, [], ("target.csv: no column 'chosen'", "columns: {chosen: better}")),
    "wrong column": (None, ["data.target.columns={chosen: chosn}"], ("no column 'chosn'", "nearest is 'chosen'")),
    "unknown role": (None, ["data.target.columns={chosn: x}"], ("unknown column 'chosn'; did you mean 'chosen'",)),
    "empty file": (lambda d: (d / "target.csv").write_text(""), [], ("target.csv is empty", "write it again")),
    "no rows": (
        lambda d: (d / "target.csv").write_text("prompt,chosen,rejected\n"), [], ("target.csv: no rows", "write some"),
    ),
    "empty response": (
        third(chosen=" "), [JSONL],
        ("target.jsonl, row 3 (id 'n2'): the chosen response is empty", "fix: write the missing response"),
    ),
    "identical": (
        third(chosen="same", rejected="same"), [JSONL], ("target.jsonl, row 3 (id 'n2')", "same text", "remove the row")
    ),
    "not text": (third(chosen=7), [JSONL], ("target.jsonl, row 3 (id 'n2'): the chosen is 7", "fix: every prompt")),
    "duplicate id": (
        third(id="n0"), [JSONL], ("row 3: id 'n0' is taken already by target.jsonl, row 1", "columns: {id: null}")
    ),
    "no assistant turn": (
        third(prompt=[USER], chosen=ANSWERED[1:], rejected=[USER]), [JSONL],
        ("target.jsonl, row 3 (id 'n2')", "the rejected response has no assistant turn", "fix: each response needs"),
    ),
    "overlapping groups": (split_files, [SPLITS, "data.splits={conflict: 48}"], (
        "splits gt and w2s share 1 groups", "(id ", "remove the rows", "overlap: drop",
    )),
    "too few pairs": (None, ["data.splits.w2s=4800"], ("splits ask for 4,912 pairs", "there are 180", "ask for fewer")),
    "unknown hub data": (None, ["data.target.source=no-one/nothing"], (
        "cannot load 'no-one/nothing'", "To use it without a network", "save_to_disk",
    )),
    "unknown registered data": (None, ["data.target.source=testbad"], ("did you mean 'testbed'", "owner/name")),
}  # fmt: skip


@pytest.mark.parametrize("case", DATA)
def test_bad_data(study: Path, case: str) -> None:
    change, overrides, said = DATA[case]
    if change:
        change(study)
    refused(study, "run", "tiny.yaml", *overrides, said=said)
    if "hub" not in case:  # planning goes on without a hub; everything else it must say as well
        refused(study, "plan", "tiny.yaml", *overrides, said=said)


RECIPE = {
    "unknown key": (["trainning={}"], "tiny.yaml: unknown key 'trainning'; did you mean 'training'"),
    "unknown nested key": (["labels.fliter=none"], "labels: unknown key 'fliter'; did you mean 'filter'"),
    "unknown argument": (["training.lerning_rate=1.0e-3"], "did you mean 'learning_rate'"),
    "text number": (["training.learning_rate=.5"], "tiny.yaml: training.learning_rate: '.5' is text"),
    "text number elsewhere": (["analysis.threshold=.7"], "analysis.threshold: '.7' is text"),
    "wrong type": (["seeds=3"], "tiny.yaml: seeds: should be a list, but this is 3; write [3]"),
    "unknown optimizer": (["training.optim=adamw_troch"], "unknown value 'adamw_troch'; did you mean 'adamw_torch'"),
    "unknown scheduler": (["models.weak.training.lr_scheduler_type=cosin"], "unknown value 'cosin'; did you mean 'cos"),
    "zero batch": (["training.batch_size=0"], "training.batch_size: should be above zero"),
    "zero epochs": (["training.num_train_epochs=0"], "training.num_train_epochs: should be above zero"),
    "zero rate": (["training.learning_rate=0"], "training.learning_rate: should be above zero, but this is 0"),
    "no steps": (["training.max_steps=0"], "training.max_steps: should be above zero, or -1"),
    "unknown lora key": (["models.strong.lora={rr: 4}"], "models.strong.lora: unknown key 'rr'; did you mean 'r'"),
    "lora of rank zero": (["models.strong.lora={r: 0}"], "models.strong.lora.r: should be above zero, but this is 0"),
    "lora of rank minus one": (["models.strong.lora={r: -1}"], "models.strong.lora.r: should be above zero"),
    "lora on random weights": (
        ["models.strong.lora={r: 4}", "models.strong.from_config={num_hidden_layers: 2}"], "lora and from_config",
    ),
    "lora on a frozen backbone": (
        ["models.strong.lora={r: 4}", "models.strong.freeze_backbone=true"], "lora and freeze_backbone",
    ),
    "unknown dtype": (["models.strong.dtype=float8"], "models.strong.dtype: should be 'float32', 'bfloat16'"),
    "name in the store's place": (["name=store"], "would stand in the place of the store"),
    "name of a parent": (["name=.."], "tiny.yaml: name: should match the pattern"),
    "calibration without rows": (["labels.calibrate=true"], "give data.splits.calibration a number of rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", RECIPE)
def test_bad_recipe(study: Path, case: str) -> None:
    overrides, said = RECIPE[case]
    refused(study, "run", "tiny.yaml", *overrides, said=said)


def test_a_terminal_that_is_not_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["w2s", "recipes"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    sys.stdout.flush()
    assert b"\\u03b2" in raw.getvalue()  # β-DPO


def test_missing_recipe(study: Path) -> None:
    for command in ("run", "plan", "status"):
        refused(study, command, "none.yaml", said=("recipe none.yaml: cannot be read", "`w2s init`"))
        refused(study, command, "tiny.yml", said="did you mean 'tiny.yaml'?")
    refused(study, "run", ".", said="recipe '.': is a folder; give the recipe's file")


def tokenizer_config(**cells: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / "large" / "tokenizer_config.json"
        value = {**json.loads(path.read_text()), **cells}
        path.write_text(json.dumps({key: cell for key, cell in value.items() if cell is not None}))

    return change


def only_pickle(folder: Path) -> None:
    (folder / "large" / "model.safetensors").rename(folder / "large" / "pytorch_model.bin")


def torn(folder: Path) -> None:
    path = folder / "large" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-64])


def no_tokenizer(folder: Path) -> None:
    for path in (folder / "large").glob("*token*"):
        path.unlink()


HUB = ("neither a local folder nor in the local hub cache", "`hf download", "copy the folder here and give its path")
MODELS: dict[str, tuple[Change | None, list[str], tuple[str, ...]]] = {
    "hub id, offline": (None, ["models.strong.path=no-one/nothing"], ("model 'no-one/nothing'", *HUB)),
    "missing folder": (None, ["models.strong.path=./nowhere"], ("model './nowhere': no such folder (looked in",)),
    "missing rung": (None, ["models.strong.path=ladder/zz"], ("model 'ladder/zz': the shipped ladder has xxs, xs",)),
    "missing package": (None, ["models.strong.path=package:no.such/x"], ("'no.such' is installed here; pip install",)),
    "no pad token": (
        tokenizer_config(pad_token=None), [], ("large': its tokenizer has no pad token of its own", "set pad_token")
    ),
    "pad is eos": (tokenizer_config(pad_token="<eos>"), [], ("pad is '<eos>', eos is '<eos>'", "set pad_token")),
    "pad set to eos": (None, ["models.strong.pad_token=<eos>"], ("pad is '<eos>', eos is '<eos>'", "set pad_token")),
    "only pickled weights": (only_pickle, [], ("model 'large'", "pickled .bin files are not read", "save_pretrained")),
    "torn weights": (torn, [], ("large/model.safetensors: is not a whole safetensors file", "download it again")),
    "no config": (lambda d: (d / "large/config.json").unlink(), [], ("model 'large'", "has no config.json")),
    "broken config": (
        lambda d: (d / "large/config.json").write_text("{"), [], ("large/config.json is not readable JSON", "again")
    ),
    "no tokenizer": (no_tokenizer, [], ("model 'large'", "has no tokenizer files (tokenizer.json")),
    "unknown from_config": (None, ["models.strong.from_config={layers: 2}"], ("from_config names 'layers'", "known:")),
    "wrong from_config": (
        None, ["models.strong.from_config={hidden_size: many}"],
        ("from_config.hidden_size is 'many'", "has 32 there", "type int"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_bad_model(study: Path, case: str) -> None:
    change, overrides, said = MODELS[case]
    if change:
        change(study)
    refused(study, "run", "tiny.yaml", *overrides, said=said)
    if case == "hub id, offline":
        assert "not checked: model 'no-one/nothing'" in " ".join(succeeded("plan", "tiny.yaml", *overrides).out.split())
    else:
        refused(study, "plan", "tiny.yaml", *overrides, said=said)


BUILT = {
    "broken tokenizer": (
        lambda d: (d / "small/tokenizer.json").write_text("{}"), [], ("small' could not be loaded", "check its files")
    ),
    "impossible from_config": (
        None, ["models.weak.from_config={hidden_size: 15}"], ("small' could not be loaded", "not a multiple")
    ),
    "lora finds no module": (None, ["models.weak.lora={r: 2, target_modules: [zz]}"], ("lora: No modules",)),
    "diverged": (
        None, ["training.learning_rate=1.0e+12", "training.max_grad_norm=0.0"],
        ("training diverged at step", "lower learning_rate"),
    ),
    "filter takes everything": (
        None, ["labels.filter=high_confidence", "labels.threshold=1.0"], ("direct/none", "no training pair is left")
    ),
    "all too long": (None, ["data.overlong=drop", "data.max_length=8"], ("no training pair is left", "overlong")),
    "too long": (
        None, ["data.overlong=error", "data.max_length=8"], ("longer than max_length 8 tokens", "raise data.max_length")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BUILT)
def test_what_only_building_can_tell(study: Path, case: str) -> None:
    """The store may hold finished stages then, but no half one, and there is no run folder."""
    change, overrides, said = BUILT[case]
    if change:
        change(study)
    done = w2s("run", "tiny.yaml", *ONE, *overrides)
    flat = " ".join(done.err.split())
    assert done.code == 1
    assert all(part in flat for part in said), done.err
    assert not (study / "runs" / "tiny").exists()
    assert not half_written(study / "runs" / "store")


@pytest.mark.parametrize(
    ("place", "words", "said"),
    [
        ("runs", [], "runs is a file, not a folder; give another: output=FOLDER"),
        ("runs/tiny", [], "runs/tiny is a file, not a run folder; give another name"),
        ("runs/tiny/thesis.txt", [], "is not a run folder; give another name or output=FOLDER"),
        ("stored", ["store=stored"], "store: stored is a file, not a folder; give another: store=FOLDER"),
    ],
)
def test_the_place_is_taken(study: Path, place: str, words: list[str], said: str) -> None:
    (study / place).parent.mkdir(parents=True, exist_ok=True)
    (study / place).write_text("mine")
    refused(study, "run", "tiny.yaml", *words, said=said)
    refused(study, "plan", "tiny.yaml", *words, said=said)


SCORES = pd.DataFrame(
    [(f"i{n}", f"g{n}", model, 0, 0.1 * n - 0.3) for n in range(8) for model in ("w", "c", "r", "s")],
    columns=["id", "group", "model", "seed", "delta"],
)
DECEPTION = ["--weak", "w", "--ceiling", "c", "--reference", "r", "--student", "s", "--resamples", 100]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", ""])
def test_scores_that_are_no_numbers(study: Path, value: str, suffix: str) -> None:
    table = SCORES.astype({"delta": object})
    table.loc[5, "delta"] = value
    if suffix == "csv":
        table.to_csv(study / "scores.csv", index=False)
    else:
        jsonl(study / "scores.jsonl", table.to_dict("records"))
    said = (f"scores.{suffix}, row 6, id 'i1': delta is not a finite number", "score the item again")
    for command in (["deception", *DECEPTION], ["generalization", "--weak", "w", "--ceiling", "c", "--student", "s"]):
        words = ["analyze", command[0], f"scores.{suffix}", *command[1:], "--json", "out.json"]
        refused(study, *words, said=said)


def test_bad_score_tables(study: Path) -> None:
    def check(table: pd.DataFrame, *said: str) -> None:
        table.to_csv(study / "scores.csv", index=False)
        refused(study, "analyze", "deception", "scores.csv", *DECEPTION, "--json", "out.json", said=said)

    check(SCORES[SCORES["model"] != "c"], "scores.csv", "'c'", "'w'")
    check(SCORES.drop(columns="delta"), "scores.csv: column 'delta' is missing")
    check(SCORES[:0], "scores.csv: the table has no rows")
    check(pd.concat([SCORES, SCORES[:1]]), "row 33, id 'i0': a second row", "keep one row each")
    refused(study, "analyze", "deception", "none.csv", *DECEPTION, said="none.csv: there is no such file")
    SCORES.to_csv(study / "scores.csv", index=False)
    words = ["analyze", "deception", "scores.csv", *DECEPTION, "--json", "no/where.json"]
    refused(study, *words, said="no/where.json: cannot be written")


def test_bad_words_for_score(study: Path) -> None:
    def check(*words: str, said: str | tuple[str, ...]) -> None:
        refused(study, "score", *words, said=said)

    good = ["target.csv", "--out", "x.csv"]
    check("nowhere", *good, said=("model 'nowhere': no folder here", "give the folder of a saved reward model"))
    check(
        "ladder/m", *good, said=("model 'ladder/m': the ladder holds language models", "no trained reward model; give")
    )
    check(".", *good, said=("model '.': a folder without config.json", "give the folder"))
    check("small", *good, said="is no saved reward model: it has no weights for score.weight")
    check("small", "none.csv", "--out", "x.csv", said="there is no file or folder none.csv")
    check("small", "target.csv", "--out", "x.txt", said="--out x.txt: the ending says the format; use .csv")
    check("small", "target.csv", "--out", "no/x.csv", said="--out no/x.csv: names no file in a folder that is there")
    check("small", *good, "--column", "chosen", said="write OURS=THEIRS")
    check("small", *good, "--column", "chosn=x", said="unknown column 'chosn'; did you mean 'chosen'")
    (study / "x.csv").write_text("mine")
    check("small", *good, said=("--out x.csv: is there already", "--append"))


def test_bad_words_for_the_rest(study: Path) -> None:
    refused(study, "compare", ".", said=("run .: has no readable results.json", "`w2s status` lists runs"))
    refused(study, "compare", "nowhere", said="run nowhere: has no readable results.json")
    (study / "results.json").write_bytes(b"\xff{")
    refused(study, "compare", ".", said=("run .: its results.json does not follow schema", "run the recipe again"))
    refused(study, "inspect", "data", "tiny.yaml", "--split", "w3s", said="--split 'w3s': did you mean 'w2s'?")
    refused(study, "inspect", "data", "tiny.yaml", "--model", "week", said="--model 'week': did you mean 'weak'?")
    refused(study, "show", "tiny.yaml", said=("run tiny.yaml: is a recipe; give the folder of its run", "`w2s status`"))
    (study / "runs" / "mine").mkdir(parents=True)
    refused(study, "plan", "runs/mine", said="recipe 'runs/mine': is a folder; give the recipe's file")
    shutil.copy(study / "tiny.yaml", study / "runs" / "mine" / "recipe.yaml")
    refused(study, "plan", "runs/mine", said="recipe 'runs/mine': is a folder; give runs/mine/recipe.yaml, its recipe")
    refused(study, "run", said="Missing argument")
    refused(study, "runn", "tiny.yaml", said="No such command")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--flip-rate", "0.2"], "--flip-rate belongs to --power"),
        (["--flip-rate", "0.2", "--cost"], "--flip-rate belongs to --power"),
        (["--mfu", "0.5"], "--mfu, --accelerate and --num-processes belong to --cost"),
        (["--mfu", "0.5", "--cost"], "--mfu is a share of --tflops"),
        (["--tflops", "9"], "belong to --cost"),
    ],
)
def test_options_of_plan_that_nothing_would_read(study: Path, words: list[str], said: str) -> None:
    refused(study, "plan", "tiny.yaml", *words, said=said)


def test_init_keeps_what_is_there(study: Path) -> None:
    (study / "recipe.yaml").write_text("mine")
    refused(study, "init", said=("recipe.yaml: there already", "--force"))
    refused(study, "init", "target.csv", said=("target.csv: cannot be written", "choose another folder"))
    shutil.rmtree(study / "runs", ignore_errors=True)
    succeeded("init", "fresh")
    assert {"fresh/recipe.yaml", "fresh/harmless.jsonl"} <= set(files(study))
