"""Early stopping on weak agreement: a training ends where the student agrees best with labels of held-out pairs."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.stages.labels import LabelStage
from w2s_pref.stages.pooled import TIED, PooledScores
from w2s_pref.stages.watch import margins_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from w2s_pref.training.fit import FitJob
    from w2s_pref.training.policy import PolicyJob
    from w2s_pref.training.selection import Selection


@dataclass(frozen=True, eq=False)
class Stop:
    """When a training ends, and which of its models is kept.

    ``labels`` are the supervisor's, of pairs that are not trained on; no ground truth. ``patience`` evaluations without
    a better agreement end the training. ``form``, ``beta`` and ``reference`` (log-probabilities of the held-out pairs)
    say how a policy scores.
    """

    labels: LabelStage
    patience: int
    form: str = "reward_model"
    beta: float = 1.0
    reference: Stage | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """The labels, and the reference's log-probabilities where the score reads them."""
        return {"held out": self.labels, **({"held out reference": self.reference} if self.reference else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """Patience and the form of the score."""
        scores = self.labels.scores
        ties = TIED.get(scores.combine, {}) if isinstance(scores, PooledScores) else {}
        return {"patience": self.patience, "form": self.form, "beta": self.beta, **ties}

    def selection(
        self, builder: Builder, job: FitJob | PolicyJob, tokenizer: PreTrainedTokenizerBase, work: Path, longest: int
    ) -> Selection:
        """What evaluates the training of ``job``, and keeps its best model under ``work``."""
        from w2s_pref.training.selection import Selection, ValidationItems

        labels = builder.table(self.labels).set_index("id")["p"]
        frame = self.labels.scores.on.frame
        reference = None if self.reference is None else builder.table(self.reference)
        # ``overlong: drop`` may have left pairs out, for the supervisor or for the student
        read = labels.index if reference is None else labels.index.intersection(list(reference["id"]))
        frame = frame[frame["id"].isin(read)]
        score = margins_of(frame, tokenizer, longest, self.form, self.beta, reference)
        items = ValidationItems(p=labels.loc[frame["id"]].tolist(), patience=self.patience, score=score)
        place = work / "selection"
        place.mkdir(parents=True, exist_ok=True)
        epoch = ceil(len(job.a_ids) / int(job.arguments["batch_size"]))
        return Selection(items, epoch, place, tokenizer, job.base_path)
