"""Run a study from Python, and what is known of a run: results, tables, students, comparison."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.paths import local_path
from w2s_pref.core.references import did_you_mean
from w2s_pref.interface.comparison import Comparison
from w2s_pref.interface.page import card
from w2s_pref.interface.recipes import Recipe, command, given_recipe, overrides
from w2s_pref.interface.tables import label_frame, score_frame
from w2s_pref.results.preferences import Results
from w2s_pref.studies.finished import consistent, read_run

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def run(recipe: Recipe, *, workers: int | None = None, **keys: Any) -> Run:
    """Build what the store lacks, write the run folder and open it. What stands already is not computed again.

    Args:
        recipe: a name of ``w2s recipes``, the path of a recipe, or its keys as a dictionary (whose relative paths
            start at the working directory).
        workers: processes of this machine that build stages at once, as ``w2s run --workers``; 1 builds in this
            process alone. Default: as many as the recipe and the machine have room for, and 1 where the recipe names
            something that is registered in this process.
        keys: recipe keys in place of its own, as ``KEY=VALUE`` of ``w2s run``: ``seeds=[0]``, ``name="mine"``,
            ``**{"training.learning_rate": 1e-3}``. ``output="FOLDER"`` says where the run folder goes (default
            ``runs``), ``store="FOLDER"`` where artifacts are kept (default ``OUTPUT/store``).

    Returns:
        The finished run.

    Raises:
        W2SError: the recipe, the data, the models or the machine cannot do it; nothing half-written stays.
    """
    from rich.console import Console

    from w2s_pref.launch.display import StageDisplay
    from w2s_pref.launch.here import build_here
    from w2s_pref.parallel.world import World

    if workers is not None and (type(workers) is not int or workers < 1):
        raise W2SError(f"workers={workers!r}: give a number of processes, 1 or more, or None for what fits the machine")
    given, changes = given_recipe(recipe), overrides(keys)
    with StageDisplay(Console(), World().main) as display:
        folder = build_here(given, changes, display, command(recipe, keys, workers), workers)
    return Run(folder)


def open_run(folder: str | Path) -> Run:
    """A finished run.

    Args:
        folder: its run folder, or the results.json in it.

    Raises:
        W2SError: not there, damaged, or written by another version.
    """
    return Run(folder)


class Run:
    """A finished run of any kind of study, read from its folder.

    Attributes:
        folder: the run folder.
        kind: of the study: ``preferences``, ``generalization``, ``chess``, or one of your own.
        results: results.json as an object; of a study of preferences ``w2s_pref.results.preferences.Results``, of
            another kind its own schema (``w2s schema results --kind KIND``).
    """

    folder: Path
    kind: str
    results: Results

    def __init__(self, folder: str | Path) -> None:
        found = read_run(_folder(folder, "run"))
        self.folder, self.kind = found.folder, found.kind.name
        self.results = cast(Results, found.results)  # for the main kind; others are read as their own schema says

    @property
    def name(self) -> str:
        """The study's name."""
        return str(getattr(self.results, "name", self.folder.name))

    @property
    def verdict(self) -> str:
        """The headline of the report; "" where a kind of study has none."""
        return str(getattr(getattr(self.results, "verdict", None), "headline", ""))

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Every model's score of every test pair, a row each; see ``docs/python.md`` for the columns.

        Raises:
            W2SError: a study of another kind, or a table that is gone.
        """
        self._of_preferences("scores")
        with consistent(f"run {self.folder}"):
            return score_frame(self.folder, self.results)

    @cached_property
    def labels(self) -> pd.DataFrame:
        """Every weak label, a row each: ``name`` (ARM/hopN), ``seed``, ``p_true``, ``keep``, and the pair.

        Raises:
            W2SError: a study of another kind, or a table that is gone.
        """
        self._of_preferences("labels")
        with consistent(f"run {self.folder}"):
            return label_frame(self.folder)

    def compare(self, *others: Run | str | Path) -> Comparison:
        """This run (A) beside others (B, C …), and where they must not be compared.

        Raises:
            W2SError: no other run, one of another kind, or of a kind without comparison.
        """
        if not others:
            raise W2SError('compare: name a run to set beside this one: run.compare(other), or the folder "runs/NAME"')
        return Comparison([self.folder, *(_folder(one, "compare") for one in others)])

    def student(
        self, arm: str, conflict: str = "none", seed: int | None = None
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """A student as plain transformers read it, in evaluation mode, and its tokenizer.

        Args:
            arm: as tables name it, such as ``direct``.
            conflict: the setting, such as ``none`` or ``explicit``.
            seed: of the training; by default the first of the run.

        Raises:
            W2SError: no such arm, setting or seed (it lists what there is), or a student that was never trained.
        """
        from w2s_pref.models.load import load_saved
        from w2s_pref.models.policies import load_saved_policy
        from w2s_pref.studies.preferences.folders import student_folder
        from w2s_pref.studies.preferences.students import check_weights
        from w2s_pref.training.environment import quiet

        self._of_preferences("students")
        arms = {each.name: each for each in self.results.arms}
        found = arms[self._one_of("arm", arm, list(arms))]
        self._one_of(f"conflict setting of {arm}", conflict, [setting.conflict for setting in found.settings])
        seed = self.results.seeds[0] if seed is None else seed
        if seed not in self.results.seeds:
            raise W2SError(f"run {self.folder}: no seed {seed!r}; there are {_listed(self.results.seeds)}")
        check_weights(self.results, found, seed)
        quiet()
        load = load_saved_policy if self.results.makes_policies(found.method) else load_saved
        return load(self.folder / "students" / student_folder(arm, conflict, seed))

    def _one_of(self, what: str, word: str, known: list[str]) -> str:
        if word not in known:
            near = did_you_mean(str(word), known)
            raise W2SError(f"run {self.folder}: no {what} {word!r}{near or ';'} there are {_listed(known)}")
        return word

    def _of_preferences(self, what: str) -> None:
        if self.kind != "preferences":
            raise W2SError(f"run {self.folder}: a study of kind {self.kind} has no {what}; run.results has its numbers")

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}): {self.verdict or self.kind}"

    def _repr_html_(self) -> str:
        return card(self.name, self.verdict, getattr(getattr(self.results, "verdict", None), "sentences", []))


def _folder(run: Run | str | Path, where: str) -> Path:
    if isinstance(run, Run):
        return run.folder
    if not isinstance(run, str | Path):
        raise W2SError(f"{where}: give a run, or the folder of one; this is of type {type(run).__name__}")
    return local_path(run, where)


def _listed(known: Any) -> str:
    return ", ".join(map(str, known)) or "none"
