"""Build the stages of policies: log-probabilities, training on pairs and from rewards, answers, judgement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.stages.policies import (
    JudgeStage,
    LogProbStage,
    OnlinePolicyStage,
    PairPolicyStage,
    PolicyScoreStage,
    PolicyStage,
    SampleStage,
    StartStage,
)
from w2s_pref.stages.rewards_labels_scores import LabelStage
from w2s_pref.stages.watch import keep, looks, monitor

if TYPE_CHECKING:
    from w2s_pref.engine.build import Builder
    from w2s_pref.training.fit_policy import PolicyJob

#: Pairs whose log-probabilities are taken again after a policy was saved and loaded.
CHECKED_PAIRS = 8


def load_start(
    builder: Builder, start: StartStage | PolicyStage, seed: int, trainable: bool = False
) -> tuple[Any, Any]:
    """The causal model that a policy starts from (or is judged against), and its tokenizer."""
    from w2s_pref.models.load import placed
    from w2s_pref.models.policy import load_policy, load_saved_policy

    if isinstance(start, StartStage):
        model, tokenizer = load_policy(start.model.spec, builder.base, start.seed)
    else:
        trusted = start.model.spec.trust_remote_code
        model, tokenizer = load_saved_policy(builder.artifact(start).folder, trusted, trainable=trainable)
    return model if trainable else placed(model.eval()), tokenizer


def build_logprobs(builder: Builder, stage: LogProbStage, folder: Path) -> dict[str, Any]:
    """``table.parquet``: id, logp_a, logp_b, tokens_a, tokens_b."""
    from w2s_pref.models.logprobs import logprob_pairs
    from w2s_pref.training.fit import quiet

    quiet()
    model, tokenizer = builder.policy(stage.policy)
    shard = (builder.world.rank, builder.world.size)
    table = logprob_pairs(model, tokenizer, stage.on.frame, **stage.tokens, shard=shard)
    columns = ["logp_a", "logp_b"]
    parts = builder.world.gather(table[columns].to_numpy(dtype=float))
    table[columns] = np.nanmax(np.stack(parts), axis=0)
    if not np.isfinite(table[columns].to_numpy()).all():
        raise W2SError(f"{stage.name}: a log-probability is not a number; the model diverged or its dtype overflows")
    if builder.world.main:
        table.to_parquet(folder / "table.parquet", index=False)
    return {"pairs": len(table), "dropped": len(stage.on) - len(table)}


def build_policy_scores(builder: Builder, stage: PolicyScoreStage, folder: Path) -> dict[str, Any]:
    """Scores of both answers from log-probabilities (spec: the table of Δ); no model is loaded."""
    own = builder.table(stage.logprobs)
    scores = {}
    for side in ("a", "b"):
        logp = own[f"logp_{side}"].to_numpy()
        if stage.score == "mean_logprob":
            logp = logp / own[f"tokens_{side}"].to_numpy().clip(min=1)
        elif stage.reference is not None:
            reference = builder.table(stage.reference).set_index("id").loc[own["id"], f"logp_{side}"].to_numpy()
            logp = stage.beta * (logp - reference)
        scores[f"score_{side}"] = logp
    pd.DataFrame({"id": own["id"], **scores}).to_parquet(folder / "table.parquet", index=False)
    return {"pairs": len(own), "dropped": len(stage.on) - len(own)}


def build_pairs(builder: Builder, stage: PairPolicyStage, folder: Path) -> dict[str, Any]:
    """A policy trained on labelled pairs."""
    from w2s_pref.training.fit import quiet
    from w2s_pref.training.fit_policy import fit_policy

    quiet()
    builder.let_go()
    model, tokenizer = load_start(builder, stage.start, stage.seed, trainable=True)
    job, counts = _pair_job(builder, stage, tokenizer)
    work = builder.store.partial(stage.kind, stage.key)
    with builder.store.guard():
        work.mkdir(parents=True, exist_ok=True)
    job.monitor = monitor(builder, stage, tokenizer, work)
    done = fit_policy(model, tokenizer, job, work, folder) | keep(job.monitor, work, folder, builder.world.main)
    _write_history(builder, folder, done.pop("history"))
    difference = _check_reload(builder, stage, model, tokenizer, folder, stage.parts[0].rows.frame)
    return {**done, "counts": counts, "pairs": len(job.a_ids), "reload_difference": difference}


def _pair_job(builder: Builder, stage: PairPolicyStage, tokenizer: Any) -> tuple[PolicyJob, dict[str, int]]:
    from w2s_pref.losses.conflict import with_term
    from w2s_pref.losses.spec import with_spec
    from w2s_pref.training.fit_policy import PairObjective, PolicyJob

    lists: dict[str, list[Any]] = {name: [] for name in ("a_ids", "b_ids", "a_starts", "b_starts")}
    columns: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    sizes = []
    for number, part in enumerate(stage.parts):
        tokens, table = builder.part(part, stage, tokenizer, starts=True)
        if stage.references:
            known = builder.table(stage.references[number]).set_index("id").loc[list(tokens.ids)]
            table = table.assign(ref_a=known["logp_a"].to_numpy(), ref_b=known["logp_b"].to_numpy())
        for name, values in lists.items():
            values += getattr(tokens, name)
        for column, entries in table.to_dict("list").items():
            columns.setdefault(str(column), []).extend(entries)
        sizes.append(len(table))
        counts = {name: counts.get(name, 0) + value for name, value in tokens.counts.items()}
    arguments, updates = builder.sized(stage, sizes)
    spec = stage.model.spec
    job = PolicyJob(
        **lists,
        columns=columns,
        arguments=arguments,
        objective=PairObjective(**with_term(with_spec(stage.objective, builder.base), builder.base)),
        seed=stage.seed,
        updates=updates,
        lora=spec.lora,
        base_path=str(stage.model.folder or spec.path),
        progress=builder.progress,
        base=builder.base,
    )
    return job, counts


def build_online(builder: Builder, stage: OnlinePolicyStage, folder: Path) -> dict[str, Any]:
    """A policy trained from rewards of its own answers."""
    from w2s_pref.stages.build_rewards import reward_function
    from w2s_pref.training.fit import quiet

    quiet()
    builder.let_go()
    prompts = _training_prompts(builder, stage)
    reward = reward_function(builder, stage)
    model, tokenizer = load_start(builder, stage.start, stage.seed, trainable=True)
    work = builder.store.partial(stage.kind, stage.key)
    with builder.store.guard():
        work.mkdir(parents=True, exist_ok=True)
    fit = _fit_ppo if stage.algorithm == "ppo" else _fit_trl
    done, trained = fit(builder, stage, model, tokenizer, prompts, reward, work, folder)
    _write_history(builder, folder, done.pop("history"))
    difference = _check_reload(builder, stage, trained, tokenizer, folder, stage.prompts.frame)
    return {**done, "pairs": len(prompts), "reload_difference": difference}


def _fit_ppo(
    builder: Builder, stage: OnlinePolicyStage, model: Any, tokenizer: Any, prompts: Any, reward: Any, work: Path,
    folder: Path,
) -> tuple[dict[str, Any], Any]:  # fmt: skip
    from w2s_pref.training.ppo.fit import PPOJob, fit_ppo
    from w2s_pref.training.ppo.settings import PPOSettings

    spec = stage.model.spec
    reference = load_start(builder, stage.other, stage.seed)[0] if stage.other is not None else None
    job = PPOJob(
        prompts=prompts,
        reward=reward,
        settings=PPOSettings.model_validate(stage.arguments),
        seed=stage.seed,
        max_length=stage.tokens["max_length"],
        lora=spec.lora,
        base_path=str(stage.model.folder or spec.path),
        progress=builder.progress,
        reference=reference,
    )
    watched = monitor(builder, stage, tokenizer, work)
    job.watch = looks(watched, job.settings.updates)
    return fit_ppo(model, tokenizer, job, work, folder) | keep(watched, work, folder, builder.world.main), model


def _fit_trl(
    builder: Builder, stage: OnlinePolicyStage, model: Any, tokenizer: Any, prompts: Any, reward: Any, work: Path,
    folder: Path,
) -> tuple[dict[str, Any], Any]:  # fmt: skip
    """TRL's trainers load policy and reference from a folder: the start's own, or one written for them."""
    from w2s_pref.models.policy import save_policy
    from w2s_pref.training.online import OnlineJob, fit_online

    spec = stage.model.spec
    start = work / "start"
    if builder.world.main:
        save_policy(model, tokenizer, start, str(stage.model.folder or spec.path))
    builder.world.barrier()
    job = OnlineJob(
        prompts=prompts,
        reward=reward,
        arguments=stage.arguments,
        seed=stage.seed,
        lora=spec.lora,
        base_path=str(stage.model.folder or spec.path),
        max_length=stage.tokens["max_length"],
        trust_remote_code=spec.trust_remote_code,
        progress=builder.progress,
    )
    job.monitor = monitor(builder, stage, tokenizer, work)
    algorithm: Literal["rloo", "grpo"] = "rloo" if stage.algorithm == "rloo" else "grpo"
    done = fit_online(algorithm, start, tokenizer, job, work, folder)
    return done | keep(job.monitor, work, folder, builder.world.main), None


def _training_prompts(builder: Builder, stage: OnlinePolicyStage) -> pd.DataFrame:
    """Distinct prompts of the training pairs whose label the filter keeps."""
    frame = stage.prompts.frame
    if isinstance(stage.labels, LabelStage):
        labels = builder.table(stage.labels)
        frame = frame[frame["id"].isin(labels.loc[labels["keep"], "id"])]
    frame = frame.drop_duplicates(["form", "prompt"])[["form", "prompt"]].reset_index(drop=True)
    if not len(frame):
        raise W2SError(f"{stage.name}: no prompt is left (the label filter took them all)")
    return frame


def _check_reload(
    builder: Builder, stage: PolicyStage, model: Any, tokenizer: Any, folder: Path, frame: pd.DataFrame
) -> float:
    """Load what was saved and compare log-probabilities of a few pairs: a stage counts only if they agree."""
    from w2s_pref.models.logprobs import logprob_pairs
    from w2s_pref.models.policy import load_saved_policy

    sample = frame.head(CHECKED_PAIRS)
    loaded, loaded_tokenizer = load_saved_policy(folder, stage.model.spec.trust_remote_code)
    columns = ["logp_a", "logp_b"]
    after = logprob_pairs(loaded, loaded_tokenizer, sample, **stage.tokens)[columns].to_numpy()
    if not np.isfinite(after).all():
        raise W2SError(f"{stage.name}: the saved policy gives log-probabilities that are not numbers")
    builder.hold_policy(stage.key, loaded, loaded_tokenizer)
    if model is None or not builder.world.alone:
        return 0.0
    before = logprob_pairs(model.eval(), tokenizer, sample, **stage.tokens)[columns].to_numpy()
    difference = float(np.abs(before - after).max(initial=0.0))
    tolerance = 1e-3 if stage.model.spec.dtype == "float32" else 5e-1
    if not difference <= tolerance * max(1.0, float(np.abs(before).max(initial=0.0))):
        raise W2SError(f"{stage.name}: saved and trained policy differ (log-probabilities by {difference:.2g})")
    return difference


def build_samples(builder: Builder, stage: SampleStage, folder: Path) -> dict[str, Any]:
    """``table.parquet``: one row an answer."""
    from w2s_pref.models.generation import SampleSettings, sample
    from w2s_pref.training.fit import quiet

    quiet()
    model, tokenizer = builder.policy(stage.policy)
    prompts = stage.prompts.frame[["form", "prompt"]].reset_index(drop=True)
    settings = SampleSettings(**stage.settings)
    shard = (builder.world.rank, builder.world.size)
    own = sample(model, tokenizer, prompts, settings, stage.seed, stage.tokens["max_length"], shard=shard)
    table = pd.concat(builder.world.gather(own)).sort_values(["row", "sample"]).reset_index(drop=True)
    if builder.world.main:
        table.to_parquet(folder / "table.parquet", index=False)
    cut = own.attrs["truncated"]
    return {"answers": len(table), "ended": float(table["ended"].mean()), "prompts_truncated": cut}


def build_judged(builder: Builder, stage: JudgeStage, folder: Path) -> dict[str, Any]:
    """``table.parquet``: one row an answer, with every judge's value and the reference's log-probability."""
    from w2s_pref.stages.build_rewards import judged_table
    from w2s_pref.training.fit import quiet

    quiet()
    table = judged_table(builder, stage)
    if builder.world.main:
        table.to_parquet(folder / "table.parquet", index=False)
    return {"answers": len(table)}


def _write_history(builder: Builder, folder: Path, history: list[dict[str, Any]]) -> None:
    if builder.world.main:
        (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
