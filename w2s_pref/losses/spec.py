"""Which loss a student is trained with, and its constants. No torch here: recipes are checked with this.

What a user's function returns is checked on its first batch, before a training goes astray for hours.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from w2s_pref.core.errors import W2SError
from w2s_pref.core.registry import Registry
from w2s_pref.core.strict import Section
from w2s_pref.core.user_code import by_name

if TYPE_CHECKING:
    from torch import Tensor

#: Every loss of the package and the constants that it reads.
CONSTANTS: dict[str, tuple[str, ...]] = {
    "soft_bce": (),
    "aux_confidence": ("a_max", "warmup", "prior", "mode"),
    "product": ("alpha", "beta"),
    "kl": (),
    "entropy": ("a_max", "warmup"),
    "window": ("radius",),
}

LOSSES = Registry("loss", dict.fromkeys(CONSTANTS, "w2s_pref.losses.named:loss"))

#: Register a function as a loss of students: ``loss.name: NAME`` then trains with it.
#:
#: It asks by name for tensors of the shape (B,): ``margin`` (the student's log-odds), ``p`` (the label), and perhaps
#: ``progress`` (share of the training done, in [0, 1]), ``own`` (the method's own loss of a target in [0, 1], as a
#: function) and what ``loss.options`` gives. It returns one number a pair; margins of several probes come as (S, B).
loss = LOSSES.register

#: What it may ask for.
OFFERED = ("margin", "p", "progress", "own")

LossName = Annotated[str, AfterValidator(LOSSES.checked)]

#: Other names of the same thing: in the public code, and in the paper.
ALIASES = {"xent": "soft_bce", "naive": "soft_bce"}


def checked(value: Any, like: Tensor, what: str) -> Tensor:
    """``value``, where it is one finite floating-point number for each of ``like``.

    Raises:
        W2SError: not a floating tensor of that shape, with numbers that are not finite, or without a gradient where
            ``like`` has one.
    """
    import torch

    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        kind = f"a tensor of {value.dtype}" if isinstance(value, torch.Tensor) else f"of type {type(value).__name__}"
        raise W2SError(f"{what} returned something that is {kind}; return a floating-point tensor")
    if value.shape != like.shape:
        shape = f"({len(like)},)" if like.ndim == 1 else str(tuple(like.shape))
        raise W2SError(f"{what} returned shape {tuple(value.shape)}; return one number a pair, {shape}")
    if not torch.isfinite(value).all():
        raise W2SError(f"{what} returned numbers that are not finite; check its divisions and logarithms")
    if like.requires_grad and torch.is_grad_enabled() and not value.requires_grad:
        raise W2SError(f"{what} returned numbers without a gradient; compute them from the margin with torch")
    return value


def check_apart(found: Tensor, beside: Tensor, what: str) -> None:
    """Refuse numbers (…, B) of a first pair that are others ``beside`` other pairs.

    An effective batch goes through the model in parts, whose sizes are those of the memory. What reads a part as a
    whole would train other weights on another machine, under the same key.

    Raises:
        W2SError: they differ.
    """
    import torch

    if not torch.allclose(found[..., 0], beside[..., 0], rtol=1e-4, atol=1e-6, equal_nan=True):
        raise W2SError(
            f"{what} gives a pair another number beside other pairs (it reads the batch as a whole, or draws random "
            "numbers): a batch goes through the model in parts that depend on memory; compute each number from its own "
            "pair"
        )


class Checked:
    """A function called by keyword that returns one number for each margin; its first results are checked."""

    def __init__(self, function: Callable[..., Any], what: str) -> None:
        self._function, self._what, self._seen, self._apart = function, what, False, False

    def __call__(self, margin: Tensor, **values: Any) -> Tensor:
        """The function's numbers, of the shape of ``margin``."""
        found: Tensor = self._function(margin=margin, **values)
        if not self._seen:
            checked(found, margin, self._what)
            self._seen = True
        if not self._apart and margin.shape[-1] > 1:
            self._check_apart(found, margin, values)
            self._apart = True
        return found

    def _check_apart(self, found: Tensor, margin: Tensor, values: dict[str, Any]) -> None:
        """The first pair beside others of larger and of smaller margins, and of the other label."""
        import torch

        given = {name: torch.is_tensor(value) and value.shape == margin.shape for name, value in values.items()}
        turned = {name: first_of(values[name], 1 - values[name]) if given[name] else values[name] for name in values}
        with torch.no_grad():
            for shift in (-1.0, 1.0):
                others = first_of(margin, shift - 2 * margin)
                check_apart(found, self._function(margin=others, **turned), self._what)


