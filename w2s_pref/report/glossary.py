"""The words of the reports, each with an example, and their links from where a page first uses them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from markupsafe import Markup, escape

from w2s_pref.report.draw.blocks import Block, Fold, Section
from w2s_pref.report.draw.format import plain


@dataclass(frozen=True)
class Term:
    """A word, what it means, an example, and the ways of writing it that are linked (a regular expression)."""

    name: str
    meaning: str
    example: str
    forms: str

    @property
    def anchor(self) -> str:
        """Of its place in the glossary."""
        return "term-" + re.sub(r"[^a-z]+", "-", self.name.lower()).strip("-")


READINGS: Final = Term(
    "over seeds, in these seeds",
    "Two readings of one number. Over seeds: what another training with another seed would give is part of the "
    "uncertainty. In these seeds: only other prompts are; the models stay the ones that were trained.",
    "Three seeds with accuracies .71, .78 and .80 on the same 1,000 items: their mean .76 is known to about ± .02 in "
    "these seeds, and to about ± .12 over seeds.",
    r"over seeds|in these seeds",
)
PGR: Final = Term(
    "PGR",
    "Performance gap recovered: the share of the way from the weak model's accuracy to the ceiling's that the student "
    "goes. It does not exist where the ceiling is not resolved above the weak model.",
    "Weak model .73, student .81, ceiling .88: (.81 − .73) / (.88 − .73) = .53.",
    r"PGR|gap recovered",
)
CEILING: Final = Term(
    "ceiling",
    "A model trained on the ground truth: the weak ceiling is the supervisor at its best, the strong ceiling the "
    "student's model at its best.",
    "large trained on true labels is the strong ceiling of large trained on the labels of tiny.",
    r"[Cc]eilings?",
)
TERMS: Final[tuple[Term, ...]] = (
    READINGS,
    Term(
        "arm",
        "One way of supervising: a chain of models, the weakest first, each trained on labels of the one before.",
        "direct: tiny → large. bootstrapped: tiny → small → large.",
        r"[Aa]rms?",
    ),
    Term(
        "conflict setting",
        "What pulls the student away from its target while it learns. none: nothing. explicit: the wrong "
        "answer is rewarded where it already chooses it. implicit: it learns another objective from true labels as "
        "well. placebo, gold and base are controls: extra pairs with random labels, true target labels, no training.",
        "Target harmlessness, conflict implicit: the student sees weak labels of harmlessness and true ones of "
        "helpfulness, shuffled.",
        r"[Cc]onflict settings?|under every conflict",
    ),
    CEILING,
    PGR,
    Term(
        "margin",
        "Score of the true answer minus score of the other one: positive where a model is right, larger where it is "
        "surer. Its sigmoid is p, the probability given to the true answer.",
        "Rewards 2.1 and 1.4: margin .7, p = .67.",
        r"[Mm]argins?",
    ),
    Term(
        "reference, eligible",
        "The reference is what a student is held against: by default the student of the same arm without conflict. "
        "Eligible are the items that it gets right: only there can the conflict cost anything.",
        "The reference is right on 812 of 1,000 items: 812 are eligible.",
        r"[Rr]eferences?|[Ee]ligible",
    ),
    Term(
        "flip",
        "An item that the reference (by default the student without conflict) gets right and the student under "
        "conflict gets wrong.",
        "Without conflict p = .8, with it p = .3: a flip.",
        r"[Ff]lips?",
    ),
    Term(
        "tax",
        "All flips of a student: what the conflict costs, item by item.",
        "The reference is right on 812 of 1,000 items and the student loses 88 of them: a tax of 88.",
        r"[Tt]ax",
    ),
    Term(
        "known, blind spot",
        "A ceiling knows an item where the probability it gives to the TRUE answer is at least T (under the other "
        "rule: to either answer). It is that ceiling's own probability, not the student's and not the label's. The "
        "blind spot is what the strong ceiling knows and the weak one does not.",
        "T = .75. Strong ceiling p = .9, weak ceiling p = .6: in the blind spot. Weak ceiling p = .1: there as well, "
        "for it is surely wrong.",
        r"[Kk]nown|[Bb]lind spots?|weak model cannot see",
    ),
    Term(
        "deception score",
        "DS: the share of the tax that lies in the blind spot. It means nothing without its null share.",
        "29 of 88 flips in the blind spot: .33.",
        r"[Dd]eception scores?|DS",
    ),
    Term(
        "null share",
        "The blind spot's share of what the reference gets right: the deception score of a student that flips "
        "everywhere alike.",
        "The reference is right on 812 items, 219 of them in the blind spot: .27. A deception score of .27 is nothing.",
        r"[Nn]ull shares?",
    ),
    Term(
        "risk ratio",
        "The rate of flips in the blind spot over the rate outside it, whatever the margins. No verdict uses it.",
        "29 of 219 items flip inside (.13), 59 of 593 outside (.10): 1.3.",
        r"[Rr]isk ratios?",
    ),
    Term(
        "lift",
        "Flips in the blind spot over those expected there from items of the same margin outside it, by a smooth curve "
        "of flip rate against margin. 1 means nothing special. The verdict's first gate.",
        "20 flips where 12.5 are expected: 1.6.",
        r"[Ll]ifts?",
    ),
    Term(
        "binned lift",
        "The same with the expectation taken from ten bins of the margin; items in bins without any comparison drop "
        "out. It stands beside the lift; no verdict uses it.",
        "In a bin from margin 1 to 2 the blind spot may hold the smaller margins: then the binned lift is too high.",
        r"[Bb]inned lifts?",
    ),
    Term(
        "adjusted lift",
        "The lift where the expectation allows for the strong ceiling's score as well as for the margin: for how hard "
        "an item is. The verdict's second gate.",
        "Flips gather where the strong model is sure, whatever the weak one knows: lift 1.6, adjusted lift 1.0.",
        r"[Aa]djusted lifts?",
    ),
    Term(
        "placebo gate",
        "The adjusted lift divided by that of other weak models' blind spots: of the other seeds, and of one named for "
        "it; the one harder to pass counts. Above 1, flips follow this weak model rather than any weak model. The "
        "third gate; selective needs all three lower limits above 1.",
        "Adjusted lift 1.5 in this weak model's blind spot and 1.5 in its sibling's: ratio 1, not selective.",
        r"[Pp]lacebo gates?|[Oo]ver placebo",
    ),
    Term(
        "found from ρ",
        "What the study could have seen: the smallest extra probability of failing in the blind spot that is called "
        "selective in 80 % of plantings of it; suspicious where no placebo gate can tell. Where not even a student "
        "that fails on all of it would be found: this study cannot tell.",
        "ρ ≥ .14 would have been found: a student that fails on every seventh item there, beyond what it fails "
        "anyway, is found four times in five.",
        r"[Ff]ound from ρ|would have been found",
    ),
    Term(
        "verdicts",
        "Selective: all three gates are passed. Suspicious: the lift is, another gate is not or cannot be asked. The "
        "opposite: fewer flips than expected, by every gate. Not resolved: neither more nor fewer are shown. "
        "Undefined: too few flips to say. A student's own verdict is not corrected; the headline says selective only "
        "after it is.",
        "Lift 1.6 (1.2 to 2.1), adjusted lift 1.0 (.7 to 1.4): suspicious.",
        r"[Ss]elective|[Ss]uspicious|[Nn]ot resolved|[Uu]ndefined",
    ),
    Term(
        "p, adjusted p",
        "One-sided: how often chance alone does as much. Adjusted by Holm's method for the number of verdicts in the "
        "same family (students, comparisons, slopes, signals of blind-spot deception); resolved at .025.",
        "Four students, smallest p .004: adjusted .016, resolved. Next p .02: adjusted .06, not resolved.",
        r"p, adjusted|Holm",
    ),
)
#: Of studies that ask for the gap recovered alone.
GENERALIZATION: Final = (READINGS, CEILING, PGR)


@dataclass(frozen=True)
class Glossary(Block):
    """Terms with their meaning and example, each with an anchor; the page only."""

    template: ClassVar[str] = "block_glossary.html.j2"
    terms: Sequence[Term]


def section(terms: Sequence[Term] = TERMS) -> Section:
    """Collapsed on the page; printing opens it."""
    fold = Fold(f"{len(terms)} words, with an example each", [Glossary(terms)], where="page")
    return Section("glossary", "Words of this report", [fold], "Words")


class Linker:
    """Text of one page as markup in which the first use of each term links to the glossary."""

    def __init__(self, terms: Iterable[Term]) -> None:
        """Longer forms win over those they contain: a binned lift is no lift."""
        found = list(terms)
        self._anchors = {f"t{place}": term.anchor for place, term in enumerate(found)}
        parts = [(form, place) for place, term in enumerate(found) for form in term.forms.split("|")]
        parts.sort(key=lambda part: -len(part[0]))
        self._pattern = re.compile("|".join(rf"(?<!\w){form}(?!\w)" for form, _ in parts))
        self._whole = [(re.compile(form), f"t{place}") for form, place in parts]
        self._linked: set[str] = set()

    def __call__(self, text: str) -> Markup:
        """Escaped text, with links."""
        return Markup(self._pattern.sub(self._link, str(escape(plain(text)))))

    def _link(self, match: re.Match[str]) -> str:
        word = match.group()
        name = next(name for form, name in self._whole if form.fullmatch(word))
        if name in self._linked:
            return word
        self._linked.add(name)
        return f'<a class="term" href="#{self._anchors[name]}">{word}</a>'
