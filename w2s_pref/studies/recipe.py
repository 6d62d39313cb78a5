"""What recipes of several kinds of study share: how a file is read, and checks of models, chains and names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import Section, Seed, StudySection, nearest, read_section
from w2s_pref.models.spec import ModelSpec
from w2s_pref.training.arguments import check, check_lora
from w2s_pref.training.fields import Kind

R = TypeVar("R", bound=StudySection)

#: Signs that stand between names in a table, so that no name may hold one.
BETWEEN_NAMES = set(">@#/ ")
#: Supervisors below which Dawid and Skene's model has several solutions that fit the votes as well.
LEAST_VOTERS = 3


class ResamplingConfig(Section):
    """Choices of an analysis that is nothing but a bootstrap; none of them trains anything."""

    resamples: int = Field(2000, ge=100, description="bootstrap resamples over items and seeds")
    seed: Seed = 0


def training_problems(models: Mapping[str, ModelSpec], training: dict[str, Any], *trainers: Kind) -> list[str]:
    """Sentences about trainer arguments and adapters.

    Args:
        trainers: a model's own argument is fine where one of these has it; sentences are the first one's, which also
            reads ``training``.
    """
    found = check(training, "training", trainers[0])
    for name, spec in models.items():
        tried = [check(spec.training, f"models.{name}.training", trainer) for trainer in trainers]
        found += tried[0] if all(tried) else []
        found += check_lora(spec.lora, f"models.{name}.lora")
        if (spec.lora or {}).get("lora_dropout") and {**training, **spec.training}.get("disable_dropout", True):
            found.append(
                f"models.{name}.lora.lora_dropout: dropout is off while it trains; take it out, or write "
                f"models.{name}.training.disable_dropout: false"
            )
        if spec.quantization is not None and not {**training, **spec.training}.get("bf16"):
            found.append(f"models.{name}.quantization: trains under bfloat16 only; set training.bf16: true")
    return found


def check_chain(names: Sequence[str], models: Iterable[str], where: str) -> None:
    """Raise ValueError for a chain of models with a stranger in it, too short, or with one model twice."""
    for name in names:
        refuse_unknown(name, models, where, "model")
    if len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"{where}: needs at least two models, each once, weakest first; got {list(names)}")


def check_pools(chain: Sequence[str | Sequence[str]], where: str) -> None:
    """Raise ValueError for a list in a chain that is no set of supervisors.

    Args:
        chain: names, and lists of names that supervise together.
    """
    if chain and not isinstance(chain[-1], str) and chain[-1]:
        raise ValueError(f"{where}: the last place is the student, which is one model; a list pools supervisors")
    for place in chain:
        if not place:
            raise ValueError(f"{where}: an empty list names no supervisor; write a model, or several")
        names = [place] if isinstance(place, str) else list(place)
        if len(names) == 1 and not isinstance(place, str):
            raise ValueError(f"{where}: a list pools several supervisors, but [{names[0]}] has one; write {names[0]}")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(
                f"{where}: {twice[0]!r} stands twice among the supervisors {names}; its vote would count twice"
            )


def check_voters(combine: str, count: int, place: str, where: str) -> None:
    """Raise ValueError where Dawid and Skene's model gets too few of several supervisors.

    Args:
        count: supervisors in the place; of one alone nothing is combined.
        where: the key that holds the combination.
    """
    if combine == "dawid_skene" and 1 < count < LEAST_VOTERS:
        raise ValueError(
            f"{where}: dawid_skene tells good supervisors from bad ones by who agrees with whom, which needs "
            f"{LEAST_VOTERS} of them; {place} has {count}"
        )


def check_weighed(count: int, place: str, where: str) -> None:
    """Raise ValueError where weights over supervisors should be learned and there is one."""
    if count < 2:
        raise ValueError(f"{where}: it weighs several supervisors, but {place} is one; pool some in a list")


def check_different(names: Sequence[str], keys: Sequence[str], place: str, where: str) -> None:
    """Refuse one supervisor under two names: it would be heard twice.

    Args:
        keys: of what each of the names says.

    Raises:
        W2SError: two of them are the same model, trained alike.
    """
    first: dict[str, str] = {}
    for name, key in zip(names, keys, strict=True):
        other = first.setdefault(key, name)
        if other != name:
            raise W2SError(
                f"{where}: {other} and {name} of {place} are one supervisor under two names (same files, training and "
                "seed), whose vote would count twice; leave one out, or train it otherwise"
            )


def refuse_unknown(name: str, known: Iterable[str], where: str, noun: str) -> None:
    """Raise ValueError where a recipe names what it does not have."""
    names = list(known)
    if name not in names:
        raise ValueError(f"{where}: no {noun} is called {name!r}; {nearest(name, names)}")


def refuse_signs(names: Iterable[str]) -> None:
    """Raise ValueError for a name that holds a sign which stands between names."""
    if odd := [name for name in names if set(name) & BETWEEN_NAMES]:
        raise ValueError(
            f"the name {odd[0]!r} holds one of '>', '@', '#', '/', ' ', which stand between names; take another"
        )


def read_recipe(recipe: type[R], raw: Mapping[str, Any], path: Path) -> R:
    """Check everything of a recipe that needs neither data nor weights; ``path`` is only named in the sentences.

    Raises:
        W2SError: every problem found, one sentence each.
    """
    found = read_section(recipe, raw, str(path))
    if problems := found.problems():
        raise W2SError([f"{path}: {problem}" for problem in problems])
    return found