def first_of(values: Tensor, others: Tensor) -> Tensor:
    """``others`` (…, B) with the first pair of ``values``."""
    others = others.detach().clone()
    others[..., 0] = values[..., 0].detach()
    return others


class LossSpec(Section):
    """A loss by name. A constant that the loss does not read changes nothing."""

    name: LossName = Field(
        "soft_bce",
        description=f"loss of students: {', '.join(CONSTANTS)}, or your own; ceilings use soft_bce, which is also "
        "called xent and naive",
    )
    a_max: float = Field(
        0.5, ge=0.0, le=1.0, description="aux_confidence, entropy: final weight of the student's own opinion"
    )
    warmup: float = Field(
        0.2, ge=0.0, le=1.0, description="aux_confidence, entropy: share of training until a_max is reached"
    )
    prior: Literal["half", "mean"] = Field("half", description="aux_confidence: share hardened to 1: ½ or mean label")
    mode: Literal["paper", "openai"] = Field(
        "paper", description="aux_confidence: openai copies the warm-up and the threshold of OpenAI's code"
    )
    alpha: float = Field(1.0, gt=0.0, description="product: exponent of the label")
    beta: float = Field(1.0, ge=0.0, description="product: exponent of the student's own probability")
    radius: float = Field(
        0.15, gt=0.0, le=0.5, description="window: train where the student's confidence is < ½ + this"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of your own loss")
    _function: Checked | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and str(value.get("name")) in ALIASES:
            return {**value, "name": ALIASES[str(value["name"])]}
        return value

    @model_validator(mode="after")
    def _options_are_read(self) -> LossSpec:
        if self.options and self.builtin:
            raise ValueError(f"options: {self.name} has constants of its own and reads no options; take them out")
        return self

    @property
    def builtin(self) -> bool:
        """False for a user's own loss."""
        return self.name in CONSTANTS

    @property
    def ranks(self) -> bool:
        """True where the loss needs the student's margins on the whole effective batch before it trains on any."""
        return self.name == "aux_confidence" and self.a_max > 0

    def read(self) -> dict[str, Any]:
        """What the loss depends on: its name and the constants that it reads. Nothing for ``soft_bce``."""
        if not self.builtin:
            return self.model_dump(include={"name", *(["options"] if self.options else [])})
        return self.model_dump(include={"name", *CONSTANTS[self.name]}) if self.name != "soft_bce" else {}

    def keyed(self, base: Path) -> dict[str, Any]:
        """What a stage says of its loss: ``read``, and the hash of the source of a user's own.

        Raises:
            W2SError: it is not there, or asks for what is not offered.
        """
        if self.builtin:
            return self.read()
        self.function(base)
        return {**self.read(), "code": LOSSES.code(self.name, base)}

    @classmethod
    def of(cls, keyed: dict[str, Any], base: Path) -> LossSpec:
        """The loss that a stage speaks of; a user's own with its function, looked up in ``base``."""
        found = cls.model_validate({name: value for name, value in keyed.items() if name != "code"})
        if not found.builtin:
            found._function = found.function(base)
        return found

    def function(self, base: Path = Path()) -> Checked:
        """A user's own loss, called with ``margin`` and what else is offered."""
        if self._function is not None:
            return self._function
        what = f"loss {self.name!r}"
        return Checked(by_name(LOSSES.find(self.name, base), OFFERED, what, self.options), what)


def with_spec(values: dict[str, Any], base: Path = Path()) -> dict[str, Any]:
    """What a stage says of its loss, with ``student`` (``LossSpec.keyed``, where it is there) as a ``LossSpec``."""
    return {**values, "student": LossSpec.of(values.get("student", {}), base)}
