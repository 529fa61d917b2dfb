"""The frozen beginning of a run's model, remembered for its training and its validation data."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import torch
from torch import Tensor, nn

from engine.contract.events import Event, PrefixAdvanced, PrefixCached, Warned
from engine.contract.text import plain
from engine.data.batch import Batch, Inputs, in_parts
from engine.oom import is_out_of_memory
from engine.prefix import keys
from engine.prefix.cut import NOTHING, Cut, Run, Sizes, Unfit
from engine.prefix.find import find
from engine.prefix.probes import probes
from engine.prefix.shelf import Shelf
from engine.prefix.store import NoRoom, Store

if TYPE_CHECKING:
    from engine.session import Session
    from engine.tasks.task import TrainData

_TARGETS = "@targets"
Precision = Literal["exact", "fp16", "bf16"]
_HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}
_SECONDS_BETWEEN_WORDS = 1.0


@dataclass
class Prefix:
    """Of one part of the data: where it ends, and what is remembered of which samples."""

    data: Literal["training", "validation"]
    due: bool = True
    """Whether plan, settings or weights may be others than when it was looked for."""
    cut: Cut | None = None
    store: Store | None = None
    shelf: Shelf = field(default_factory=lambda: Shelf(None))
    """What other runs have computed."""
    reused: int = 0
    """Samples that came from there."""
    full: bool = False
    """Whether all of the data is in the store."""
    batches: list[list[int]] = field(default_factory=list)
    """Of the validation data, numbers of the samples in batches as they were computed."""
    views: int = 1
    """Kept of each sample."""
    done: Counter[int] = field(default_factory=Counter)
    """Batches that were computed, by view."""
    key: bytes = b""
    """What the store was computed with."""
    stamp: list[tuple[int, int]] = field(default_factory=list)
    """Where the cut's tensors lie, and their versions."""
    reading: Iterator[tuple[int, Batch]] | None = None
    """Views and batches that are still to be computed."""
    probes: tuple[Inputs, Inputs] | None = None
    told: str = ""
    said: float = 0.0
    """When it was last told how far it is."""

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
            data.numbers(number, skip_batches, self.views),
            lambda: data.epoch(number, skip_batches),
        )

    def again(
        self, numbers: Iterable[list[int]], read: Callable[[], Iterable[Batch]]
    ) -> Iterator[Batch]:
        """Batches from what is remembered. Inputs by name are read once more: they are small."""
        assert self.cut
        assert self.store
        if self.cut.input is None:
            return map(self.beside, read())
        return (self._known(self.store.known(some)) for some in numbers)

    def drop(self) -> None:
        """Remember nothing."""
        self.cut, self.store, self.full, self.batches, self.key = None, None, False, [], b""
        self.reading, self.done, self.reused = None, Counter(), 0

    def forget(self, why: str) -> PrefixCached | None:
        """As `drop`; returns what is to be told of it, once. That nothing is frozen is no news
        where nothing was told before."""
        self.drop()
        if why == NOTHING and not self.told:
            return None
        return self.tell(PrefixCached(step=0, data=self.data, why=why))

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

    def beside(self, batch: Batch) -> Batch:
        """What is remembered of a batch, with its inputs where they go by names."""
        assert self.cut
        assert self.store
        shapes: dict[str, tuple[int, ...]] = {}
        named: Mapping[str, Tensor] = {}
        if isinstance(batch.inputs, dict):
            named, sizes = batch.inputs, Sizes.of(batch.inputs)
            shapes = {name: row.laid(sizes)[1:] for name, row in self.cut.points.items()}
        rows = self.store.rows(batch.numbers, shapes)
        rows.pop(_TARGETS)
        return replace(batch, inputs={**named, **rows})


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
        prefix.views = _views_asked(session) if session.train_data.varies else 1
        looks = not (why := why_not(session))
        if looks:
            why = _look(session, prefix, session.train_data.in_order())
        if why and (event := prefix.forget(why)):
            yield _here(event, session)
        if looks or cut_before:  # looking has ended the epoch's reading
            session.reopen_data()
    if prefix.cut is None or prefix.full:
        return True
    if prefix.reading is None:
        prefix.reading = _rest(prefix, session.train_data)
    view, batch = next(prefix.reading, (0, None))
    if batch is None:
        session.reopen_data()
    else:
        session.pending.add_skipped(batch.skipped)
    if not _take(session, prefix, batch, session.train_data.samples, view):
        yield from _advanced(session, prefix)
        return False
    yield from session.pending.flush()
    return prefix.cut is None


