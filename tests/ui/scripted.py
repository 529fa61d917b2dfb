"""Runs as a worker would leave them, written line by line: the app can't tell the difference."""

import asyncio
import fcntl
import math
import os
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from engine.contract import events as e
from engine.contract import toml
from engine.contract.catalogue import Catalogue, CatalogueEntry
from engine.contract.codec import decode_command, encode
from engine.contract.commands import AnyCommand
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.cost import Cost
from engine.contract.inspection import Samples
from engine.contract.plan import head_only, resolve, trainable_parameters
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule, Stage
from engine.contract.training_tables import TrainingConfig
from engine.contract.tree import ModelInfo, ModuleInfo

T0 = 1_795_000_000.0
"""Seconds since 1970 at which scripted runs start."""
CONFIG = Config(
    task="image-classification",
    model=ModelConfig(name="torchvision/resnet18"),
    data=DataConfig(path="data/pets"),
    training=TrainingConfig(epochs=10, device="cpu"),
)


def resnet18(classes: int = 37) -> ModelInfo:
    """The tree of torchvision's ResNet-18, as the worker tells it."""
    modules = [_conv("conv1", 3, 64, 7), _norm("bn1", 64), ModuleInfo("relu", "ReLU")]
    modules.append(ModuleInfo("maxpool", "MaxPool2d"))
    before = 64
    for number, width in enumerate((64, 128, 256, 512), 1):
        layer = f"layer{number}"
        modules.append(ModuleInfo(layer, "Sequential"))
        for block in (0, 1):
            modules += _block(f"{layer}.{block}", before, width)
            before = width
    modules += [
        ModuleInfo("avgpool", "AdaptiveAvgPool2d"),
        ModuleInfo("fc", "Linear", {"weight": 512 * classes, "bias": classes}, (classes, 512)),
    ]
    return ModelInfo("torchvision/resnet18", modules, ["fc"], Preprocessing())


class ScriptedInspector:
    """Knows two models, without torch and without another process."""

    async def start(self) -> None: ...

    async def catalogue(self) -> Catalogue:
        weights = ["DEFAULT", "IMAGENET1K_V1"]
        return Catalogue(
            [
                CatalogueEntry(name, parameters, 224, accuracy, size, weights)
                for name, parameters, accuracy, size in (
                    ("torchvision/resnet18", 11_689_512, 0.69758, 46_830_571),
                    ("torchvision/resnet50", 25_557_032, 0.80858, 102_540_417),
                )
            ]
        )

    async def describe(
        self,
        name: str,
        weights: str = "DEFAULT",
        classes: int | None = None,
        task: str = "image-classification",
        pooling: str = "auto",
    ) -> ModelInfo:
        return replace(resnet18(classes or 1000), name=name)

    async def cost(self, *_: object, **__: object) -> Cost:
        """Never answers: what a machine has free is no matter for a picture."""
        await asyncio.Event().wait()
        raise AssertionError

    async def samples(self, *_: object, **__: object) -> Samples:
        return Samples(0, [])

    async def close(self) -> None: ...


