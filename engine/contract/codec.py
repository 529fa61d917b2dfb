"""Events and commands to lines of JSON and back."""

import json

import msgspec

from engine.contract.commands import AnyCommand
from engine.contract.events import AnyEvent

_encoder = msgspec.json.Encoder()
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_commands: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)


def encode(message: msgspec.Struct) -> bytes:
    """An event, a command or the like as one line, newline included.

    What UTF-8 can't say (a file's name may hold it) becomes "?".
    """
    try:
        return _encoder.encode(message) + b"\n"
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(message), ensure_ascii=False)
        return text.encode("utf-8", "replace") + b"\n"


def decode_event(line: bytes) -> AnyEvent:
    """Raises `ValueError` on a torn line or an event of a newer version."""
    return _events.decode(line)


def decode_command(line: bytes) -> AnyCommand:
    """Raises `ValueError` on a line that is no command."""
    return _commands.decode(line)
