"""Jobs of a cluster work on one recipe together: an array of ``w2s run`` through submitit, on one shared store."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from w2s_pref.core.errors import W2SError, masked
from w2s_pref.core.paths import PathText
from w2s_pref.core.strict import Section, read_section
from w2s_pref.core.yaml_io import load_yaml


class ClusterConfig(Section):
    """What ``--submit`` reads."""

    jobs: int = Field(ge=1, description="jobs that run the recipe together")
    cluster: str | None = Field(None, description="slurm, local or debug; default: what submitit finds")
    folder: PathText = Field("jobs", description="logs and submitit's files; every machine must see it")
    parameters: dict[str, Any] = Field(default_factory=dict, description="submitit's, by its names: timeout_min, …")


@dataclass(frozen=True)
class ClusterJob:
    """One job: ``w2s run`` in the folder it was submitted from."""

    recipe: str
    overrides: list[str]
    folder: str
    workers: int | None

    def __call__(self) -> None:
        """Run; sentences of errors go to the job's log, and its status says that it failed."""
        from w2s_pref.launch.here import launch

        os.chdir(self.folder)
        try:
            launch(Path(self.recipe), self.overrides, self.workers)
        except W2SError as error:
            for problem in error.problems:
                print(f"error: {problem}", file=sys.stderr)
            raise

    def checkpoint(self) -> Any:
        """Asked by submitit before a time limit or a preemption: the same job again continues."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit(file: Path, recipe: Path, overrides: list[str], workers: int | None) -> list[str]:
    """Submit the jobs; returns what to tell the user, what ``w2s plan`` warns of first.

    Raises:
        W2SError: submitit is not installed, or something in the file or the recipe is wrong.
    """
    from w2s_pref.planning.plan import open_for_plan
    from w2s_pref.studies.notices import warnings_of

    try:
        import submitit
    except ImportError as error:
        raise W2SError("--submit needs submitit: pip install 'w2s-pref[cluster]'") from error
    config = read_section(ClusterConfig, load_yaml(file), str(file))
    warnings = warnings_of(open_for_plan(recipe, overrides))  # every mistake is said here, not in a job's log
    try:
        executor = submitit.AutoExecutor(folder=config.folder, cluster=config.cluster)
        executor.update_parameters(**{"name": f"w2s-{recipe.stem}", **config.parameters})
        job = ClusterJob(str(recipe), overrides, str(Path.cwd()), workers)
        with executor.batch():
            jobs = [executor.submit(job) for _ in range(config.jobs)]
    except (NameError, AssertionError, ValueError, RuntimeError) as error:
        raise W2SError(f"{file}: submitit says: {' '.join(str(error).split())}") from error
    names = ", ".join(found.job_id for found in jobs)
    status = masked(shlex.join(["w2s", "status", str(recipe), *overrides]))
    submitted = f"submitted {len(jobs)} jobs: {names}; logs in {config.folder}"
    return [*warnings, submitted, f"how far they are: {status}"]
