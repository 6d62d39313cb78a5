"""The stages that studies share: trainings, scores, labels, log-probabilities, answers."""
