"""Trainings of reward models, policies, classifiers, probes: all that imports TRL."""
