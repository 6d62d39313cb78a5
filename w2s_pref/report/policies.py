"""What policies say, and results on length-matched items, as terminal grids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from w2s_pref.report.draw.format import NOT_MEASURED, count, number
from w2s_pref.report.grid import Grid
from w2s_pref.report.rows import has_policies, judge_word, win_rate
from w2s_pref.results.preferences import LengthMatched, LengthRow, Results
from w2s_pref.results.speech import Speech

SPEECH_HEADS: Final = ("Win rate", "KL", "Tokens", "Refused", "Unparsed", "Unended")
#: Heading of models that are no final student.
OTHERS: Final = "Other models"


def speech(results: Results) -> Iterator[Grid]:
    """One line a policy."""
    if not results.speech:
        return
    grid = Grid(speech_title(results), ("Policy", *SPEECH_HEADS))
    for arm, own in by_arm(results.speech):
        grid.group(arm)
        for one in own:
            grid.add(one.conflict or one.model, speech_cells(grid, one))
    yield grid
    spoken = [one for one in results.speech if one.disagreement is not None]
    if spoken:
        yield _disagreement(spoken)


def by_arm(speech: Sequence[Speech]) -> Iterator[tuple[str, list[Speech]]]:
    """Final students by the name of their arm, then every other model."""
    for arm in dict.fromkeys(one.arm for one in speech):
        yield OTHERS if arm is None else arm, [one for one in speech if one.arm == arm]


def speech_title(results: Results) -> str:
    """Who judged."""
    judge = judge_word(results)
    return f"What policies say; win rate against the reference by the {judge}" if judge else "What policies say"


def speech_cells(grid: Grid, one: Speech) -> list[Text]:
    """Win rate with its interval, then plain numbers."""
    said = one.said
    plain = ((one.kl, 2), (said.tokens, 1), (said.refusal, 3), (said.unparseable, 3), (said.unended, 3))
    rate = grid.notes.estimate(win_rate(one), 3, NOT_MEASURED)
    return [rate, *(grid.notes.estimate(value, digits, bounds=False) for value, digits in plain)]


def _disagreement(spoken: list[Speech]) -> Grid:
    heads = ("Ranks right", "Speaks right", "Ranks right, speaks wrong", "Blind spot minus elsewhere")
    grid = Grid("Ranking against speech, all regions", ("Policy", *heads))
    for arm, own in by_arm(spoken):
        grid.group(arm)
        for one in own:
            found = one.disagreement
            assert found is not None
            whole = found.overall
            cells = [grid.notes.estimate(value, 3, bounds=False) for value in (whole.ranked_right, whole.spoken_right)]
            cells += [grid.notes.estimate(value, 3) for value in (whole.right_wrong, found.blind_spot)]
            grid.add(one.conflict or one.model, cells)
    return grid


def length_matched(results: Results) -> Iterator[Grid]:
    """All items beside the matched ones, for studies with policies."""
    found = results.length_matched
    if found is None or not found.rows or not has_policies(results):
        return
    grid = Grid(length_title(found), ("Conflict", "Accuracy, all", "Accuracy, matched", "Lift, all", "Lift, matched"))
    for arm in dict.fromkeys(row.arm for row in found.rows):
        grid.group(arm)
        for row in found.rows:
            if row.arm == arm:
                grid.add(row.conflict, _matched(grid, row))
    yield grid


def _matched(grid: Grid, row: LengthRow) -> list[Text]:
    accuracy = [grid.notes.estimate(numbers.accuracy, 3) for numbers in (row.raw, row.matched)]
    return [*accuracy, *(grid.notes.estimate(numbers.lift, 2, "n/a") for numbers in (row.raw, row.matched))]


def length_title(found: LengthMatched) -> str:
    """How many items are kept and what the shorter answer is worth."""
    before, after = number(found.shorter_raw.estimate), number(found.shorter_matched.estimate)
    kept = f"{count(found.kept)} of {count(found.items)}"
    return f"Length-matched items, {kept}; the shorter answer is right in {before}, matched {after}"
