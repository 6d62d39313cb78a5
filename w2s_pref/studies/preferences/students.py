"""The students of a run, a folder each: weights, tokenizer, configuration and model card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from w2s_pref.core.errors import W2SError
from w2s_pref.core.hashes import remembered_hash
from w2s_pref.core.json_io import read_json
from w2s_pref.engine.stage import Builder
from w2s_pref.engine.store import Artifact
from w2s_pref.models.standalone import FACTS, link_or_copy, merge_adapter, write_standalone
from w2s_pref.results.preferences import Arm, Results
from w2s_pref.results.read import load_results
from w2s_pref.stages.policies import PolicyStage
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.studies.preferences.folders import student_folder
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.preferences.study import Study
from w2s_pref.training.methods import ALGORITHMS

#: Where there is none to copy.
NONE = "none (give a run folder; where w2s prune freed the weights of its students, they are gone)"


def write_students(
    recipe: Recipe, study: Study, builder: Builder, results: Results, folder: Path, before: Path
) -> None:
    """A folder per student, ``ARM-CONFLICT-seedN``; weights are hard links into the store where that is possible.

    Weights that were freed in the store come from ``before``, the students of the run that is replaced; a student whose
    weights are nowhere has no folder.
    """
    from w2s_pref.report.cards import model_card

    for arm in study.chains:
        for conflict in recipe.conflict.names:
            for seed in recipe.seeds:
                stage = study.trained.get((f"{arm}/{conflict}", seed))
                if stage is None:
                    continue
                place = folder / student_folder(arm, conflict, seed)
                ends = not isinstance(stage, PolicyStage)
                model = builder.artifact(stage)
                kept = _weights(model, before / place.name)
                if kept is None:
                    continue
                write_standalone(model.folder, place, ends, recipe.data.max_length, link=True)
                for file in kept:
                    link_or_copy(file, place / file.name)
                adapter = (place / "adapter_config.json").is_file()
                facts = {"arm": arm, "conflict": conflict, "seed": seed, "objective": _objective(stage)}
                (place / FACTS).write_text(json.dumps(facts), encoding="utf-8")
                (place / "README.md").write_text(model_card(results, arm, conflict, seed, adapter), encoding="utf-8")


def _weights(model: Artifact, before: Path) -> list[Path] | None:
    """Files in ``before`` that are the weights which were freed; None where they are not all there."""
    files = [before / name for name in sorted(model.freed)]
    as_they_were = all(file.is_file() and remembered_hash(file) == model.manifest["files"][file.name] for file in files)
    return files if as_they_were else None


def _objective(stage: TrainStage | PolicyStage) -> str | None:
    """What this study calls that which a reward model learned: no key holds the name, so another may have trained it.

    None for policies, and for models that nothing was taught.
    """
    if isinstance(stage, PolicyStage) or not stage.parts:
        return None
    return str(stage.parts[0].rows.frame["objective"].iloc[0])


def check_weights(results: Results, arm: Arm, seed: int) -> None:
    """Refuse a student that was never trained: a model of the recipe as it is, guided by a weak policy.

    Raises:
        W2SError: it is one; where both models are.
    """
    found = ALGORITHMS.get(results.algorithm(arm.method))
    if found is None or found.family != "decoding":
        return
    *before, strong = arm.chain
    guide = f"ceiling/{before[0]}" if len(before) == 1 else f"{arm.name}/hop{len(before) - 1}"
    key, model = results.provenance.stages.get(f"{guide} · seed {seed}", ""), strong.partition("@")[0]
    raise W2SError(
        f"{arm.name} has no weights of its own: nothing is trained, {before[-1]} guides {model} while it writes. Load "
        f"models.{model}.path of the recipe ({results.models[model].path}) and its guide, folder policy/{key} of the "
        "run's store; what it said stands in answers.parquet"
    )


def export(run: Path, student: str, folder: Path) -> None:
    """Copy a student into a new folder that needs nothing else: no links, and an adapter merged into its base.

    Raises:
        W2SError: no run folder, no such student, ``folder`` is there, or it cannot be written.
    """
    students = run / "students"
    names = sorted(path.name for path in students.iterdir()) if students.is_dir() else []
    if student not in names:
        _check_trained(run, student)
        raise W2SError(f"{run}: no student {student!r}; there are: {', '.join(names) or NONE}")
    if folder.exists():
        raise W2SError(f"{folder}: there already; give a folder that is to be made")
    fresh = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(students / student, fresh)
        _whole(run, fresh)
        fresh.replace(folder)
    except OSError as error:
        reason = error.strerror or _of_copies(error)
        raise W2SError(f"{folder}: cannot be written ({reason}); give another place") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _of_copies(error: OSError) -> str:
    """Why the first file could not be copied: ``shutil.Error`` holds (from, to, reason) of each."""
    return str(error.args[0][0][-1]) if isinstance(error, shutil.Error) else str(error)


def _check_trained(run: Path, student: str) -> None:
    if not (run / "results.json").is_file():
        return
    results = load_results(run)
    for arm in results.arms:
        for seed in results.seeds:
            if student in {student_folder(arm.name, one.conflict, seed) for one in arm.settings}:
                check_weights(results, arm, seed)


def upload(folder: Path, name: str, private: bool) -> str:
    """Upload a model folder to the Hugging Face hub under ``owner/name``, which is made where it is not there.

    Returns:
        Its address.

    Raises:
        W2SError: no token, no right to write there, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload a student of w2s-pref")
    except Exception as error:  # the hub's library raises its own kinds, the transport's, and the system's
        reason = " ".join(str(error).split()) or type(error).__name__
        raise W2SError(
            f"{name}: not uploaded ({reason[:400]}); if the right is missing, `hf auth login` gives a token"
        ) from error
    return str(address)


def _whole(run: Path, folder: Path) -> None:
    """Merge an adapter; its card is written anew, with the lines that load a whole model."""
    from w2s_pref.report.cards import model_card
    from w2s_pref.training.environment import quiet

    if not (folder / "adapter_config.json").is_file():
        return
    facts = read_json(folder / FACTS, str(folder))
    results = load_results(run)
    policy = any(results.makes_policies(arm.method) for arm in results.arms if arm.name == facts["arm"])
    quiet()
    merge_adapter(folder, policy=policy)
    card = model_card(results, facts["arm"], facts["conflict"], facts["seed"])
    (folder / "README.md").write_text(card, encoding="utf-8")
