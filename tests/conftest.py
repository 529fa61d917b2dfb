"""For all tests: what they run in, and that Hypothesis does not judge how long an example takes."""

import gc
import os

from hypothesis import settings

# Tests run side by side, and threads of torch that have no core of their own wait at full load.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["FTUI_CACHE"] = "off"  # no test may go on from what another has computed
gc.set_threshold(50_000, 20, 20)  # to look at all of torch and Textual anew each time takes long
os.fsync = lambda _fd: None  # only processes that are killed wait for the disk

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
