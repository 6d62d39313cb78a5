"""The batch layer under training, scoring and log-probabilities: texts that begin alike are computed together."""

from w2s_pref.models.batches import budget as budget
from w2s_pref.models.batches.batch import Layout as Layout
from w2s_pref.models.batches.batch import Row as Row
from w2s_pref.models.batches.batch import RowBatch as RowBatch
from w2s_pref.models.batches.batch import collate as collate
from w2s_pref.models.batches.batch import row_length as row_length
from w2s_pref.models.batches.layout import layout_of as layout_of
from w2s_pref.models.batches.layout import training_layout as training_layout
from w2s_pref.models.batches.read import read_heads as read_heads
from w2s_pref.models.batches.read import read_logprobs as read_logprobs
from w2s_pref.models.batches.read import read_token_logprobs as read_token_logprobs
from w2s_pref.models.batches.read import sums as sums
