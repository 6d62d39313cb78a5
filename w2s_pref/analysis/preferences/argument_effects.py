"""What judges of arguments make of them: accuracy with and without transcripts, under both nulls, item by item."""

from __future__ import annotations

from collections.abc import Mapping

from w2s_pref import results
from w2s_pref.analysis.preferences.design import Context
from w2s_pref.analysis.stats.estimates import estimate

#: What a judge has read: the names of ``Design.judges`` that stand for scores.
READ = ("argued", "naive", "shuffled", "blank")


def argument_effects(context: Context, said_of: Mapping[str, Mapping[str, float]]) -> list[results.ArgumentEffect]:
    """One entry for each judge of the design.

    Args:
        said_of: judge -> shares that say what its arguments and its own answers are like.
    """
    return [_effect(context, name, about, said_of.get(name, {})) for name, about in context.design.judges.items()]


def _effect(
    context: Context, name: str, about: Mapping[str, str], said_of: Mapping[str, float]
) -> results.ArgumentEffect:
    accuracy = {read: context.accuracy(about[read]) for read in READ if read in about}
    found = results.ArgumentEffect(
        supervisor=name,
        judge=about["judge"],
        protocol=about["protocol"],
        naive=estimate(accuracy["naive"]),
        argued=estimate(accuracy["argued"]),
        gain=estimate(accuracy["argued"] - accuracy["naive"]),
        about=dict(said_of),
    )
    if "shuffled" not in accuracy:
        return found
    one, other = context.credit(about["argued"]), context.credit(about["shuffled"])
    same = one * other + (1 - one) * (1 - other)  # who is undecided chooses by a fair coin
    nulls = {
        "shuffled_gain": accuracy["shuffled"] - accuracy["naive"],
        "blank_gain": accuracy["blank"] - accuracy["naive"],
        "beyond_shuffled": accuracy["argued"] - accuracy["shuffled"],
        "same_choice": context.draw.mean(same),
    }
    return found.model_copy(update={name: estimate(stat) for name, stat in nulls.items()})
