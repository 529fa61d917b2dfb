"""Imports that don't look for garbage."""

import subprocess
import sys

_TWICE = """
import gc, weakref
from engine.imports import uncollected

class Cycle:
    def __init__(self):
        self.itself = self

with uncollected():
    assert not gc.isenabled()
assert gc.isenabled() and gc.get_freeze_count() > 0
cycle = Cycle()
seen = weakref.ref(cycle)
with uncollected():
    pass
del cycle
gc.collect()
assert seen() is None
"""


def test_what_is_no_longer_needed_is_given_back_after_a_second_time() -> None:
    subprocess.run([sys.executable, "-c", _TWICE], check=True)
