"""The data sets by name: those that come with the package, and the user's."""

from __future__ import annotations

from w2s_pref.core.registry import Registry

__all__ = ["DATASETS", "Registry", "dataset"]

DATASETS = Registry(
    "data set",
    {
        "testbed": "w2s_pref.data.readers:preference_world",
        "hh-rlhf": "w2s_pref.data.hh:hh_rlhf",
        "pku-saferlhf": "w2s_pref.data.pku:pku_saferlhf",
    },
)

#: Register a function as a data set: ``source: NAME`` in a recipe then calls it.
#:
#: The function gets the recipe's ``options`` as keyword arguments and, if it has parameters of these names,
#: ``objective``, ``rows``, ``seed`` and ``recipe_folder`` (a Path). It returns preference pairs in any form that a file
#: may hold: a list of dictionaries, a dictionary of lists, a DataFrame or a datasets.Dataset.
dataset = DATASETS.register