def _advanced(session: "Session", prefix: Prefix) -> Iterator[Event]:
    now = time.monotonic()
    if prefix.store and now - prefix.said > _SECONDS_BETWEEN_WORDS:
        prefix.said = now
        of = session.train_data.samples * prefix.views
        samples = len(prefix.store)
        known = min(prefix.reused, samples)
        yield PrefixAdvanced(step=session.progress.step, samples=samples, of=of, reused=known)


def _rest(prefix: Prefix, data: "TrainData") -> Iterator[tuple[int, Batch]]:
    for view in range(prefix.views):
        for batch in data.in_order(prefix.done[view], view):
            yield view, batch


def validation(session: "Session", module: nn.Module, own: bool = True) -> Iterator[Batch]:
    """The batches of the validation data, from the second time on from what is remembered.

    `module` must be in eval mode; `own` says whether its weights are its own, or are lent. Nothing
    is looked for with lent ones, nor is anything remembered where what the cut depends on is not
    what it was found with.
    """
    prefix = session.val_prefix
    if prefix.due and own and module is session.module:
        prefix.due = False
        why = _off(session) or _look(session, prefix, iter(session.val_data))
        if why and (event := prefix.forget(why)):
            session.pending.add(_here(event, session))
    usable = module is session.module and not prefix.due
    if not usable or not prefix.cut or prefix.stamp != _stamp(prefix.cut):
        yield from session.val_data
    elif prefix.full:
        yield from prefix.again(prefix.batches, lambda: session.val_data)
    else:
        prefix.batches = []
        for batch in session.val_data:
            if prefix.cut and len(batch) > 0:
                prefix.batches.append(list(batch.numbers))
                if not _take(session, prefix, batch, session.val_data.samples):
                    batch = prefix.beside(batch)
            yield batch
        if prefix.cut:
            _take(session, prefix, None, session.val_data.samples)


def _off(session: "Session") -> str:
    training = session.config.training
    return NOTHING if training.cache == "off" or training.epochs < 2 else ""


def why_not(session: "Session") -> str:
    """Why nothing of the training data is to be remembered, as far as that is known before looking
    at the model's parts; empty where something may be."""
    regularisation, training = session.config.regularisation, session.config.training
    if training.epochs < 2 or all(p.requires_grad for p in session.module.parameters()):
        return NOTHING
    if training.cache == "off":
        return "training.cache is off"
    if regularisation.mixup or regularisation.cutmix:
        return "training samples are mixed"
    if not session.train_data.varies:
        return ""
    views, epochs = _views_asked(session), training.epochs
    if views == 0:
        augment = session.config.data.augment
        return (
            f"chance changes each sample (data.augment={augment}); "
            'training.cache="views:4" would keep four views of each'
        )
    return f"{views} views of each save nothing in {epochs} epochs" if views >= epochs else ""


def _views_asked(session: "Session") -> int:
    """How many views of a sample are to stand for all that chance makes of it; 0: they can't."""
    name, _, count = session.config.training.cache.partition(":")
    return int(count) if name == "views" else 0


def _look(session: "Session", prefix: Prefix, batches: Iterator[Batch]) -> str:
    """Look for the cut as plan and weights are now, and keep what is remembered if it still holds.

    Returns why there is none, or nothing.
    """
    if prefix.probes is None:
        if (found := probes(_read(session, batches))) is None:
            return NOTHING
        prefix.probes = session.send(found[0]), session.send(found[1])
    try:
        cut = find(session.module, _run(session), prefix.probes, session.device)
    except Unfit as unfit:
        return str(unfit)
    except Exception as error:  # a model may take only what training gives it, which goes on
        if is_out_of_memory(error):
            return "there was not enough memory to look for where to cut the model"
        return f"looking for where to cut the model failed ({plain(error, 100)})"
    rows = keys.of_rows(session, cut, _precision(session, prefix))
    key = rows + _inputs(session, prefix)
    if key != prefix.key:
        prefix.drop()
        told = (session.train_prefix.shelf.problem, session.val_prefix.shelf.problem)
        prefix.key, prefix.shelf = key, Shelf(keys.of_computing(session, rows))
        if prefix.shelf.problem and prefix.shelf.problem not in told:
            session.pending.add(Warned(message=prefix.shelf.problem))
    prefix.cut, prefix.stamp = cut, _stamp(cut)
    return ""


