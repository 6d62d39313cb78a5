"""The last stage of a preference study: all scores and labels → tables, and the body of its results."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from w2s_pref.core.tables import digest
from w2s_pref.engine.stage import Stage
from w2s_pref.stages.labels import LabelStage, Scored
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.preferences.tables import anchor_table, judged_table, label_table, score_table, study_design

if TYPE_CHECKING:
    from w2s_pref.engine.build import Builder


@dataclass(frozen=True, eq=False)
class AnalyzeStage(Stage):
    """All scores and labels of a study → the body of its results. ``scores`` maps (model, seed, split) to a stage."""

    kind: ClassVar[str] = "analysis"
    version: ClassVar[int] = 3
    on_main: ClassVar[bool] = True
    scores: dict[tuple[str, int, str], Scored]
    labels: dict[tuple[str, int], LabelStage]
    test: Rows
    conflict_test: Rows | None
    design: dict[str, Any] = field(default_factory=dict)
    judged: dict[tuple[str, int], Stage] = field(default_factory=dict)
    anchor: Scored | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """Every score, label and judged-sample stage by name, and the gold scores of the test pairs."""
        scores: dict[str, Stage] = {f"score {m} {s} {t}": stage for (m, s, t), stage in self.scores.items()}
        labels: dict[str, Stage] = {f"label {name} {seed}": stage for (name, seed), stage in self.labels.items()}
        judged = {f"judged {name} {seed}": stage for (name, seed), stage in self.judged.items()}
        return {**scores, **labels, **judged, **({"anchor": self.anchor} if self.anchor is not None else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """Design, and the ground truth of everything that is judged."""
        judged = {stage.scores.on.name: stage.scores.on.truth for stage in self.labels.values()}
        groups = sorted(zip(self.test.frame["id"], self.test.frame["group"], strict=True))
        return {
            "design": self.design,
            "test": [self.test.texts, self.test.truth, digest(*(f"{i}:{g}" for i, g in groups))],
            "conflict_test": [self.conflict_test.texts, self.conflict_test.truth] if self.conflict_test else None,
            "labelled": judged,
        }

    @property
    def rows(self) -> int:
        """Items analysed."""
        return len(self.test)

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``scores``, ``labels`` and, where policies spoke, ``answers`` as Parquet; ``body.json``."""
        from w2s_pref.analysis.preferences.metrics import functions
        from w2s_pref.analysis.preferences.study import summarize

        scores, dropped = score_table(builder, self.scores)
        labels = label_table(builder, self.labels)
        scores.to_parquet(folder / "scores.parquet", index=False)
        labels.to_parquet(folder / "labels.parquet", index=False)
        judged = judged_table(builder, self.judged, self.design["temperature"])
        anchors = None if self.anchor is None else anchor_table(builder, self.anchor, self.test.frame, self.design)
        if judged is not None:
            judged.to_parquet(folder / "answers.parquet", index=False)
        own = functions(list(self.design.get("metrics", [])), builder.base)
        body = summarize(scores, labels, self.test.frame, study_design(self.design), judged, anchors, own)
        body = body.model_copy(update={"warnings": dropped + body.warnings})
        (folder / "body.json").write_text(body.model_dump_json(indent=1), encoding="utf-8")
        return {"rows": len(scores)}
