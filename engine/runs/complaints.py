"""What a helper process says on standard error, of which the last line tells why it died."""

import asyncio
from collections import deque


async def last_line(stream: asyncio.StreamReader) -> str:
    """Read to the end, so that the pipe never fills, and keep the last line."""
    ends: deque[bytes] = deque(maxlen=2)  # together surely as long as a line that is worth showing
    while data := await stream.read(4096):
        ends.append(data)
    lines = b"".join(ends).decode("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "").rstrip(".")
