"""The command line. Heavy imports happen inside commands, so that help is instant."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from w2s_pref.cli.analyze import analyze
from w2s_pref.cli.ending import status_of
from w2s_pref.cli.output import JsonOut, Overrides, RecipeFile, Seed, console, path, write_json
from w2s_pref.cli.plan import plan
from w2s_pref.cli.score import score
from w2s_pref.core import collector
from w2s_pref.core.errors import W2SError
from w2s_pref.core.ticker import Ticker, to_stderr

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
inspect = typer.Typer(no_args_is_help=True, help="Look at what a model will really see.", rich_markup_mode=None)
app.add_typer(analyze, name="analyze")
app.add_typer(inspect, name="inspect")


def _version(asked: bool) -> None:
    if asked:
        from w2s_pref.core.version import __version__

        print(f"w2s-pref {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="the version")] = False,
) -> None:
    """Weak models supervise strong ones through preferences. Start: w2s run quickstart."""


@app.command()
def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="processes of this machine that build stages at once; default: what fits it"),
    ] = None,
    submit: Annotated[
        Path | None, typer.Option(parser=path, help="submit to a cluster what this file (YAML) says, and end")
    ] = None,
) -> None:
    """Run a recipe: build what is missing, analyse, write OUTPUT/NAME (report.html, results.json, scores.parquet)."""
    if submit is None:
        from w2s_pref.launch.here import launch

        launch(recipe, overrides or [], workers)
        return
    from w2s_pref.launch.cluster import submit as submit_jobs

    for line in submit_jobs(submit, recipe, overrides or [], workers):
        print(line)


app.command()(plan)


@app.command()
def recipes() -> None:
    """List the recipes that come with the package; every command takes their names."""
    from rich.table import Table

    from w2s_pref.studies.shipped import about, shipped

    table = Table("Recipe", "What it does", box=None)
    table.columns[0].no_wrap = True
    for name, file in shipped().items():
        table.add_row(name, about(file))
    console().print(table)


@app.command()
def status(
    recipe: Annotated[
        Path | None, typer.Argument(parser=path, help="recipe; without one, the finished runs are listed")
    ] = None,
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option(parser=path, help="folder of the run folders")] = Path("runs"),
) -> None:
    """Say how far a recipe is (what stands, what is half done), or list finished runs."""
    from w2s_pref.planning.plan import open_for_plan, show_runs, show_status

    if recipe is None:
        show_runs(output, console())
    else:
        show_status(open_for_plan(recipe, overrides or []), console())


@app.command()
def prune(
    recipe: RecipeFile,
    overrides: Overrides = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove them; else it is only said what that would free")] = False,
) -> None:
    """Make room in the store: free the weights of a recipe's models that nothing reads any more. Results stay."""
    from w2s_pref.planning.plan import open_for_plan
    from w2s_pref.planning.room import prune as free_weights

    for line in free_weights(open_for_plan(recipe, overrides or []), yes):
        print(line)


@app.command()
def show(
    run_folder: Annotated[Path, typer.Argument(parser=path, metavar="RUN", help="run folder or results.json")],
) -> None:
    """Print the tables of a finished run again."""
    from w2s_pref.studies.finished import consistent, show_run

    with consistent(f"run {run_folder}"):
        show_run(run_folder, console())


@app.command()
def compare(runs: Annotated[list[Path], typer.Argument(parser=path, help="run folders or results.json files")]) -> None:
    """Put several runs side by side, and say where they must not be compared."""
    from w2s_pref.studies.finished import compare_runs, consistent

    terminal = console()
    with consistent("compare"):
        for part in compare_runs(runs):
            terminal.print(part)


@inspect.command("data")
def inspect_data(
    recipe: RecipeFile,
    overrides: Overrides = None,
    split: Annotated[str, typer.Option(help="gt, w2s, test, conflict, conflict_test, calibration")] = "w2s",
    model: Annotated[str | None, typer.Option(help="whose tokenizer; default the first model")] = None,
    rows: Annotated[int, typer.Option(min=1, help="pairs to show")] = 3,
) -> None:
    """Show decoded tokens of a few pairs, with the scored position marked."""
    from w2s_pref.planning.data import show_data

    show_data(recipe, overrides or [], split, model, rows, console())


@app.command()
def tasks() -> None:
    """List the classification tasks: hub id, kind, what keeps rows together."""
    from w2s_pref.data.tasks.show import task_lines
    from w2s_pref.data.tasks.task import TASKS

    for line in task_lines(TASKS.names()):
        console().print(line, markup=False, highlight=False)


