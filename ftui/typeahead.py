"""Keys take effect one after another, however quickly they were typed."""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

_MOST_ROUNDS = 20
_SECONDS_TO_SETTLE = 0.5
"""Until a widget that does not answer, since it is gone or busy, no longer holds up the keys."""


class TypeAheadApp(App[None]):
    """An app that loses no key of a burst, as SSH and fast fingers make them.

    Textual hands each key at once to the widget that has the focus, while an earlier key may still
    be on its way through handlers and messages to whatever moves the focus: of `/squeezenet`, read
    at once, every letter would go to the list that had it. Here a key waits until the one before
    it has had all its consequences.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._typed: deque[events.Key] = deque()
        self._handing_out: asyncio.Task[None] | None = None

    @property
    def keys_waiting(self) -> bool:
        """Whether a key has not had all its consequences yet."""
        return self._handing_out is not None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
            return
        self._typed.append(event)
        if self._handing_out is None:
            self._handing_out = asyncio.create_task(self._hand_out())

    async def _hand_out(self) -> None:
        try:
            while self._typed and self.is_running:
                before = self._pumps
                await super().on_event(self._typed.popleft())
                await self._settle(before)
        finally:
            self._handing_out = None

    @property
    def _pumps(self) -> list[MessagePump]:
        """The widget that has the focus and all above it, up to the app."""
        return list((self.focused or self.screen).ancestors_with_self)

    async def _settle(self, before: list[MessagePump]) -> None:
        """Return once nothing is left to do that a key led to, where it went and where keys go now.

        A message that is handled may lead to another, so it must be found quiet twice.
        """
        quiet = 0
        for _ in range(_MOST_ROUNDS):
            pumps = list(dict.fromkeys([*before, *self._pumps]))
            await _pass_through(pumps)
            waiting = any(pump.message_queue_size for pump in pumps)
            quiet = 0 if waiting else quiet + 1
            if quiet == 2:
                return


async def _pass_through(pumps: Iterable[MessagePump]) -> None:
    """Return once each in turn has handled what it had."""
    for pump in pumps:
        done = asyncio.Event()
        if pump.is_running and pump.call_later(done.set):
            with suppress(TimeoutError):
                async with asyncio.timeout(_SECONDS_TO_SETTLE):
                    await done.wait()
