"""torch.compile for training steps; evaluations and what is remembered of a prefix go without."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from engine.contract.text import plain
from engine.oom import is_out_of_memory


class Compiled:
    """A module that is compiled when it is first run, and again under another plan."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._compiled: Any = None
        self.seconds: float | None = None
        """That compiling took, once it was done."""
        self.failure = ""
        """Why it can't be compiled, in a few words."""

    def fail(self, error: Exception) -> None:
        """Go without from now on."""
        self.failure = f"{type(error).__name__}: {plain(error, 160)}"
        if "No working C++ compiler" in str(error):
            self.failure = "there is no C++ compiler, such as g++"

    def begin_anew(self) -> None:
        """Before the next pass: other parameters train, or layers have come or gone.

        torch would see most of it by itself, and after eight times give up without a word.
        """
        if self._compiled is not None:
            torch.compiler.reset()
        self._compiled = None

    def run(self, run: Callable[[nn.Module], Any], dynamic: bool) -> Any:
        """What `run` gives of the compiled module; with `dynamic` one code is for all sizes.

        Where it can't be compiled, the module itself is run from now on.
        """
        if self.failure:
            return run(self._module)
        if self._compiled is not None:
            return run(self._compiled)
        began = time.monotonic()
        made: Any = torch.compile(self._module, dynamic=dynamic)
        try:
            outputs = run(made)
        except Exception as error:  # of many kinds; a fault of the module itself comes again
            if is_out_of_memory(error):
                raise
            self.fail(error)
            return run(self._module)
        self._compiled, self.seconds = made, time.monotonic() - began
        return outputs
