"""The terminal app and its command line."""

import os


def _import_numpy() -> None:
    """Import numpy without the thread a core that its OpenBLAS would start: nothing here needs it.

    The setting is taken back at once, since workers inherit the environment.
    """
    setting = "OPENBLAS_NUM_THREADS"
    if setting not in os.environ:
        os.environ[setting] = "1"
        import numpy  # noqa: F401

        del os.environ[setting]


_import_numpy()
