"""Undo and redo of a plan that may be changed from elsewhere too."""

from collections.abc import Sequence

from engine.contract.rules import Rule

Rules = Sequence[Rule]


class History:
    """The plans that were in force. It only watches: undoing is seeing the plan before again."""

    def __init__(self) -> None:
        self._past: list[Rules] = []
        self._present: Rules | None = None
        self._future: list[Rules] = []

    @property
    def before(self) -> Rules | None:
        """What undo leads to."""
        return self._past[-1] if self._past else None

    @property
    def after(self) -> Rules | None:
        """What redo leads to."""
        return self._future[-1] if self._future else None

    def see(self, rules: Rules) -> None:
        """`rules` are in force now."""
        if rules == self._present:
            return
        if self._present is not None:
            if rules == self.before:
                self._past.pop()
                self._future.append(self._present)
            elif rules == self.after:
                self._future.pop()
                self._past.append(self._present)
            else:
                self._future.clear()
                self._past.append(self._present)
        self._present = list(rules)
