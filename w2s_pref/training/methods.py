"""Methods: how a node of a chain becomes a supervisor or a student. No torch here: recipes are checked with this.

A node is written ``model`` (a reward model) or ``model@method``. A method is a name of ``ALGORITHMS``, or an entry of
the recipe's ``methods`` that says which algorithm it is and with which constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, field_serializer, model_validator

from w2s_pref.core.references import is_reference, short_name
from w2s_pref.core.registry import Registry
from w2s_pref.core.strict import Section, nearest
from w2s_pref.labels.make import LabelConfig
from w2s_pref.losses.spec import LossSpec

ScoreForm = Literal["implicit_reward", "mean_logprob", "paper_dpo"]

#: Temperature of a score: p = sigmoid(Δ / τ). The paper's DPO form sums log-probabilities without a reference.
TAU: dict[str, float] = {"reward_model": 1.0, "implicit_reward": 1.0, "mean_logprob": 1.0, "paper_dpo": 50.0}


#: Columns of a training with what each of several supervisors says of a pair: this and a number.
SUPERVISOR = "supervisor"

#: How a recipe writes the folder of a saved reward model.
FOLDER = "folder:"

#: Rewards by name, beside what a recipe can name without a function: the supervisor, ground truth, a folder.
REWARDS = Registry("reward", {name: f"w2s_pref.training.rewards:{name}" for name in ("supervisor", "gold")})

#: Register a function as a reward: ``reward: NAME`` of an on-policy method then uses it.
#:
#: It gets two lists of plain texts of equal length, prompts and answers, and returns one finite number an answer.
reward = REWARDS.register


class Algorithm(NamedTuple):
    """What is true of one algorithm: the defaults of a method that uses it."""

    family: Literal["reward", "pairs", "tokens", "rounds", "ppo", "trl", "decoding"]
    beta: float = 0.0
    gamma: float = 0.0
    score: ScoreForm = "implicit_reward"
    pre_stage: bool = True


#: What trains the ceiling of a method that learns from a weak policy's tokens or answers, or trains nothing.
ON_TRUTH = "dpo"

#: β of PPO, RLOO and GRPO only scales their implicit reward; it is the coefficient of their KL penalty. SFT and SePO
#: have none: where a recipe asks for their implicit reward, that is the plain log-ratio to their start. Search and EFT
#: train nothing: β of EFT weighs the weak policy in each token, of search it only scales its implicit reward.
ALGORITHMS: dict[str, Algorithm] = {
    "reward": Algorithm("reward", pre_stage=False),
    "sft": Algorithm("pairs", beta=1.0, score="mean_logprob", pre_stage=False),
    "dpo": Algorithm("pairs", beta=0.1),
    "simpo": Algorithm("pairs", beta=2.0, gamma=1.0, score="mean_logprob"),
    "ipo": Algorithm("pairs", beta=0.1),
    "wspo": Algorithm("tokens", beta=0.1),
    "sepo": Algorithm("tokens", beta=1.0, score="mean_logprob"),
    "macpo": Algorithm("rounds", beta=0.1),
    "ppo": Algorithm("ppo", beta=0.05),
    "rloo": Algorithm("trl", beta=0.05),
    "grpo": Algorithm("trl", beta=0.05),
    "search": Algorithm("decoding", beta=0.1, pre_stage=False),
    "eft": Algorithm("decoding", beta=1.0, score="mean_logprob", pre_stage=False),
}


def _form(value: Any) -> Any:
    """A form alone is short for the labels' key of that name."""
    return {"form": value} if isinstance(value, str) else value


class RavenConfig(Section):
    """Weights over several supervisors that are learned with the student."""

    rate: float = Field(0.05, ge=0.0, description="learning rate of the weights; 0: they stay equal")
    easy: float = Field(0.1, ge=0.0, le=1.0, description="share of the training on pairs where all supervisors agree")


