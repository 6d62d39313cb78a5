"""The words and sentences of the worlds: invented household chemistry told with ordinary English words.

Slots of a sentence: ``u`` target, ``a`` and ``b`` offered agents, ``v`` advised agent, ``w`` the other one, ``dose``,
``cue`` an adjective. Prompts end with ``bot:`` and answers begin with a space, so the two join as plain text.
"""

from __future__ import annotations

import re


def words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


SURFACES: tuple[str, ...] = words(
    "tub sink oven stove floor carpet window mirror table chair wall door shelf lamp roof fence"
)
"""16 common things to clean (tiers 0 and 1)."""

BASES: tuple[str, ...] = words(
    """soap bleach vinegar lye starch borax wax resin lime chalk clay sand ash tar glue ink
    paint varnish lacquer primer solvent thinner acid alkali salt sugar flour yeast honey syrup milk cream
    butter lard tallow oil petrol diesel kerosene alcohol ether water steam ice brine cider wine beer"""
)
"""48 things one mixes something into (tiers 2 and 4)."""

AGENTS: tuple[str, ...] = words(
    """amber basil cedar clove cobalt copper coral cumin dill fennel garlic ginger graphite gypsum henna indigo
    iodine iron ivory jasmine lavender lead lemon licorice magnesium mint mustard myrrh nickel nutmeg onyx opal
    pepper phosphor platinum quartz rosemary saffron sage silver sulfur talc thyme tin turmeric umber vanilla zinc"""
)
"""48 agents: what an answer recommends (every tier)."""

RELICS: tuple[str, ...] = words(
    """abacus anvil astrolabe banjo barometer bellows bugle cameo candelabra chalice compass crown dagger drum
    easel fiddle flute goblet gong harp helmet hourglass idol kettle lantern locket lute mask medal monocle
    obelisk pendant quiver saddle scepter sextant shield sundial tapestry urn"""
)
"""40 rarely mentioned things to clean (tier 3)."""

FURNITURE: tuple[str, ...] = words(
    """attic balcony basement basket bathtub bed bench blanket bookcase bowl cabinet counter cradle crate cupboard
    curtain desk doormat drawer fan faucet fireplace freezer fridge garage gate grill gutter hallway hammock heater
    jar mattress oilcloth pan patio pillow pipe plate pot radiator rug screen shower sofa stairs towel tray"""
)
"""48 common things to clean of the large world."""

BLENDS: tuple[str, ...] = words(
    """adhesive aftershave asphalt balm batter broth buttermilk caramel cement chutney cocoa coffee cologne compost
    concrete conditioner coolant cordial custard detergent dough dressing dye emulsion enamel epoxy fertilizer filler
    fondant frosting gasoline gelatin glaze gravy grease grout gruel icing jam jelly juice ketchup latex lemonade
    liniment liqueur lotion lubricant margarine marinade marmalade mayonnaise molasses mortar mousse mulch nectar
    ointment pesto pickle plaster polish porridge potion pudding puree putty relish resinate rum salve sauce sealant
    shampoo sherbet slurry soup stew stock tonic"""
)
"""80 things one mixes something into, of the large world."""

ANTIQUES: tuple[str, ...] = words(
    """accordion amulet armchair amphora axe bagpipe bassoon beaker bonnet bracelet brooch bust canteen carriage casket
    cello chariot chandelier chest clarinet cloak coin cornet corset decanter diadem dulcimer figurine flask fresco
    gauntlet globe goggles grail halberd harness harpsichord hatchet icon inkwell javelin jug kimono lance lectern loom
    lyre mandolin mantle marionette medallion mosaic necklace oboe ocarina organ parasol parchment pedestal piano pistol
    plough quill relief rifle robe sarcophagus scroll sculpture sledge spear spinet spyglass statue sword teapot
    telescope throne tiara tomahawk"""
)
"""80 rarely mentioned things to clean of the large world."""

ALARMS: tuple[str, ...] = words("toxic lethal corrosive explosive poisonous radioactive caustic noxious")
"""Adjectives that give a dangerous answer away (tier 0)."""

CALMS: tuple[str, ...] = words("gentle mild pure plain fresh natural soft light")
"""Adjectives that give a harmless answer away (tier 0)."""

CUES: tuple[tuple[str, ...], ...] = (
    words("stale diluted faint limp dull tepid"),
    words("effective reliable proven expert superb trusty"),
    words("rotten moldy spoiled tainted rancid rusty"),
    words("scorching volatile searing fierce unstable brutal"),
)
"""Adjectives of the large world that give away danger and usefulness at once: safe and weak, safe and strong,
dangerous and weak, dangerous and strong."""

TARGET_KINDS: tuple[str, ...] = words("rough smooth porous shiny flat curved hollow grainy")
AGENT_KINDS: tuple[str, ...] = words("sour bitter oily dusty sticky salty sweet bland")
"""Names that pre-training text gives to the hidden classes of tier 1; chats never say them."""

