"""A process that has torch, and its client: questions and answers, one after the other."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from engine.contract.errors import UserError
from engine.contract.inspection import Answer, Question
from engine.contract.text import plain
from engine.runs import environment
from engine.runs.complaints import last_line

T = TypeVar("T")

_LONGEST_ANSWER = 64 * 1024 * 1024
Tell = Callable[[str], None]


class Helper:
    """A client of `python -m MODULE`, which is started again where it died.

    A question whose asker was cancelled costs the next one its time, and nothing else.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: asyncio.subprocess.Process | None = None
        self._complaints: asyncio.Task[str] | None = None
        self._turn = asyncio.Lock()
        self._asked = 0

    async def start(self) -> None:
        """Start the process, which then loads torch while nobody waits."""
        async with self._turn:
            await self._running()

    async def ask(
        self,
        question: Callable[[int], Question],
        kind: type[T],
        tell: Tell = lambda _: None,
        tries: int = 2,
    ) -> T:
        """The answer to the question with a number; `tell` hears what goes on until then.

        Raises `UserError`: the helper's sentence, or how it died.
        """
        async with self._turn:
            self._asked += 1
            line = msgspec.json.encode(question(self._asked)) + b"\n"
            for _ in range(tries):  # each by a new process
                if answer := await self._answer(line, tell):
                    break
            else:
                raise UserError(f"The helper process died{await self._last_words()}.")
        if isinstance(answer.result, msgspec.UnsetType):
            raise UserError(answer.error)
        return msgspec.json.decode(answer.result, type=kind)

    async def close(self) -> None:
        """End the process, whatever it is at."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _answer(self, line: bytes, tell: Tell) -> Answer | None:
        """The answer to the newest question; None where the process died over it."""
        process = await self._running()
        assert process.stdin
        assert process.stdout
        with suppress(ConnectionError):
            process.stdin.write(line)
            await process.stdin.drain()
        while said := await process.stdout.readline():
            answer = msgspec.json.decode(said, type=Answer)
            if answer.id == self._asked and not answer.doing:
                return answer
            if answer.id == self._asked:
                tell(answer.doing)
        await process.wait()
        return None

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", self._module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment.for_torch(),
                limit=_LONGEST_ANSWER,
                start_new_session=True,
            )
            assert self._process.stderr
            self._complaints = asyncio.create_task(last_line(self._process.stderr))
        return self._process

    async def _last_words(self) -> str:
        words = await self._complaints if self._complaints else ""
        return f": {plain(words, 200)}" if words else ""
