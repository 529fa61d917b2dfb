"""The client of `python -m engine.finder`: no torch here."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

from engine.contract.errors import UserError
from engine.contract.finding import Finding, SearchFailed, Sought, Suggested
from engine.contract.text import plain
from engine.runs import environment
from engine.runs.complaints import last_line

HELPER = "engine.finder"
_KILLED = "The search was killed, most likely for want of memory: set data.batch_size lower."


async def find(sought: Sought, module: str = HELPER) -> AsyncGenerator[Finding, None]:
    """What a search tells, up to what it suggests; whoever leaves it before ends the process.

    Raises `UserError`: the process's sentence, or how it died.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment.for_torch(),
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    complaints = asyncio.create_task(last_line(process.stderr))
    try:
        with suppress(ConnectionError):
            process.stdin.write(msgspec.json.encode(sought) + b"\n")
            await process.stdin.drain()
        while line := await process.stdout.readline():
            finding = msgspec.json.decode(line, type=Finding)
            if isinstance(finding, SearchFailed):
                raise UserError(finding.error)
            yield finding
            if isinstance(finding, Suggested):
                return
        if await process.wait() == -signal.SIGKILL:
            raise UserError(_KILLED)
        words = await complaints
        raise UserError(f"The search died{f': {plain(words, 200)}' if words else ''}.")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that read for it
        await process.wait()