def _inputs(session: "Session", prefix: Prefix) -> bytes:
    """What decides what goes in and may change in a run: nothing, of validation data."""
    if prefix.data == "validation":
        return b""
    data = session.config.data
    return repr((data.augment, data.augment_strength, prefix.views)).encode()


def _read(session: "Session", batches: Iterable[Batch]) -> Iterator[Batch]:
    """A broken file is named only the first time that it is met, which may be here."""
    for batch in batches:
        session.pending.add_skipped(batch.skipped)
        yield batch


def _take(
    session: "Session", prefix: Prefix, batch: Batch | None, samples: int, view: int = 0
) -> bool:
    """Compute and remember a batch, or note that it was the last; whether all is done."""
    assert prefix.cut
    if batch is None:
        prefix.full, prefix.reading = True, None
        store = prefix.store or Store(samples * prefix.views, session.folder)
        event = PrefixCached(
            step=session.progress.step,
            data=prefix.data,
            cut=prefix.cut.words,
            samples=len(store),
            views=prefix.views,
            reused=min(prefix.reused, len(store)),
            precision=_precision(session, prefix),
            size=store.size,
            on_disk=store.on_disk,
            share=prefix.cut.share,
        )
        if told := prefix.tell(event):
            session.pending.add(told)
        session.pending.restart_clock()
        return True
    prefix.done[view] += 1
    numbers = [number + samples * view for number in batch.numbers]
    if len(batch) == 0:
        return False
    prefix.store = prefix.store or Store(samples * prefix.views, session.folder)
    try:
        prefix.store.put(numbers, {**_rows(session, prefix, batch), _TARGETS: batch.targets})
    except (NoRoom, Unfit) as refused:
        if told := prefix.forget(str(refused)):
            session.pending.add(_here(told, session))
        return True
    return False


def _rows(session: "Session", prefix: Prefix, batch: Batch) -> Mapping[str, Tensor]:
    """What is remembered of a batch, from the shelf or computed and put there."""
    assert prefix.cut
    digest = prefix.shelf.digest(batch.inputs)
    if known := prefix.shelf.get(digest):
        prefix.reused += len(batch)
        return known
    rows = _recorded(session, prefix.cut, batch)
    kept = _as_kept(rows, _HALF.get(_precision(session, prefix)))
    prefix.shelf.put(digest, kept)
    return kept


def _precision(session: "Session", prefix: Prefix) -> Precision:
    """In which rows are kept. Of validation data exactly: the first evaluation of each life of a
    run is of what is just computed, and must come to what the later ones do."""
    return "exact" if prefix.data == "validation" else session.config.training.cache_precision


def _as_kept(rows: dict[str, Tensor], half: torch.dtype | None) -> dict[str, Tensor]:
    """`rows` as they are stored. Raises `Unfit` where they are too large for that."""
    if half is None:
        return rows
    kept = {k: x.to(half) if x.dtype == torch.float32 else x for k, x in rows.items()}
    for name, tensor in kept.items():
        if tensor.dtype == torch.float16 and tensor.isinf().any() and rows[name].isfinite().all():
            raise Unfit('its values are too large for fp16: set training.cache_precision to "bf16"')
    return kept


def _recorded(session: "Session", cut: Cut, batch: Batch) -> dict[str, Tensor]:
    from engine import pieces

    run = _run(session)
    while True:
        try:
            count = session.pieces_of(len(batch))
            parts = [
                cut.record(run, session.send(inputs))
                for inputs, _ in in_parts(batch.inputs, batch.targets, count)
            ]
            return {name: torch.cat([part[name] for part in parts]) for name in cut.points}
        except Unfit:
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                raise Unfit(f"computing it failed ({plain(error, 100)})") from error
            session.pending.add(pieces.cut(session, error))


def _run(session: "Session") -> Run:
    def run(inputs: Inputs) -> Any:
        with session.device.autocast():
            return session.objective.outputs(session.module, inputs)

    return run


def _stamp(cut: Cut) -> list[tuple[int, int]]:
    return [(tensor.data_ptr(), tensor._version) for tensor in cut.fixed]


def _here(event: PrefixCached, session: "Session") -> PrefixCached:
    return msgspec.structs.replace(event, step=session.progress.step)
