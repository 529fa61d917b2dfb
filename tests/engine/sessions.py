"""Tiny sessions for the tests: a network with BatchNorm and Dropout, data in memory, and a worker
that can be killed between any two events."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from engine import checkpoint, device, restore, script
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Augment, Config, DataConfig, ModelConfig
from engine.contract.order import check_order
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule
from engine.contract.state import RunState
from engine.contract.table import Table
from engine.contract.training_tables import GuardConfig, Sampling
from engine.data import Batch, order
from engine.loop import train
from engine.models.describe import model_info
from engine.obey import obey
from engine.past import Past
from engine.session import Session
from engine.tasks.classifying import Classifying

ALL = [Rule(match="*")]
UNGUARDED = GuardConfig(rollbacks=0)
"""Without a guard there is no checkpoint of the start."""
CLASSES = ["ant", "bee", "cat"]
COUNTS = [9, 6, 3]
"""What a session believes of its training pictures."""


def tiny_net(classes: int = 3) -> nn.Sequential:
    """(B, 3, 8, 8) to (B, classes), in three parts: stem, body, head."""
    net = nn.Sequential()
    net.add_module(
        "stem", nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    )
    body = nn.Sequential(
        nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.ReLU()
    )
    net.add_module("body", body)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3))
    net.add_module("pool", pool)
    net.add_module("head", nn.Linear(4, classes))
    return net


class TrainTensors:
    """Pictures in memory, in an order of the number of the epoch alone."""

    def __init__(
        self, images: Tensor, labels: Tensor, batch_size: int, sampling: Sampling = "natural"
    ) -> None:
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.sampling = sampling
        self.brightness = 1.0

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def epoch(self, number: int, skip_batches: int = 0) -> Iterator[Batch]:
        return (self._batch(torch.tensor(some)) for some in self.numbers(number, skip_batches))

    samples = property(lambda self: len(self.images))
    varies = False

    def numbers(self, number: int, skip_batches: int = 0, views: int = 1) -> Iterator[list[int]]:
        if self.sampling == "balanced":
            draws = torch.tensor(order.balanced(self.labels.numpy(), number)) % len(self.images)
        else:
            draws = torch.tensor(order.shuffled(len(self.images), number))
        return (some.tolist() for some in draws.split(self.batch_size)[skip_batches:])

    def in_order(self, skip_batches: int = 0, view: int = 0) -> Iterator[Batch]:
        size = min(self.batch_size, len(self.images))
        starts = range(0, len(self.images), size)
        for start in starts[skip_batches:]:
            yield self._batch(torch.arange(start, start + size) % len(self.images))

    def _batch(self, some: Tensor) -> Batch:
        images = self.images[some] * self.brightness
        return Batch(images, self.labels[some], [], some.tolist())

    def set_augmentation(self, augment: Augment, strength: float) -> None:
        self.brightness = strength if augment == "standard" else 2.0

    def close(self) -> None:
        pass


class Batches(list[Batch]):
    """Given batches, the same in each epoch, for validation as well as for training."""

    samples = property(lambda self: sum(map(len, self)))
    varies = False

    def in_order(self, skip_batches: int = 0, view: int = 0) -> Iterator[Batch]:
        return iter(self[skip_batches:])

    def epoch(self, number: int, skip_batches: int = 0) -> Iterator[Batch]:
        return iter(self[skip_batches:])

    def set_augmentation(self, augment: Augment, strength: float) -> None:
        pass

    def close(self) -> None:
        pass


def pictures(count: int, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise, (count, 3, 8, 8), with random labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 8, 8, generator=generator)
    return images, torch.randint(0, classes, (count,), generator=generator)


def batches(*sizes: int, classes: int = 3) -> Batches:
    numbers = iter(range(sum(sizes)))
    return Batches(
        Batch(*pictures(size, classes, seed), [], list(islice(numbers, size)))
        for seed, size in enumerate(sizes, start=100)
    )


def config(**tables: Table | list[Rule]) -> Config:
    """Of a run on 18 pictures in batches of 4, whole tables replaced as given."""
    plain = Config(
        task="image-classification",
        model=ModelConfig(name="torchvision/tiny"),
        data=DataConfig(path="pictures", batch_size=4),
        trainable=ALL,
    )
    return replace(plain, **tables)  # type: ignore[arg-type]


def _train_tensors(asked: Config) -> TrainTensors:
    return TrainTensors(*pictures(18), asked.data.batch_size, asked.regularisation.sampling)


def session(
    folder: Path,
    asked: Config | None = None,
    module: nn.Module | None = None,
    data: TrainTensors | Batches | None = None,
    val_data: Batches | None = None,
    past: Past | None = None,
    saved: checkpoint.Checkpoint | None = None,
    tell: Callable[[e.Event], None] = lambda _: None,
    follows: script.Script | None = None,
    taken: script.Line | None = None,
) -> Session:
    """A session that is ready to train, begun or resumed."""
    asked = asked or config()
    torch.manual_seed(asked.training.seed)
    module = module or tiny_net()
    info = model_info(asked.model.name, module, ["head"], Preprocessing())
    made = Session(
        asked,
        folder,
        info,
        module,
        CLASSES,
        _train_tensors(asked) if data is None else data,
        batches(4, 3) if val_data is None else val_data,
        device.choose(replace(asked.training, device="cpu"), past and past.speed),
        Classifying(asked, COUNTS),
        restore.progress(asked, info, saved),
    )
    past = past or Past()
    past.follow(asked)
    for warning in restore.begin(made, past, saved, follows, taken):
        tell(e.Warned(message=warning))
    return made


Script = list[tuple[float, c.AnyCommand]]
"""Commands by step; step 5.5 is at the boundary behind the evaluation after step 5."""


@dataclass
class ToyWorker:
    """What the worker does, in memory, on a script of commands."""

    folder: Path
    asked: Config
    script: Script = field(default_factory=list)
    journal: list[e.Event] = field(default_factory=list)
    model: Callable[[], nn.Module] = tiny_net
    session: Session = field(init=False)
    generators: dict[str, Tensor] = field(init=False)
    """State of the random generators when the run had finished."""

    def live(self, yields: int | None = None, steps: int | None = None) -> bool:
        """One life, of so many yields of the loop at most, or until so many steps of the run are
        done; whether the run has finished.

        Commands are sent once; each is obeyed at the boundary of its step, and later ones in
        another life if this one ends before.
        """
        self._begin()
        for count, event in enumerate(train(self.session)):
            if event is None:
                self._obey()
                if steps == self.session.progress.step:
                    return False
            else:
                self.journal.append(event)
            if count == yields and not isinstance(event, e.RunFinished):
                return False
        self.generators = self.session.device.rng_state()
        return True

    def _begin(self) -> None:
        past = Past()
        for event in self.journal:
            past.apply(event)
        about = {"pid": 1, "host": "", "versions": {}, "config": self.asked}
        saved, _ = checkpoint.newest(self.folder)
        if past.phase == "new" and not saved:
            self.journal.append(e.RunStarted(**about))  # type: ignore[arg-type]
        else:
            step = saved.manifest.progress.step if saved else 0
            self.journal.append(e.RunResumed(from_step=step, **about))  # type: ignore[arg-type]
        torch.manual_seed(self.asked.training.seed)
        module = self.model()
        self.session = session(
            self.folder, self.asked, module, past=past, saved=saved, tell=self.journal.append
        )

    def _obey(self) -> None:
        p = self.session.progress
        now = p.step + (0.5 if p.batch == 0 else 0)
        while self.script and self.script[0][0] <= now:
            _, command = self.script.pop(0)
            self.journal += obey(self.session, command)
        if self.session.paused:
            self.journal += obey(self.session, c.Resume(id="the toy's own"))


def run(made: Session, script: Sequence[tuple[int, c.AnyCommand]] = ()) -> list[e.Event]:
    """The events of a session from its first to its last, commands obeyed at their steps."""
    left, events = list(script), list[e.Event]()
    for event in train(made):
        if event is not None:
            events.append(event)
            continue
        while left and left[0][0] <= made.progress.step:
            events += obey(made, left.pop(0)[1])
    about = {"pid": 1, "host": "", "versions": {}, "config": made.config}
    check_order([e.RunStarted(**about), *events])  # type: ignore[arg-type]
    assert not left, "not all commands had their step"
    return events


def fold(events: Sequence[e.Event]) -> RunState:
    check_order(events)
    state = RunState()
    for event in events:
        state.apply(event)
    return state


def of(kind: type[e.Event], events: Sequence[e.Event]) -> list[e.Event]:
    return [event for event in events if isinstance(event, kind)]


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
