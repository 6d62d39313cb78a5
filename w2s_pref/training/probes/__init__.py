"""Linear probes: activations of frozen models, computed once, and many linear heads trained on them at once."""

from w2s_pref.training.probe_settings import ProbeSettings as ProbeSettings
from w2s_pref.training.probes.activations import activations as activations
from w2s_pref.training.probes.activations import load_backbone as load_backbone
from w2s_pref.training.probes.fit import ProbeFit as ProbeFit
from w2s_pref.training.probes.fit import Validation as Validation
from w2s_pref.training.probes.fit import fit_probes as fit_probes
from w2s_pref.training.probes.learner import ProbeJob as ProbeJob
from w2s_pref.training.probes.learner import Said as Said
from w2s_pref.training.probes.probe import Probe as Probe
from w2s_pref.training.probes.probe import load_probes as load_probes
from w2s_pref.training.probes.probe import probe_margins as probe_margins
from w2s_pref.training.probes.probe import save_probes as save_probes