class ScriptedRun:
    """A run's folder with a journal; `live` holds its lock, as a worker does."""

    def __init__(self, folder: Path, config: Config = CONFIG, live: bool = True) -> None:
        self.folder = folder
        self.config = config
        self.model = resnet18()
        self.step = 0
        self.steps_per_epoch = 48
        self._lowest = math.inf
        folder.mkdir(parents=True, mode=0o700)
        (folder / "config.toml").write_text(toml.dump(config))
        (folder / "events.jsonl").touch()
        self._lock = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT)
        if live:
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def tell(self, *events: e.AnyEvent) -> None:
        with (self.folder / "events.jsonl").open("ab") as journal:
            journal.write(b"".join(map(encode, events)))

    def start(self, took: bool = True) -> None:
        """All that comes before the first step, except that a worker `took` the run already."""
        rules = head_only(self.model)
        if took:
            self.tell(e.RunStarted(4321, "box", {"ftui": "0.1.0"}, self.config, time=T0))
        self.tell(
            e.PreparationAdvanced("loading the weights", time=T0 + 1),
            e.DataIndexed(["cat", "dog"], [700, 600], [130, 120], time=T0 + 2),
            e.ModelLoaded(self.model, "torchvision IMAGENET1K_V1", time=T0 + 3),
            e.TrainingStarted(
                0, 1, 10, self.steps_per_epoch, 0.01, "cpu", "a CPU", "fp32", 2, time=T0 + 4
            ),
        )
        self.plan(rules, "")
        self.tell(e.EpochStarted(1, 0, time=T0 + 4))

    def plan(self, rules: Sequence[Rule], change: str, stages: Sequence[Stage] = ()) -> None:
        trainable = trainable_parameters(resolve(rules, self.model), self.model)
        self.tell(
            e.PlanChanged(
                self.step, list(rules), trainable, change, stages=list(stages), time=self._now
            )
        )

    def train(self, steps: int) -> None:
        """Losses as they fall in life; an evaluation at the end of each epoch, and a checkpoint
        that is gone by now."""
        for _ in range(steps):
            self.step += 1
            loss = 0.35 + 1.9 * math.exp(-self.step / 90) + 0.18 * math.sin(self.step * 12.9898)
            lr = 0.005 * (1 + math.cos(math.pi * self.step / (10 * self.steps_per_epoch)))
            self.tell(e.StepsTrained(self.step, [loss], [lr], 134.0, time=self._now))
            if self.step % self.steps_per_epoch == 0:
                self.evaluate()
                self._tell_saved(best=True)

    def train_epoch(self, training: float, validation: float) -> None:
        """An epoch whose losses are these, evaluated and saved at its end."""
        losses: list[float | None] = [
            training + 0.01 * math.sin(n) for n in range(self.steps_per_epoch)
        ]
        rates = [0.01] * self.steps_per_epoch
        self.tell(e.StepsTrained(self.step + 1, losses, rates, 134.0, time=self._now))
        self.step += self.steps_per_epoch
        self.evaluate(validation)
        self.save(best=validation < self._lowest)
        self._lowest = min(validation, self._lowest)

    def evaluate(self, loss: float | None = None) -> None:
        epoch = max(1, math.ceil(self.step / self.steps_per_epoch))
        self.tell(self.evaluated(epoch, 0.5 + 1.5 * math.exp(-epoch / 2) if loss is None else loss))
        if self.step < 10 * self.steps_per_epoch:
            self.tell(e.EpochStarted(epoch + 1, self.step, time=self._now))

    def evaluated(self, epoch: int, loss: float) -> e.Evaluated:
        top1 = 0.78 - 0.5 * math.exp(-epoch / 2)
        return e.Evaluated(
            self.step, epoch, "epoch", loss, {"top1": top1}, 250, 2.0, time=self._now
        )

    def save(self, best: bool = False) -> None:
        """A checkpoint, as far as the app looks at it."""
        (self.folder / self._checkpoint).mkdir(parents=True, exist_ok=True)
        self._tell_saved(best)

    def _tell_saved(self, best: bool) -> None:
        path = self._checkpoint
        self.tell(e.CheckpointSaved(self.step, path, "epoch", best, 10, time=self._now))

    @property
    def _checkpoint(self) -> str:
        return f"checkpoints/step-{self.step:08}"

    def commands(self) -> list[AnyCommand]:
        """Those that were sent so far."""
        path = self.folder / "commands.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [decode_command(line) for line in lines]

    def apply(self, command: AnyCommand) -> None:
        self.tell(e.CommandApplied(self.step, command, time=self._now))

    def reject(self, command: AnyCommand, reason: str) -> None:
        self.tell(e.CommandRejected(self.step, command, reason, time=self._now))

    def die(self) -> None:
        """Let go of the lock, as the kernel does for a worker that was killed."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def _now(self) -> float:
        return T0 + 5 + 0.25 * self.step


def _conv(path: str, inputs: int, outputs: int, side: int) -> ModuleInfo:
    inputs *= side * side
    return ModuleInfo(path, "Conv2d", {"weight": inputs * outputs}, (outputs, inputs))


def _norm(path: str, width: int) -> ModuleInfo:
    return ModuleInfo(path, "BatchNorm2d", {"weight": width, "bias": width})


def _block(path: str, inputs: int, width: int) -> list[ModuleInfo]:
    modules = [
        ModuleInfo(path, "BasicBlock"),
        _conv(f"{path}.conv1", inputs, width, 3),
        _norm(f"{path}.bn1", width),
        ModuleInfo(f"{path}.relu", "ReLU"),
        _conv(f"{path}.conv2", width, width, 3),
        _norm(f"{path}.bn2", width),
    ]
    if inputs != width:
        modules += [
            ModuleInfo(f"{path}.downsample", "Sequential"),
            _conv(f"{path}.downsample.0", inputs, width, 1),
            _norm(f"{path}.downsample.1", width),
        ]
    return modules
