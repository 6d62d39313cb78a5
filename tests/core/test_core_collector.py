"""The garbage collector while libraries are imported, and afterwards."""

from __future__ import annotations

import gc
import weakref

from w2s_pref.core import collector


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_after_the_imports_it_is_as_python_has_it_and_looks_at_what_is_new() -> None:
    collector.begin()
    assert gc.get_threshold()[0] == collector.RARE
    before = weakref.ref(Cycle())
    collector.spare_imports.__wrapped__()  # once a process, and here it was called before
    assert gc.get_threshold() == collector.USUAL
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    after = weakref.ref(Cycle())
    gc.collect()
    assert before() is None  # not kept for ever
    assert after() is None