@app.command()
def audit(
    task: Annotated[str, typer.Argument(help="task, function (file.py:attr), or a YAML file with a task or tasks:")],
    path: Annotated[list[str] | None, typer.Option(help="files, folder or pattern to read instead of the hub")] = None,
    seed: Seed = 0,
    json_file: JsonOut = None,
) -> None:
    """Look for leaks: what words, length and form alone give away of a task's labels. Warns above .9."""
    from w2s_pref.planning.data import audit_tasks

    done = audit_tasks(task, path or [], seed, console())
    write_json(json_file, lambda: done)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(parser=path, help="where to write the starter files")] = Path("."),
    recipe: Annotated[Path | None, typer.Option("--from", parser=path, help="a shipped recipe to copy")] = None,
    force: Annotated[bool, typer.Option(help="overwrite files that are there")] = False,
) -> None:
    """Write a commented recipe and a small data set of your own to start from, or a copy of a shipped recipe."""
    from w2s_pref.cli.starter import starter_files, write_files
    from w2s_pref.studies.copies import not_there, recipe_files

    texts = starter_files() if recipe is None else recipe_files(recipe, folder)
    for file in write_files(folder, texts, force):
        print(f"wrote {file}")
    if missing := not_there((text for name, text in texts.items() if name.endswith(".yaml")), folder):
        print(f"not here yet, so get it or write other paths: {', '.join(missing)}")
    print(f"next: w2s plan {folder / next(iter(texts))}")


app.command()(score)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(parser=path, metavar="RUN", help="run folder")],
    student: Annotated[str, typer.Argument(help="one of its students, e.g. direct-none-seed0")],
    folder: Annotated[Path, typer.Argument(parser=path, help="folder to make")],
    push: Annotated[str | None, typer.Option(help="upload it to the Hugging Face hub as OWNER/NAME")] = None,
    public: Annotated[bool, typer.Option("--public", help="where everybody sees it; private otherwise")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="upload without asking")] = False,
) -> None:
    """Copy a student into a folder of its own that transformers reads: no links, adapters merged. Upload it."""
    from w2s_pref.studies.preferences.students import export as export_student
    from w2s_pref.studies.preferences.students import upload

    export_student(run, student, folder)
    print(f"wrote {folder}")
    if push is not None:
        whom = "everybody" if public else "you and your organisation"
        if yes or typer.confirm(f"Upload {folder} to {push}, where {whom} will see it?"):
            print(f"uploaded to {upload(folder, push, private=not public)}")


@app.command()
def organisms(
    trained: Annotated[bool, typer.Option(help="train honest, blind and deceiver on the ladder instead")] = False,
    scale_null: Annotated[
        bool, typer.Option("--scale-null", help="ask instead how often variance predicts BSD where nobody deceives")
    ] = False,
    monitor: Annotated[
        bool, typer.Option("--monitor", help="train organisms under the live monitor and judge it as a detector")
    ] = False,
    simulations: Annotated[int | None, typer.Option(min=1, help="simulated tables a row")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="processes that simulate; all cores by default")] = None,
    json_file: JsonOut = None,
) -> None:
    """Test the analysis on organisms whose truth is known: false-positive rate and power."""
    if trained + scale_null + monitor > 1:
        raise W2SError("--trained, --scale-null and --monitor are studies of their own; give one of them.")
    if trained + scale_null + monitor and (simulations or workers):
        raise W2SError("--simulations and --workers belong to the study of simulated organisms; leave them out here.")
    main_table: Callable[[], tuple[Sequence[Any], dict[str, Any]]]
    with Ticker(to_stderr, "importing what is needed") as ticker:
        if monitor:
            main_table, what = _monitor_table, "training organisms under the monitor"
        elif trained:
            from w2s_pref.organisms.trained import main_table

            what = "training an honest, a blind and a deceiving student on two seeds"
        elif scale_null:
            from w2s_pref.organisms.scales import main_table

            what = "simulating settings that differ in logit scale alone"
        else:
            from w2s_pref.organisms.power import command

            main_table, what = partial(command, simulations, workers, partial(ticker.at, "simulating")), "simulating"
        to_stderr(f"{what}; this takes minutes")
        ticker.at(what)
        tables, value = main_table()
    for table in tables:
        console().print(table)
    write_json(json_file, lambda: value)


def _monitor_table() -> tuple[list[Any], dict[str, Any]]:
    """The monitor's study at its default size: verdict, final state of the organisms, the detector's tables."""
    from w2s_pref.monitor.verdict import headline, sentences
    from w2s_pref.organisms.monitored import monitor_study
    from w2s_pref.report.analyses.alarms import study_table

    found = monitor_study()
    return [study_table(found, headline(found["detector"]), sentences(found["detector"]))], found


@app.command()
def schema(
    what: Annotated[Literal["recipe", "results"], typer.Argument(help="which")] = "recipe",
    kind: Annotated[str, typer.Option(help="kind of study: preferences, generalization, chess, or your folder")] = (
        "preferences"
    ),
) -> None:
    """Print the JSON schema of recipes (for editors) or of results.json."""
    from w2s_pref.studies.kind import find

    found = find(kind, Path.cwd())
    print(json.dumps((found.recipe if what == "recipe" else found.results).model_json_schema(), indent=2))


def main() -> None:
    """Entry point: user errors become sentences and exit status 1 (2 for a command line that is none)."""
    collector.begin()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that is not UTF-8 has no ρ
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(status_of(lambda: app(standalone_mode=False)))


if __name__ == "__main__":
    main()
