"""What all words from the worker have in common."""

import time as clock

from msgspec import Struct, field


class Event(Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """What every event carries."""

    time: float = field(default_factory=clock.time)