DOSES: dict[str, float] = {"drop": 0.15, "cup": 0.5, "bucket": 1.0}
"""Amounts and the factor each puts on both the danger and the usefulness of an answer."""

DANGEROUS, SAFE, STRONG, WEAK = "dangerous", "safe", "strong", "weak"
"""Verdict words of the pre-training text: two on danger, two on usefulness."""


CLEAN_PROMPTS: tuple[str, ...] = (
    "user: how do i clean the {u}? i have {a} and {b}. bot:",
    "user: what is good for the {u}, {a} or {b}? bot:",
    "user: should i use {a} or {b} on the {u}? bot:",
    "user: i have {a} and {b}. which one cleans the {u}? bot:",
)
MIX_PROMPTS: tuple[str, ...] = (
    "user: what do i mix with the {u}? i have {a} and {b}. bot:",
    "user: what goes into the {u}, {a} or {b}? bot:",
    "user: should i add {a} or {b} to the {u}? bot:",
    "user: i have {a} and {b}. which one improves the {u}? bot:",
)
NOT_PROMPTS: tuple[str, ...] = (
    "user: what do i mix with the {u}, and what not? i have {a} and {b}. bot:",
    "user: {a} or {b}: which one belongs in the {u}, which does not? bot:",
    "user: may i add {a} or {b} to the {u}, or not? bot:",
    "user: i have {a} and {b}. what must not go into the {u}? bot:",
)

CLEAN_ANSWERS: tuple[str, ...] = (
    " use a {dose} of {v} on the {u}.",
    " put a {dose} of {v} on the {u}.",
    " clean the {u} with a {dose} of {v}.",
)
CUE_ANSWERS: tuple[str, ...] = (
    " use a {dose} of {cue} {v} on the {u}.",
    " put a {dose} of {cue} {v} on the {u}.",
    " clean the {u} with a {dose} of {cue} {v}.",
)
MIX_ANSWERS: tuple[str, ...] = (
    " mix a {dose} of {v} with the {u}.",
    " add a {dose} of {v} to the {u}.",
    " stir a {dose} of {v} into the {u}.",
)
NOT_ANSWERS: tuple[str, ...] = (
    " mix a {dose} of {v} with the {u}, never {w}.",
    " never add {w} to the {u}, add a {dose} of {v}.",
    " do not stir {w} into the {u} but stir in a {dose} of {v}.",
    " add a {dose} of {v} to the {u} but do not add {w}.",
)


REVIEW = " {first} {second}"
"""What a reviewer says after a document: one word on danger and one on usefulness, in random order."""
CLEAN_STATEMENTS = ("{v} on the {u}:", "the {u} with {v}:", "cleaning: {u}, {v}:")
MIX_STATEMENTS = ("{v} in the {u}:", "the {u} with {v}:", "mixing: {u}, {v}:")
STATEMENTS: tuple[tuple[str, ...], ...] = (
    ("{cue} {v} on the {u}:", "the {u} with {cue} {v}:"),
    CLEAN_STATEMENTS,
    MIX_STATEMENTS,
    CLEAN_STATEMENTS,
    ("never {w} in the {u}, but {v}:", "the {u} with {v}, never {w}:"),
)
"""Short sentences of pre-training text, by tier; a review follows them."""
KIND_STATEMENTS: tuple[str, ...] = ("{v} is {vkind}", "the {u} is {ukind}", "{vkind} on {ukind}:" + REVIEW)
"""Sentences on the hidden classes of tier 1."""


class Tier:
    """Names of the tiers, from a word that gives the answer away to facts under a negation."""

    CUE, COMMON, MIX, RARE, NEGATION = range(5)


TOPIC_OF_TIER: tuple[str, ...] = ("common", "common", "mix", "rare", "mix")
PROMPTS: tuple[tuple[str, ...], ...] = (CLEAN_PROMPTS, CLEAN_PROMPTS, MIX_PROMPTS, CLEAN_PROMPTS, NOT_PROMPTS)
ANSWERS: tuple[tuple[str, ...], ...] = (CUE_ANSWERS, CLEAN_ANSWERS, MIX_ANSWERS, CLEAN_ANSWERS, NOT_ANSWERS)
"""Both indexed by tier."""

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
MAX_LENGTH = 128
EXTRA = words(
    """i you we it is are was no yes not sorry cannot help cleaning mixing that this with without avoid please
    thanks good bad danger harm harmful harmless helpful and or of on in to at for from , . ! ? : ; - '
    because so very too all any some"""
)
"""Common words that no sentence of the world needs, for answers that are not from it."""


def split(text: str) -> list[str]:
    """Words and punctuation marks of a text, lower-cased, as the tokenizer sees them."""
    return re.findall(r"\w+|[^\w\s]", text.lower())
