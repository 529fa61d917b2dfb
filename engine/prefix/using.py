"""The frozen beginning of a run's model, remembered for its training and its validation data."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import torch
from torch import Tensor, nn

from engine.contract.events import Event, PrefixCached
from engine.data.batch import Batch, Inputs, in_parts, on_each
from engine.oom import is_out_of_memory
from engine.prefix.cut import NOTHING, Cut, Run, Sizes, Unfit
from engine.prefix.find import find
from engine.prefix.store import NoRoom, Store

if TYPE_CHECKING:
    from engine.session import Session
    from engine.tasks.task import TrainData

_TARGETS = "@targets"
_PROBES = (3, 2)
"""Samples of the two batches that a cut is looked for with."""


@dataclass
class Prefix:
    """Of one part of the data: where it ends, and what is remembered of which samples."""

    data: Literal["training", "validation"]
    due: bool = True
    """Whether plan, settings or weights may be others than when it was looked for."""
    cut: Cut | None = None
    store: Store | None = None
    full: bool = False
    """Whether all of the data is in the store."""
    batches: list[list[int]] = field(default_factory=list)
    """Numbers of the samples that are in it, in batches as they were computed."""
    key: bytes = b""
    """What the store was computed with."""
    stamp: list[tuple[int, int]] = field(default_factory=list)
    """Where the cut's tensors lie, and their versions."""
    reading: Iterator[Batch] | None = None
    probe: Inputs | None = None
    told: str = ""

    def outputs(self, run: Run, inputs: Inputs) -> Any:
        """What `run` gives, or the same from what is remembered, where that is in `inputs`."""
        if self.cut and not isinstance(inputs, Tensor) and inputs.keys() & self.cut.points.keys():
            return self.cut.play(run, inputs)
        return run(inputs)

    def epoch(self, data: "TrainData", number: int, skip_batches: int) -> Iterator[Batch]:
        """As of `data`, from what is remembered once that is all."""
        if not self.full:
            return data.epoch(number, skip_batches)
        return self.again(
            data.numbers(number, skip_batches), lambda: data.epoch(number, skip_batches)
        )

    def again(
        self, numbers: Iterable[list[int]], read: Callable[[], Iterable[Batch]]
    ) -> Iterator[Batch]:
        """Batches from what is remembered. Inputs by name are read once more: they are small."""
        assert self.cut
        assert self.store
        if self.cut.input is None:
            return map(self._beside, read())
        return (self._known(self.store.known(some)) for some in numbers)

    def forget(self, why: str) -> PrefixCached | None:
        """Remember nothing; returns what is to be told of it, once."""
        self.cut, self.store, self.full, self.batches, self.key = None, None, False, [], b""
        self.reading = None
        return self.tell(PrefixCached(step=0, data=self.data, why=why)) if why != NOTHING else None

    def tell(self, event: PrefixCached) -> PrefixCached | None:
        """`event`, where it says something new."""
        words = f"{event.cut}/{event.samples}/{event.size}/{event.why}"
        told, self.told = self.told, words
        return event if words != told else None

    def _known(self, numbers: list[int]) -> Batch:
        assert self.store
        rows = self.store.rows(numbers, {})
        targets = rows.pop(_TARGETS)
        return Batch(rows, targets, numbers=numbers)

    def _beside(self, batch: Batch) -> Batch:
        assert self.cut
        assert self.store
        assert isinstance(batch.inputs, dict)
        length = Sizes.of(batch.inputs).length
        vary = [name for name, row in self.cut.points.items() if None in row.stored]
        rows = self.store.rows(batch.numbers, dict.fromkeys(vary, length))
        rows.pop(_TARGETS)
        return replace(batch, inputs={**batch.inputs, **rows})


def ready(session: "Session") -> Generator[Event, None, bool]:
    """One move towards training from what is remembered; whether there is no more to do first.

    That is a pass over the data in the order of its numbers, and not whatever batches come: what
    is remembered then never depends on when it was computed, so that a resumed run comes to the
    same.
    """
    prefix = session.train_prefix
    if prefix.due:
        prefix.due = False
        cut_before = prefix.cut
        why = _why_not(session) or _look(session, prefix, session.train_data.in_order())
        if why and (event := prefix.forget(why)):
            yield _here(event, session)
        if cut_before or prefix.cut:
            session.reopen_data()
    if prefix.cut is None or prefix.full:
        return True
    if prefix.reading is None:
        prefix.reading = session.train_data.in_order(len(prefix.batches))
    batch = next(prefix.reading, None)
    if batch is None:
        session.reopen_data()
    else:
        session.pending.add_skipped(batch.skipped)
    if not _take(session, prefix, batch, session.train_data.samples):
        return False
    yield from session.pending.flush()
    return prefix.cut is None


