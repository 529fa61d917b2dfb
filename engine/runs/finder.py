"""The client of `python -m engine.finder`: no torch here."""

import os
import signal
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

from engine.contract.errors import UserError
from engine.contract.finding import Finding, SearchFailed, Sought, Suggested
from engine.runs import child

HELPER = "engine.finder"
_KILLED = "The search was killed, most likely for want of memory: set data.batch_size lower."


async def find(sought: Sought, module: str = HELPER) -> AsyncGenerator[Finding, None]:
    """What a search tells, up to what it suggests; whoever leaves it before ends the process.

    Raises `UserError`: the process's sentence, or how it died.
    """
    asked = await child.start(module)
    process = asked.process
    try:
        with suppress(ConnectionError):
            asked.questions.write(msgspec.json.encode(sought) + b"\n")
            await asked.questions.drain()
        while line := await asked.answers.readline():
            finding = msgspec.json.decode(line, type=Finding)
            if isinstance(finding, SearchFailed):
                raise UserError(finding.error)
            yield finding
            if isinstance(finding, Suggested):
                return
        if await process.wait() == -signal.SIGKILL:
            raise UserError(_KILLED)
        raise UserError(f"The search died{await asked.last_words()}.")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that read for it
        await process.wait()
