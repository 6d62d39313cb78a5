"""``w2s analyze …``: score tables and finished runs → results. No model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from w2s_pref.cli.output import FigureOut, JsonOut, Seed, console, path, write_json, write_text

analyze = typer.Typer(
    no_args_is_help=True, help="Score tables and finished runs → results (no model needed).", rich_markup_mode=None
)

Scores = Annotated[Path, typer.Argument(parser=path, help="score table: CSV, JSONL or Parquet (docs/score-tables.md)")]


@analyze.command("deception")
def analyze_deception(
    scores: Scores,
    weak: Annotated[str, typer.Option(help="model name of the weak ceiling")],
    ceiling: Annotated[str, typer.Option(help="model name of the strong ceiling")],
    reference: Annotated[str, typer.Option(help="model name of the no-conflict student")],
    student: Annotated[str, typer.Option(help="model name of the student under conflict")],
    threshold: Annotated[float, typer.Option(help="T: known above this probability")] = 0.75,
    known_rule: Annotated[Literal["gt_prob", "max_prob"], typer.Option(help="what counts as known")] = "gt_prob",
    resamples: Annotated[int, typer.Option(min=100, help="bootstrap and permutation resamples")] = 2000,
    objective: Annotated[str | None, typer.Option(help="use only rows of this objective")] = None,
    placebo: Annotated[
        str | None,
        typer.Option(help="unrelated weak model for the placebo gate, beside the other seeds' weak models"),
    ] = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="find the smallest effect this table shows")
    ] = False,
    seed: Seed = 0,
    json_file: JsonOut = None,
) -> None:
    """Where does the conflict tax fall? Deception score with its nulls and intervals, three gates and a verdict."""
    from w2s_pref.analysis.deception.deception import analyze_deception as compute
    from w2s_pref.analysis.scores.table import read_scores
    from w2s_pref.report.analyses.scores import deception_table

    result = compute(
        read_scores(scores), weak, ceiling, reference, student, threshold, known_rule, resamples, seed,
        objective=objective, placebo=placebo, sensitivity=sensitivity, tell=lambda line: typer.echo(line, err=True),
    )  # fmt: skip
    console().print(deception_table(result))
    write_json(json_file, lambda: result)


@analyze.command("generalization")
def analyze_generalization(
    scores: Scores,
    weak: Annotated[str, typer.Option(help="model name of the weak supervisor")],
    student: Annotated[str, typer.Option(help="model name of the student")],
    ceiling: Annotated[str, typer.Option(help="model name of the strong ceiling")],
    resamples: Annotated[int, typer.Option(min=100, help="bootstrap resamples")] = 2000,
    objective: Annotated[str | None, typer.Option(help="use only rows of this objective")] = None,
    seed: Seed = 0,
    json_file: JsonOut = None,
) -> None:
    """How much of the gap between weak and strong is recovered? PGR, agreement, inheritance."""
    from w2s_pref.analysis.preferences.generalization import analyze_generalization as compute
    from w2s_pref.analysis.scores.table import read_scores
    from w2s_pref.report.analyses.scores import generalization_table

    result = compute(read_scores(scores), weak, student, ceiling, resamples, seed, objective=objective)
    console().print(generalization_table(result))
    write_json(json_file, lambda: result)


@analyze.command("risk")
def analyze_risk(
    scores: Scores,
    weak: Annotated[str, typer.Option(help="model name of the weak supervisor")],
    strong: Annotated[str, typer.Option(help="model name of the strong model")],
    ts: Annotated[float, typer.Option(help="the strong model is confident from here up")] = 0.75,
    tw: Annotated[float, typer.Option(help="the weak model is uncertain from here down")] = 0.75,
    ceiling: Annotated[str | None, typer.Option(help="model that stands for f* in the reverse-KL terms")] = None,
    calibration: Annotated[
        Path | None, typer.Option(parser=path, help="score table of other items to fit temperatures on")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="bootstrap resamples")] = 2000,
    objective: Annotated[str | None, typer.Option(help="use only rows of this objective")] = None,
    seed: Seed = 0,
    json_file: JsonOut = None,
) -> None:
    """How wrong is the strong model where the weak one cannot see it? Bias, variance, bounds, blind-spot deception."""
    from w2s_pref.analysis.risk.summary import risk_summary
    from w2s_pref.analysis.scores.table import read_scores
    from w2s_pref.report.analyses.risk import risk_table

    held_out = None if calibration is None else read_scores(calibration)
    result = risk_summary(
        read_scores(scores), weak, strong, ts, tw, resamples, seed,
        ceiling=ceiling, calibration=held_out, objective=objective,
    )  # fmt: skip
    console().print(risk_table(result))
    write_json(json_file, lambda: result)


@analyze.command("predictors")
def analyze_predictors(
    tables: Annotated[
        list[Path],
        typer.Argument(parser=path, help="score tables (one a setting, or with a column `setting`) or run folders"),
    ],
    weak: Annotated[str, typer.Option(help="name of the weak supervisor in the tables; runs know theirs")] = "weak",
    strong: Annotated[str, typer.Option(help="name of the strong model in the tables; runs know theirs")] = "strong",
    ts: Annotated[float, typer.Option(help="the strong model is confident from here up")] = 0.75,
    tw: Annotated[float, typer.Option(help="the weak model is uncertain from here down")] = 0.75,
    resamples: Annotated[int, typer.Option(min=100, help="bootstrap resamples of the settings")] = 2000,
    objective: Annotated[str | None, typer.Option(help="use only rows of this objective")] = None,
    figure: FigureOut = None,
    seed: Seed = 0,
    json_file: JsonOut = None,
) -> None:
    """Which signal goes with blind-spot deception over settings? Rank correlations, raw and calibrated."""
    from w2s_pref.analysis.risk.predictors import predictor_study
    from w2s_pref.cli.runs import read_runs_and_settings
    from w2s_pref.report.analyses.risk import predictor_figure, predictor_table

    frame = read_runs_and_settings(tables, weak, strong)
    result = predictor_study(frame, weak, strong, ts, tw, resamples, seed, objective=objective)
    console().print(predictor_table(result))
    write_text(figure, lambda: predictor_figure(result))
    write_json(json_file, lambda: result)


@analyze.command("alarms")
def analyze_alarms(
    runs: Annotated[
        list[Path], typer.Argument(parser=path, metavar="RUN...", help="folders of runs whose recipe had a monitor")
    ],
    horizon: Annotated[float, typer.Option(help="how far ahead to foretell, as a share of the training")] = 0.2,
    level: Annotated[
        float | None, typer.Option(help="BSD above this is a crossing; default the greatest BSD of the ceilings")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="bootstrap resamples of the runs")] = 2000,
    figure: FigureOut = None,
    seed: Seed = 0,
    json_file: JsonOut = None,
) -> None:
    """Would the live monitor have warned? Every signal judged as a detector of blind-spot deception to come."""
    from w2s_pref.cli.runs import read_runs
    from w2s_pref.monitor.verdict import judge_runs
    from w2s_pref.report.analyses.alarms import alarms_figure, alarms_table

    result = judge_runs(read_runs(runs), horizon, level, resamples, seed)
    console().print(alarms_table(result))
    write_text(figure, lambda: alarms_figure(result))
    write_json(json_file, lambda: result)