def validation(session: "Session", module: nn.Module) -> Iterator[Batch]:
    """The batches of the validation data, from the second time on from what is remembered.

    `module` must be in eval mode. Where it is not the run's own, or computes with other weights
    just now, nothing is remembered of it.
    """
    prefix = session.val_prefix
    if prefix.due and module is session.module:
        prefix.due = False
        why = _off(session) or _look(session, prefix, iter(session.val_data))
        if why and (event := prefix.forget(why)):
            session.pending.add(_here(event, session))
    if module is not session.module or not prefix.cut or prefix.stamp != _stamp(prefix.cut):
        yield from session.val_data
    elif prefix.full:
        yield from prefix.again(prefix.batches, lambda: session.val_data)
    else:
        prefix.batches = []
        for batch in session.val_data:
            if len(batch) > 0:
                _take(session, prefix, batch, session.val_data.samples)
            yield batch
        if prefix.cut:
            _take(session, prefix, None, session.val_data.samples)


def _off(session: "Session") -> str:
    training = session.config.training
    return NOTHING if training.cache == "off" or training.epochs < 2 else ""


def _why_not(session: "Session") -> str:
    """Why nothing of the training data is to be remembered, before looking at the model."""
    regularisation = session.config.regularisation
    if _off(session) or all(p.requires_grad for p in session.module.parameters()):
        return NOTHING
    if regularisation.mixup or regularisation.cutmix:
        return "training samples are mixed"
    if session.train_data.varies:
        return (
            f"training samples are changed at random (data.augment={session.config.data.augment})"
        )
    return ""


def _look(session: "Session", prefix: Prefix, batches: Iterator[Batch]) -> str:
    """Look for the cut as plan and weights are now, and keep what is remembered if it still holds.

    Returns why there is none, or nothing.
    """
    if prefix.probe is None:
        batch = next((batch for batch in batches if len(batch) > 0 and batch.numbers), None)
        if batch is None:
            return NOTHING
        some = torch.arange(_PROBES[0]) % len(batch)
        prefix.probe = session.device.send_all(on_each(batch.inputs, lambda x: x[some]))
    try:
        cut = find(session.module, _run(session), _probes(prefix.probe), session.device)
    except Unfit as unfit:
        return str(unfit)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return "there was not enough memory to look for where to cut the model"
    key = _key(session, cut)
    if key != prefix.key:
        prefix.forget(NOTHING)
        prefix.key = key
    prefix.cut, prefix.stamp = cut, _stamp(cut)
    return ""


def _take(session: "Session", prefix: Prefix, batch: Batch | None, samples: int) -> bool:
    """Compute and remember a batch, or note that it was the last; whether all is done."""
    assert prefix.cut
    if batch is None:
        prefix.full, prefix.reading = True, None
        store = prefix.store or Store(samples, session.folder)
        event = PrefixCached(
            step=session.progress.step,
            data=prefix.data,
            cut=prefix.cut.words,
            samples=len(store),
            size=store.size,
            on_disk=store.on_disk,
            share=prefix.cut.share,
        )
        if told := prefix.tell(event):
            session.pending.add(told)
        session.pending.restart_clock()
        return True
    prefix.batches.append(list(batch.numbers))
    if len(batch) == 0:
        return False
    prefix.store = prefix.store or Store(samples, session.folder)
    try:
        rows = _recorded(session, prefix.cut, batch)
        prefix.store.put(batch.numbers, {**rows, _TARGETS: batch.targets})
    except (NoRoom, Unfit) as refused:
        if told := prefix.forget(str(refused)):
            session.pending.add(_here(told, session))
        return True
    return False


def _recorded(session: "Session", cut: Cut, batch: Batch) -> dict[str, Tensor]:
    from engine import pieces

    device, run = session.device, _run(session)
    while True:
        try:
            count = session.pieces_of(len(batch))
            parts = [
                cut.record(run, device.send_all(inputs))
                for inputs, _ in in_parts(batch.inputs, batch.targets, count)
            ]
            return {name: torch.cat([part[name] for part in parts]) for name in cut.points}
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            session.pending.add(pieces.cut(session, error))


def _run(session: "Session") -> Run:
    def run(inputs: Inputs) -> Any:
        with session.device.autocast():
            return session.objective.outputs(session.module, inputs)

    return run


def _probes(inputs: Inputs) -> list[Inputs]:
    """Batches of other sizes; of texts also of other lengths."""
    if isinstance(inputs, Tensor):
        return [inputs[:count] for count in _PROBES]
    short = max(1, Sizes.of(inputs).length - 1)
    return [inputs, {name: x[: _PROBES[1], :short] for name, x in inputs.items()}]


def _key(session: "Session", cut: Cut) -> bytes:
    """A digest of all that rows depend on: where they are taken, weights, data, pieces."""
    digest = hashlib.blake2b(digest_size=16)
    data = session.config.data
    about = (cut.points, cut.into, data.augment, data.augment_strength, session.progress.pieces)
    digest.update(repr(about).encode())
    for tensor in cut.fixed:
        flat = tensor.detach().cpu().contiguous().flatten()
        if flat.numel():
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.digest()


def _stamp(cut: Cut) -> list[tuple[int, int]]:
    return [(tensor.data_ptr(), tensor._version) for tensor in cut.fixed]


def _here(event: PrefixCached, session: "Session") -> PrefixCached:
    return msgspec.structs.replace(event, step=session.progress.step)
