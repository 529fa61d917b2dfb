"""A process that has torch, and its client: questions and answers, one after the other."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from engine.contract.errors import UserError
from engine.contract.inspection import Answer, Question
from engine.runs.child import Child, start

T = TypeVar("T")

Tell = Callable[[str], None]


class Helper:
    """A client of `python -m MODULE`, which is started again where it died.

    A question whose asker was cancelled costs the next one its time, and nothing else.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._child: Child | None = None
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
                words = await self._child.last_words() if self._child else ""
                raise UserError(f"The helper process died{words}.")
        if isinstance(answer.result, msgspec.UnsetType):
            raise UserError(answer.error)
        return msgspec.json.decode(answer.result, type=kind)

    async def close(self) -> None:
        """End the process, whatever it is at."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                child.process.kill()
            await child.process.wait()

    async def _answer(self, line: bytes, tell: Tell) -> Answer | None:
        """The answer to the newest question; None where the process died over it."""
        child = await self._running()
        with suppress(ConnectionError):
            child.questions.write(line)
            await child.questions.drain()
        while said := await child.answers.readline():
            answer = msgspec.json.decode(said, type=Answer)
            if answer.id == self._asked and not answer.doing:
                return answer
            if answer.id == self._asked:
                tell(answer.doing)
        await child.process.wait()
        return None

    async def _running(self) -> Child:
        if self._child is None or self._child.process.returncode is not None:
            self._child = await start(self._module)
        return self._child
