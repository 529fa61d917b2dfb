"""What needs torch to be known, asked of a helper process that has it: no torch here."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import msgspec
import platformdirs

from engine.contract.catalogue import Catalogue
from engine.contract.config import Config
from engine.contract.cost import Cost
from engine.contract.finding import Finding, Sought
from engine.contract.inspection import (
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
    Samples,
    Scan,
    TextBaseline,
    Which,
)
from engine.contract.paths import expand
from engine.contract.tree import ModelInfo
from engine.runs import finder
from engine.runs.helper import Helper, Tell

HELPER = "engine.inspector"

_KNOWS_MODELS = ("finetune-tui", "torch", "torchvision", "timm", "transformers")
_KIND = "entries with tasks"
"""Of the catalogue; caches of another are not read."""
_MOVES_WEIGHTS = ("HOME", "TORCH_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE")


class Inspector:
    """A client of `python -m engine.inspector`.

    Questions are answered one after the other, but data has a helper of its own, which may be long
    at it, and so has each baseline. All raise `UserError`: the helper's sentence, or how it died.
    """

    def __init__(self, module: str = HELPER, cache: Path | None = None) -> None:
        self._module = module
        self._cache = cache or platformdirs.user_cache_path("ftui") / "catalogue.json"
        self._models = Helper(module)
        self._data: Helper | None = None
        self._apart: set[Helper] = set()
        """Others that are at a long answer."""

    async def start(self) -> None:
        """Start the helper, which then loads torch while nobody waits."""
        await self._models.start()

    async def catalogue(self) -> Catalogue:
        """Every model there is; from the disk if the libraries are those that were asked."""
        key = _catalogue_key()
        if (known := await asyncio.to_thread(_read_cache, self._cache, key)) is not None:
            return known
        found = await self._models.ask(lambda n: AskCatalogue(id=n), Catalogue)
        await asyncio.to_thread(_write_cache, self._cache, key, found)
        return found

    async def describe(
        self,
        name: str,
        weights: str = "DEFAULT",
        classes: int | None = None,
        task: str = "image-classification",
        pooling: str = "auto",
    ) -> ModelInfo:
        """The tree of the model `name` (SOURCE/NAME); `classes` None keeps the published head."""
        return await self._models.ask(
            lambda n: AskDescribe(
                id=n, name=name, weights=weights, classes=classes, task=task, pooling=pooling
            ),
            ModelInfo,
        )

    async def devices(self) -> list[Device]:
        """Where torch can train, the best first."""
        return await self._models.ask(lambda n: AskDevice(id=n), list[Device])

    async def baseline(self, config: Config) -> TextBaseline:
        """TF-IDF with logistic regression on the texts of a config: seconds, or minutes."""
        apart = Helper(self._module)
        self._apart.add(apart)
        try:
            return await apart.ask(
                lambda n: AskBaseline(id=n, config=config), TextBaseline, tries=1
            )
        finally:
            self._apart.discard(apart)
            await apart.close()

    async def cost(self, config: Config, classes: int | None = None, pieces: int = 1) -> Cost:
        """What a step of a config costs, for so many classes and a batch cut into `pieces`."""
        return await self._models.ask(
            lambda n: AskCost(id=n, config=config, classes=classes, pieces=pieces), Cost
        )

    def find(self, sought: Sought) -> AsyncGenerator[Finding, None]:
        """As `finder.find`, by a process of its own."""
        return finder.find(sought)

    async def data(self, config: Config, tell: Tell) -> Overview:
        """The data that `config` names, as it lies on the disk now; `tell` hears how far it is."""
        helper = await self._for_data()
        return await helper.ask(lambda n: AskData(id=n, config=config), Overview, tell)

    async def scan(self, config: Config) -> Scan:
        """What is known of its samples after another half second of looking at them."""
        helper = await self._for_data()
        return await helper.ask(lambda n: AskScan(id=n, config=config), Scan)

    async def samples(self, config: Config, which: Which) -> Samples:
        """Samples of the data that `config` names."""
        helper = await self._for_data()
        return await helper.ask(lambda n: AskSamples(id=n, config=config, which=which), Samples)

    async def leave_data(self) -> None:
        """End the helper that reads data, whatever it is at."""
        if self._data is not None:
            await self._data.close()

    async def close(self) -> None:
        """End all processes, whatever they are at."""
        for helper in (self._models, self._data, *self._apart):
            if helper is not None:
                await helper.close()

    async def _for_data(self) -> Helper:
        """The helper that knew models, as it is warm; another one warms up for these."""
        if self._data is None:
            self._data, self._models = self._models, Helper(self._module)
            await self._models.start()
        return self._data


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
