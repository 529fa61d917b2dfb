"""Keys reach what has the focus when their turn comes, however quickly they were typed."""

from typing import Any
from weakref import WeakKeyDictionary

from textual import events
from textual.app import App
from textual.widget import Widget


class TypeAheadApp(App[None]):
    """An app that loses no key of a burst, as SSH and fast fingers make them.

    Textual hands each key to the widget that has the focus when it is read, and asks bindings once
    it has bubbled back. Of `/squeezenet`, read at once, every letter goes to the list that had the
    focus; when `/` has moved it to the search line, `s` and `q` would come back as the app's own
    keys and start or leave something. Here such a key is handed on to where the focus is by then.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._aims: WeakKeyDictionary[events.Key, Widget | None] = WeakKeyDictionary()
        """What had the focus when a key was read."""

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded:
            self._aims[event] = self.focused
        await super().on_event(event)

    async def _on_key(self, event: events.Key) -> None:
        aim = self._aims.get(event, self.focused)
        if aim is not self.focused and self.focused is not None:
            event.prevent_default()  # the base class would ask the bindings
            late = events.Key(event.key, event.character)
            self._aims[late] = self.focused
            self.focused._forward_event(late)
