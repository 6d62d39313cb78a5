"""What stands behind a reward that a recipe names: a function's code, or the weights of a saved reward model."""

from __future__ import annotations

from pathlib import Path

from w2s_pref.core.errors import W2SError, file_hash
from w2s_pref.core.hashes import remembered_hash
from w2s_pref.core.json_io import read_json
from w2s_pref.core.references import locate
from w2s_pref.core.tables import digest
from w2s_pref.engine.manifest import MANIFEST
from w2s_pref.models.spec import TOKENIZER_FILES
from w2s_pref.models.standalone import FACTS
from w2s_pref.studies.preferences.check import check_reward
from w2s_pref.studies.preferences.study import Study
from w2s_pref.training.methods import FOLDER, REWARDS, Method


def reward_code(study: Study, found: Method) -> str:
    """Hash of the code or of the weights behind a reward that the recipe names.

    Raises:
        W2SError: a folder that holds no saved reward model, or one of another objective than the recipe's target.
    """
    where = f"methods.{found.name}.reward"
    if not found.config.reward.startswith(FOLDER):
        check_reward(study, found)
        return REWARDS.code(found.config.reward, study.base)
    folder = locate(found.config.reward.removeprefix(FOLDER), study.base)
    weights = sorted(folder.glob("*.safetensors")) if folder is not None else []
    if folder is None or not weights:
        raise W2SError(f"{where}: there is no saved reward model at {found.config.reward.removeprefix(FOLDER)!r}")
    target = study.recipe.data.target_objective
    taught = _objective(folder, where) or target
    if taught != target:
        raise W2SError(
            f"{where}: the reward model at {folder} was trained on {taught!r}, but the recipe's target is "
            f"{target!r}; name a reward model of that objective"
        )
    others = [folder / name for name in ("config.json", *TOKENIZER_FILES) if (folder / name).is_file()]
    return digest(*(remembered_hash(path) for path in weights), *(file_hash(path) for path in others))


def _objective(folder: Path, where: str) -> str | None:
    """What a student's folder, or a model of a store, says it was trained on; None where it says nothing."""
    if (folder / FACTS).is_file():
        return read_json(folder / FACTS, where).get("objective")
    return (
        read_json(folder / MANIFEST, where).get("meta", {}).get("objective") if (folder / MANIFEST).is_file() else None
    )
