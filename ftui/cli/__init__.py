"""The console command: it loads all else inside `main`, where Ctrl+C leaves no traceback."""

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; exit codes as the README tells."""
    try:
        _import_numpy()
        from ftui.cli.commands import call

        code = call()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def _import_numpy() -> None:
    """Import numpy without the thread a core that its OpenBLAS would start: nothing here needs it.

    The setting is taken back at once, since workers inherit the environment.
    """
    setting = "OPENBLAS_NUM_THREADS"
    if setting not in os.environ:
        os.environ[setting] = "1"
        import numpy  # noqa: F401

        del os.environ[setting]
