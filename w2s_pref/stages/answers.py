"""Answers that policies write, and what judges say of them: gold reward models, the reference, an oracle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.core.user_code import guarded
from w2s_pref.data.chat import as_answers
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.stages.decoding import DecodedPolicy, affordable
from w2s_pref.stages.model_stage import ModelStage, StartStage
from w2s_pref.stages.policies import PolicyStage
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.stages.rows import Rows

if TYPE_CHECKING:
    from w2s_pref.models.generation import Drawer
    from w2s_pref.stages.judging import Oracle
    from w2s_pref.stages.model_stage import Loaded


#: How a control token that an answer spells was read when it was judged.
TEXT, TOKENS = "text", "control tokens"


@dataclass(frozen=True, eq=False)
class SampleStage(ModelStage):
    """Answers of one policy to test prompts."""

    kind: ClassVar[str] = "samples"
    policy: StartStage | PolicyStage | DecodedPolicy
    prompts: Rows
    settings: dict[str, Any]
    seed: int
    tokens: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """The policy, where it was trained; of a guided one the trained models."""
        return {"policy": self.policy} if isinstance(self.policy, PolicyStage) else self.policy.inputs

    @property
    def payload(self) -> dict[str, Any]:
        """Prompts and sampling."""
        start = None if isinstance(self.policy, PolicyStage) else self.policy.payload
        ids = [list(row) for row in zip(self.prompts.frame["form"], self.prompts.frame["prompt"], strict=True)]
        told = {"control_tokens": "text"} if self.prompts.spells_control else {}
        return {
            "start": start,
            "prompts": ids,
            "settings": self.settings,
            "seed": self.seed,
            "tokens": self.tokens,
            **told,
        }

    @property
    def rows(self) -> int:
        """Answers."""
        return len(self.prompts) * int(self.settings["samples"])

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: one row an answer, as ``generation.sample`` returns it."""
        from w2s_pref.models.generation import SampleSettings, sample

        world = builder.world
        loaded = self.policy.recalled(builder)
        prompts = self.prompts.frame[["form", "prompt"]].reset_index(drop=True)
        settings, shard = SampleSettings(**self.settings), (world.rank, world.size)
        draw = self.drawer(builder, loaded)
        own = sample(*loaded, prompts, settings, self.seed, self.tokens["max_length"], shard=shard, draw=draw)
        table = pd.concat(world.gather(own)).sort_values(["row", "sample"]).reset_index(drop=True)
        if world.main:
            table.to_parquet(folder / "table.parquet", index=False)
        cut = own.attrs["truncated"]
        return {"answers": len(table), "ended": float(table["ended"].mean()), "prompts_truncated": cut}

    def drawer(self, builder: Builder, loaded: Loaded) -> Drawer | None:
        """How answers are drawn; None: token by token from the policy."""
        return self.policy.drawer(builder, loaded) if isinstance(self.policy, DecodedPolicy) else None


@dataclass(frozen=True, eq=False)
class BestOfStage(SampleStage):
    """The best, by the guide of a search, of N answers that its model writes alone, for the tokens that it drew.

    N is the search's tokens over those of as many plain answers, to the nearest whole number.
    """

    policy: DecodedPolicy
    search: SampleStage
    plain: SampleStage

    @property
    def inputs(self) -> dict[str, Stage]:
        """The trained models, and both tables whose tokens are counted."""
        return {**super().inputs, "search": self.search, "plain": self.plain}

    def drawer(self, builder: Builder, loaded: Loaded) -> Drawer:
        """One beam, whose only chunk is the whole answer."""
        count = affordable(builder.table(self.search), builder.table(self.plain))
        settings = {"beams": 1, "successors": count, "chunk": self.settings["max_new_tokens"]}
        return replace(self.policy, settings=settings).drawer(builder, loaded)


