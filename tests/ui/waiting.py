"""Waiting for what an app shows."""

from collections.abc import Callable

from textual.pilot import Pilot


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Return once `condition` holds; the test runner's own limit ends a wait in vain."""
    while not condition():
        await pilot.pause(0.02)