class MethodConfig(Section):
    """One method of a recipe; what is left out follows the algorithm."""

    algorithm: str = Field(
        "",
        description="reward, sft, dpo, simpo, ipo, wspo, sepo, macpo, ppo, rloo, grpo, search, eft, or a margin",
    )
    beta: float | None = Field(
        None,
        gt=0.0,
        description="scale of the margin (dpo, ipo, macpo 0.1, simpo 2) or log-ratio (wspo 0.1); KL coefficient (ppo, "
        "rloo, grpo); weight of the weak policy (eft 1)",
    )
    gamma: float | None = Field(None, ge=0.0, description="target margin that the loss asks for (simpo 1, else 0)")
    share: float = Field(0.3, gt=0.0, le=1.0, description="sepo: share of an answer's tokens that it trains on")
    rounds: int = Field(3, ge=1, description="macpo: rounds in which both policies learn from each other")
    sft_weight: float = Field(0.2, ge=0.0, description="macpo: weight of SFT's loss of the positive answer")
    candidates: int = Field(
        3, ge=1, description="macpo: answers of the other policy, of which that of the lowest perplexity is learned"
    )
    keep: float = Field(1.0, gt=0.0, le=1.0, description="macpo: share of the pairs kept, by the lowest perplexity")
    negative: dict[str, Any] = Field(
        default_factory=dict, description="macpo: training arguments of the negative agents, over sft; default 1 epoch"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of your own margin function")
    labels: Annotated[LabelConfig | None, BeforeValidator(_form)] = Field(
        None, description="form of the labels (soft, hard or your own), or keys of labels that are others here"
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="evaluations (20 an epoch) without better agreement with the supervisor's labels of calibration "
        "pairs until a student's training ends; the best of its models is kept",
    )
    raven: RavenConfig | None = Field(
        None, description="learn with the student how much to believe each of several supervisors: rate, easy"
    )
    loss: LossSpec | None = Field(None, description="loss of students that this method trains; default loss")
    pre_stage: bool | None = Field(
        None,
        description="fine-tune on the preferred answers first (reward: on both, labels unread; off by default)",
    )
    sft: dict[str, Any] = Field(default_factory=dict, description="training arguments of that fine-tuning")
    score: ScoreForm | None = Field(None, description="what ranks two answers; paper_dpo: no reference term, τ 50")
    explicit: Literal["reverse", "sft"] = Field("reverse", description="explicit conflict of pair methods: which loss")
    reference: str | None = Field(None, description="model whose log-probabilities are the reference; default: start")
    reward: str = Field(
        "supervisor", description="ppo, rloo, grpo: supervisor, gold, folder:PATH of a reward model, or a function"
    )
    conflict_weight: float = Field(1.0, ge=0.0, description="ppo, rloo, grpo: weight of the conflicting reward")
    beams: int = Field(4, ge=1, description="search: answers that are kept after every chunk")
    successors: int = Field(4, ge=1, description="search: continuations of each of them")
    chunk: int = Field(10, ge=1, description="search: tokens of a continuation")
    training: dict[str, Any] = Field(default_factory=dict, description="arguments of the trainer by their own names")

    @field_serializer("labels")
    def _as_given(self, labels: LabelConfig | None) -> dict[str, Any] | None:
        """Keys that are left to the recipe's ``labels`` stay out: written down, their defaults would replace those."""
        return None if labels is None else labels.model_dump(exclude_unset=True)

    @model_validator(mode="after")
    def _fits(self) -> MethodConfig:
        name = self.algorithm
        if name and name not in ALGORITHMS and not is_reference(name) and not name.replace("_", "").isalnum():
            raise ValueError(f"algorithm {name!r}: {nearest(name, list(ALGORITHMS))}")
        if not self.reward.startswith(FOLDER):
            try:
                REWARDS.checked(self.reward)
            except ValueError as error:
                raise ValueError(
                    f"{error}; write supervisor, gold, folder:PATH of a saved reward model, or a function"
                ) from None
        return self


@dataclass(frozen=True)
class Method:
    """A method with nothing left open."""

    name: str
    algorithm: str
    family: str
    beta: float
    gamma: float
    pre_stage: bool
    score: ScoreForm
    config: MethodConfig

    @property
    def built_in(self) -> bool:
        """False for a user's own margin function."""
        return self.algorithm in ALGORITHMS

    @property
    def policy(self) -> bool:
        """True for every method but the reward model."""
        return self.family != "reward"

    @property
    def by_token(self) -> bool:
        """True where the policy learns from a weaker policy's token rewards; ground truth has none to give."""
        return self.family == "tokens"

    @property
    def mutual(self) -> bool:
        """True where a weaker policy and this one learn from each other's answers, in rounds."""
        return self.family == "rounds"

    @property
    def online(self) -> bool:
        """True where the policy learns from rewards of its own answers."""
        return self.family in {"ppo", "trl"}

    @property
    def decoding(self) -> bool:
        """True where nothing is trained: a weak policy guides the model while it writes."""
        return self.family == "decoding"

    @property
    def on_truth(self) -> str:
        """The method that trains a node on ground truth, its ceiling: DPO where ground truth does not train it."""
        return ON_TRUTH if self.decoding or self.by_token or self.mutual else self.name


def method(name: str, methods: dict[str, MethodConfig]) -> Method:
    """The method called ``name``: an entry of ``methods``, or an algorithm with its defaults."""
    config = methods.get(name, MethodConfig())
    algorithm = config.algorithm or name
    given = ALGORITHMS.get(algorithm, Algorithm("pairs", beta=0.1))
    return Method(
        name,
        algorithm,
        given.family,
        given.beta if config.beta is None else config.beta,
        given.gamma if config.gamma is None else config.gamma,
        given.pre_stage if config.pre_stage is None else config.pre_stage,
        config.score or given.score,
        config,
    )


class Node(NamedTuple):
    """A place in a chain: a model and how it is trained, or several of them whose probabilities are combined.

    Several have ``members``, and in the place of a model the ``combine`` that makes one supervisor of them;
    ``calibrate``: their temperatures are fitted first.
    """

    model: str
    method: str = "reward"
    members: tuple[Node, ...] = ()
    combine: str = ""
    calibrate: bool = False

    def __str__(self) -> str:
        if self.members:
            how = f"calibrated {short_name(self.combine)}" if self.calibrate else short_name(self.combine)
            return f"{how}({', '.join(map(str, self.members))})"
        return self.model if self.method == "reward" else f"{self.model}@{self.method}"

    @property
    def each(self) -> tuple[Node, ...]:
        """The models themselves."""
        return self.members or (self,)


def node(text: str | list[str]) -> Node:
    """``model`` or ``model@method``, or a list of them."""
    if not isinstance(text, str):
        return Node("", members=tuple(node(each) for each in text))
    model, at, name = text.partition("@")
    return Node(model, name) if at else Node(model)
