"""Events and commands to lines of JSON and back."""

import msgspec

from engine.contract.commands import AnyCommand
from engine.contract.events import AnyEvent, Event

_encoder = msgspec.json.Encoder()
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_commands: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)


def encode(message: Event | AnyCommand) -> bytes:
    """One line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode_event(line: bytes) -> AnyEvent:
    """Raises `msgspec.DecodeError` on a torn line or an event of a newer version."""
    return _events.decode(line)


def decode_command(line: bytes) -> AnyCommand:
    """Raises `msgspec.DecodeError` on a line that is no command."""
    return _commands.decode(line)
