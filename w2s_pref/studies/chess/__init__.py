"""Chess puzzles as a generative weak-to-strong task: positions or games in, the first solution move out."""

from importlib.util import find_spec

from w2s_pref.core.errors import W2SError

if find_spec("chess") is None:
    raise W2SError('chess studies need the package python-chess: pip install "w2s-pref[chess]"')
