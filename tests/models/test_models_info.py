"""What the key of a start sees of its folder."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from conftest import save_tiny

from w2s_pref.models.info import facts
from w2s_pref.models.spec import ModelSpec
from w2s_pref.studies.preferences.reward_code import reward_code
from w2s_pref.training.methods import FOLDER


def test_tokens_that_end_an_answer_are_in_it(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model")
    spec, file = ModelSpec(path=str(folder)), folder / "generation_config.json"
    plain = facts(spec, tmp_path).hash
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token_id": [101, 5]}))
    ends = facts(spec, tmp_path).hash
    file.unlink()
    assert facts(spec, tmp_path).hash == plain != ends


def test_code_that_may_run_is_in_it(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model")
    spec, trusted = ModelSpec(path=str(folder)), ModelSpec(path=str(folder), trust_remote_code=True)
    seen = []
    for text in ("A = 1\n", "A = 2\n"):
        (folder / "modeling_own.py").write_text(text)
        seen.append((facts(spec, tmp_path).hash, facts(trusted, tmp_path).hash))
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_a_reward_is_its_weights_and_what_reads_texts_for_them(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model")
    study: Any = SimpleNamespace(base=tmp_path, recipe=SimpleNamespace(data=SimpleNamespace(target_objective="target")))
    method: Any = SimpleNamespace(name="ppo", config=SimpleNamespace(reward=f"{FOLDER}{folder}"))
    before = reward_code(study, method)
    file = folder / "tokenizer.json"
    read = json.loads(file.read_text())
    words = read["model"]["vocab"]
    first, second = list(words)[3:5]
    words[first], words[second] = words[second], words[first]
    file.write_text(json.dumps(read))
    assert reward_code(study, method) != before