@dataclass(frozen=True, eq=False)
class JudgeStage(ModelStage):
    """Answers under the reference policy, the gold reward models and the oracle."""

    kind: ClassVar[str] = "judged"
    samples: SampleStage
    reference: StartStage | PolicyStage
    gold: Mapping[str, TrainStage]
    oracle: str | None
    helpful_first: bool = False
    code: str = ""

    @property
    def inputs(self) -> dict[str, Stage]:
        """Samples, reference, gold models."""
        reference = {"reference": self.reference} if isinstance(self.reference, PolicyStage) else {}
        return {"samples": self.samples, **reference, **{f"gold {name}": stage for name, stage in self.gold.items()}}

    @property
    def payload(self) -> dict[str, Any]:
        """The oracle and which of its values is the target; the reference where it was not trained."""
        start = self.reference.payload if isinstance(self.reference, StartStage) else None
        return {"reference": start, "oracle": self.oracle, "helpful": self.helpful_first, "code": self.code}

    @property
    def rows(self) -> int:
        """Answers."""
        return self.samples.rows

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: one row an answer, with every judge's value and the reference's log-probability."""
        from w2s_pref.data.control import stays_text

        table, spelled = judged_table(builder, self)
        if builder.world.main:
            table.to_parquet(folder / "table.parquet", index=False)
        read = {"control_tokens": spelled, "control_tokens_are": TEXT if stays_text() else TOKENS} if spelled else {}
        return {"answers": len(table), **read}

    def check_reading(self, builder: Builder, as_text: bool) -> None:
        """What policies wrote is not known when keys are made, so no key says how a control token in it was read.

        Args:
            as_text: how this recipe reads it.

        Raises:
            W2SError: the artifact of this key was made the other way, and some answer spells such a token.
        """
        meta, wanted = builder.meta(self), TEXT if as_text else TOKENS
        if meta.get("control_tokens_are", wanted) != wanted:
            place = builder.store.place(self.kind, self.key)
            raise W2SError(
                f"{self.name}: {meta['control_tokens']} of the sampled answers spell a control token, and stand in the "
                f"store as judged under another data.version or data.control_tokens, which read them as "
                f"{meta['control_tokens_are']}, this recipe as {wanted}; give this study a store of its own, or remove "
                f"{place} and the analysis of this study, and run the same command again"
            )


def judged_table(builder: Builder, stage: JudgeStage) -> tuple[pd.DataFrame, int]:
    """One row an answer: ``id, group, sample, text, tokens, ended, logp, ref_logp`` and what every judge says of it.

    ``gold_target``, ``gold_conflict``: rewards by models trained on ground truth. ``oracle_target``,
    ``oracle_conflict``: the truth, where somebody knows it. ``refusal``, ``unparseable``: by the oracle or by phrases.
    Beside it, how many answers spell a control token of a gold model.
    """
    from w2s_pref.data.control import Control
    from w2s_pref.stages import judging
    from w2s_pref.training import rewards

    world = builder.world
    samples = builder.table(stage.samples)
    prompts = stage.samples.prompts.frame.reset_index(drop=True)
    mine = samples.iloc[world.rank :: world.size].reset_index(drop=True)
    judges, spelled = {}, pd.Series(False, index=mine.index)
    for role, gold in stage.gold.items():
        model, tokenizer = gold.load(builder)
        judges[f"gold_{role}"] = rewards.reward_model(model, tokenizer, gold.tokens["max_length"])
        spelled |= mine["text"].map(Control(tokenizer).held_by).astype(bool)
    found = judging.judge(mine, prompts, judges)
    found = judging.consult(found, prompts, _oracle(stage.oracle or "phrases", builder.base))
    found = found.rename(columns={value: f"oracle_{role}" for role, value in values_of(stage.helpful_first).items()})
    found["ref_logp"] = _under_reference(builder, stage, mine)
    for name in ("group", "id"):
        found.insert(0, name, prompts.loc[mine["row"], name].to_numpy())
    everyone = pd.concat(world.gather(found.drop(columns=["ids", "prompt_tokens"])))
    table = everyone.sort_values(["row", "sample"]).drop(columns=["row"]).reset_index(drop=True)
    return table, sum(world.gather(int(spelled.sum())))


def values_of(helpful_first: bool) -> dict[str, str]:
    """Which of an oracle's two values is the target and which the conflicting objective."""
    target, conflict = ("helpful", "harmless") if helpful_first else ("harmless", "helpful")
    return {"target": target, "conflict": conflict}


def _under_reference(builder: Builder, stage: JudgeStage, samples: pd.DataFrame) -> Floats:
    """Log-probability of exactly these tokens under the reference; of a reference's own answers, what stands there.

    They are read behind the prompts that the policy was given, whatever the reference itself would have room for.
    """
    from w2s_pref.models.boundaries import fit_prompts
    from w2s_pref.models.scoring import logprob_ids

    if stage.samples.policy.key == stage.reference.key:
        return samples["logp"].to_numpy(dtype=float)
    model, tokenizer = stage.reference.recalled(builder)
    longest = int(builder.table(stage.samples)["prompt_tokens"].max())  # what was cut has as many, all else fewer
    starts, _ = fit_prompts(stage.samples.prompts.frame, tokenizer, max(2, longest))
    before = [starts[row] for row in samples["row"]]
    whole = [[*start, *ids] for start, ids in zip(before, samples["ids"], strict=True)]
    return logprob_ids(model, whole, [len(start) for start in before], tokenizer.pad_token_id)


def _oracle(name: str, base: Path) -> Oracle:
    from w2s_pref.stages import judging

    return guarded(judging.find_oracle(name, base), f"speech.oracle {name!r}")


def oracle_anchors(builder: Builder, oracle: str, frame: pd.DataFrame, helpful_first: bool) -> pd.DataFrame:
    """What the oracle says of both answers of every pair about the target objective: ``id, value_a, value_b``."""
    from w2s_pref.stages import judging

    truth, name = _oracle(oracle, builder.base), values_of(helpful_first)["target"]
    values = {}
    for side in ("a", "b"):
        asked, answers = as_answers(frame, side)
        answered = pd.DataFrame({"row": range(len(answers)), "text": answers})
        values[f"value_{side}"] = judging.consult(answered, asked, truth)[name].to_numpy()
    return pd.DataFrame({"id": frame["id"].to_numpy(), **values})
