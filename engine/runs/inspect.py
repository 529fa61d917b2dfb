"""What needs torch to be known, asked of a helper process that has it: no torch here."""

import asyncio
import hashlib
import os
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import platformdirs

from engine.contract.catalogue import Catalogue
from engine.contract.config import Config
from engine.contract.cost import Cost
from engine.contract.errors import UserError
from engine.contract.inspection import (
    Answer,
    AskBaseline,
    AskCatalogue,
    AskCost,
    AskData,
    AskDescribe,
    AskDevice,
    AskSamples,
    AskScan,
    Device,
    Overview,
    Part,
    Question,
    Samples,
    Scan,
    TextBaseline,
)
from engine.contract.paths import expand
from engine.contract.text import plain
from engine.contract.tree import ModelInfo
from engine.runs import environment

T = TypeVar("T")

HELPER = "engine.inspector"

_LONGEST_ANSWER = 64 * 1024 * 1024
_KNOWS_MODELS = ("finetune-tui", "torch", "torchvision", "timm", "transformers")
_KIND = "entries with tasks"
"""Of the catalogue; caches of another are not read."""
_MOVES_WEIGHTS = ("HOME", "TORCH_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE")


class Inspector:
    """A client of `python -m engine.inspector`; started again where it died.

    Questions are answered one after the other, but for baselines, each of which has a helper of its
    own. One whose asker was cancelled costs the next one its time, and nothing else. All raise
    `UserError`: the helper's sentence, or how it died.
    """

    def __init__(self, module: str = HELPER, cache: Path | None = None) -> None:
        self._module = module
        self._cache = cache or platformdirs.user_cache_path("ftui") / "catalogue.json"
        self._process: asyncio.subprocess.Process | None = None
        self._complaints: asyncio.Task[str] | None = None
        self._turn = asyncio.Lock()
        self._asked = 0
        self._apart: set[Inspector] = set()
        """Others that are at a long answer."""

    async def start(self) -> None:
        """Start the helper, which then loads torch while nobody waits."""
        async with self._turn:
            await self._helper()

    async def catalogue(self) -> Catalogue:
        """Every model there is; from the disk if the libraries are those that were asked."""
        key = _catalogue_key()
        if (known := await asyncio.to_thread(_read_cache, self._cache, key)) is not None:
            return known
        found = await self._ask(lambda n: AskCatalogue(id=n), Catalogue)
        await asyncio.to_thread(_write_cache, self._cache, key, found)
        return found

    async def describe(
        self,
        name: str,
        weights: str = "DEFAULT",
        classes: int | None = None,
        task: str = "image-classification",
    ) -> ModelInfo:
        """The tree of the model `name` (SOURCE/NAME); `classes` None keeps the published head."""
        return await self._ask(
            lambda n: AskDescribe(id=n, name=name, weights=weights, classes=classes, task=task),
            ModelInfo,
        )

    async def devices(self) -> list[Device]:
        """Where torch can train, the best first."""
        return await self._ask(lambda n: AskDevice(id=n), list[Device])

    async def baseline(self, config: Config) -> TextBaseline:
        """TF-IDF with logistic regression on the texts of a config: seconds, or minutes."""
        apart = Inspector(self._module, self._cache)
        self._apart.add(apart)
        try:
            return await apart._ask(lambda n: AskBaseline(id=n, config=config), TextBaseline, 1)
        finally:
            self._apart.discard(apart)
            await apart.close()

    async def cost(self, config: Config, classes: int | None = None, pieces: int = 1) -> Cost:
        """What a step of a config costs, for so many classes and a batch cut into `pieces`."""
        return await self._ask(
            lambda n: AskCost(id=n, config=config, classes=classes, pieces=pieces), Cost
        )

    async def data(self, config: Config) -> Overview:
        """The data that `config` names, as it lies on the disk now."""
        return await self._ask(lambda n: AskData(id=n, config=config), Overview)

    async def scan(self, config: Config) -> Scan:
        """What is known of its samples after another half second of looking at them."""
        return await self._ask(lambda n: AskScan(id=n, config=config), Scan)

    async def samples(
        self,
        config: Config,
        part: Part,
        numbers: list[int],
        *,
        of: int | None = None,
        epoch: int | None = None,
        size: int = 224,
    ) -> Samples:
        """Samples of the data that `config` names, as `AskSamples` says."""
        return await self._ask(
            lambda n: AskSamples(
                id=n, config=config, part=part, numbers=numbers, of=of, epoch=epoch, size=size
            ),
            Samples,
        )

    async def close(self) -> None:
        """End the helper and others that it has, whatever they are at."""
        for apart in list(self._apart):
            await apart.close()
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _ask(self, question: Callable[[int], Question], kind: type[T], tries: int = 2) -> T:
        async with self._turn:
            self._asked += 1
            line = msgspec.json.encode(question(self._asked)) + b"\n"
            for _ in range(tries):  # each by a new helper
                if answer := await self._answer(line):
                    break
            else:
                raise UserError(f"The helper process died{await self._last_words()}.")
        if isinstance(answer.result, msgspec.UnsetType):
            raise UserError(answer.error)
        return msgspec.json.decode(answer.result, type=kind)

    async def _answer(self, line: bytes) -> Answer | None:
        """The answer to the newest question; None where the helper died over it."""
        process = await self._helper()
        assert process.stdin
        assert process.stdout
        with suppress(ConnectionError):
            process.stdin.write(line)
            await process.stdin.drain()
        while said := await process.stdout.readline():
            answer = msgspec.json.decode(said, type=Answer)
            if answer.id == self._asked:
                return answer
        await process.wait()
        return None

    async def _helper(self) -> asyncio.subprocess.Process:
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
            self._complaints = asyncio.create_task(_last_line(self._process.stderr))
        return self._process

    async def _last_words(self) -> str:
        words = await self._complaints if self._complaints else ""
        return f": {plain(words, 200)}" if words else ""


async def _last_line(stream: asyncio.StreamReader) -> str:
    """Read to the end, so that the pipe never fills, and keep the last line."""
    ends: deque[bytes] = deque(maxlen=2)  # together surely as long as a line that is worth showing
    while data := await stream.read(4096):
        ends.append(data)
    lines = b"".join(ends).decode("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "").rstrip(".")


def _catalogue_key() -> str:
    """What a catalogue depends on: the libraries, where their weights lie, and which language
    models are in the cache."""
    parts = [_KIND, *(f"{name} {_version(name)}" for name in _KNOWS_MODELS)]
    parts += [f"{name}={os.environ.get(name)}" for name in _MOVES_WEIGHTS]
    with suppress(OSError):
        parts += sorted(path.name for path in _hub_cache().iterdir())
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()


def _hub_cache() -> Path:
    """As huggingface_hub has it, which takes long to import."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", f"{cache}/huggingface")
    return expand(os.environ.get("HF_HUB_CACHE", f"{home}/hub"))


def _version(package: str) -> str:
    from importlib import metadata  # takes longer to import than all that stands above

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


class _Cached(msgspec.Struct):
    key: str
    catalogue: Catalogue


def _read_cache(path: Path, key: str) -> Catalogue | None:
    with suppress(OSError, ValueError):
        cached = msgspec.json.decode(path.read_bytes(), type=_Cached)
        return cached.catalogue if cached.key == key else None
    return None


def _write_cache(path: Path, key: str, catalogue: Catalogue) -> None:
    """Whole or not at all; a cache that can't be written is done without."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(_Cached(key, catalogue)))
        temporary.replace(path)
