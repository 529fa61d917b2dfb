"""Undo and redo of a plan that may be changed from elsewhere too."""

from collections.abc import Callable

from engine.contract.planfile import Plan


class History:
    """The plans that were in force. It only watches: undoing is seeing the plan before again."""

    def __init__(self) -> None:
        self._past: list[Plan] = []
        self._present: Plan | None = None
        self._future: list[Plan] = []

    @property
    def before(self) -> Plan | None:
        """What undo leads to."""
        return self._past[-1] if self._past else None

    @property
    def after(self) -> Plan | None:
        """What redo leads to."""
        return self._future[-1] if self._future else None

    def newest(self, fits: Callable[[Plan], bool]) -> Plan | None:
        """The newest plan that undo leads to, in any number of steps, and that fits."""
        return next((plan for plan in reversed(self._past) if fits(plan)), None)

    def see(self, plan: Plan) -> None:
        """`plan` is in force now."""
        if plan == self._present:
            return
        if self._present is not None:
            if plan == self.before:
                self._past.pop()
                self._future.append(self._present)
            elif plan == self.after:
                self._future.pop()
                self._past.append(self._present)
            else:
                self._future.clear()
                self._past.append(self._present)
        self._present = plan
