"""Processes that have torch, as their clients start them."""

import asyncio
import sys
from collections import deque
from typing import NamedTuple

from engine.contract.text import plain
from engine.runs import environment

_LONGEST_LINE = 64 * 1024 * 1024
_LONGEST_WORDS = 200


class Child(NamedTuple):
    """A process that is asked on its standard input and answers on its standard output."""

    process: asyncio.subprocess.Process
    questions: asyncio.StreamWriter
    answers: asyncio.StreamReader
    complaints: asyncio.Task[str]
    """The last line of its standard error, once that has ended."""

    async def last_words(self) -> str:
        """What may tell why it died, as the tail of a sentence; waits for its end."""
        words = await self.complaints
        return f": {plain(words, _LONGEST_WORDS)}" if words else ""


async def start(module: str) -> Child:
    """`python -m MODULE`, in a session of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment.for_torch(),
        limit=_LONGEST_LINE,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    complaints = asyncio.create_task(_last_line(process.stderr))
    return Child(process, process.stdin, process.stdout, complaints)


async def _last_line(stream: asyncio.StreamReader) -> str:
    """Read to the end, so that the pipe never fills, and keep the last line."""
    ends: deque[bytes] = deque(maxlen=2)  # together surely as long as a line that is worth showing
    while data := await stream.read(4096):
        ends.append(data)
    lines = b"".join(ends).decode("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "").rstrip(".")
