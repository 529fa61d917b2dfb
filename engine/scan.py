"""Looking at samples one by one, for as long as there is time: what repeats, what is broken, and
how long texts are."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from time import monotonic
from typing import NamedTuple

import numpy as np

from engine.contract.events import FileSkipped
from engine.contract.inspection import Copy, Lengths, Scan, Twins
from engine.data import likeness, picture, shingles
from engine.data.likeness import Likeness
from engine.data.preview import Part, TextPart

_MOST = 25_000
"""Of each side: comparing them all takes a second or two then."""
_THREADS = 8
_AT_ONCE = 64
_NAMED = 100


class _Looked(NamedTuple):
    part: Part
    number: int
    likeness: Likeness | None
    """None: broken."""
    reason: str


class Search:
    """Begins with the validation samples; of many, it takes evenly spaced ones."""

    def __init__(self, train: Part, val: Part, ends: bool = False) -> None:
        """`ends`: validation samples are the ends of the training samples of the same numbers."""
        self._train, self._val, self._ends = train, val, ends
        numbers = {part: _spread(len(part)) for part in (val, train)}
        self._todo: Iterator[tuple[Part, int]] = (
            (part, number) for part, some in numbers.items() for number in some
        )
        self._wanted = sum(map(len, numbers.values()))
        self._looked = 0
        self._known: dict[Part, dict[bytes, int]] = {train: {}, val: {}}
        """Of each side, digests and the first number that has them."""
        self._outlines: dict[Part, dict[int, np.ndarray]] = {train: {}, val: {}}
        self._copies = {train: 0, val: 0}
        self._first_copies: list[Copy] = []
        self._digests: dict[int, bytes] = {}
        """Of the validation samples."""
        self._near: list[tuple[int, int]] = []
        """Numbers of training and validation samples; no exact copies."""
        self._compared = 0
        self._broken: list[FileSkipped] = []
        self._lengths: Counter[tuple[Part, int]] = Counter()

    def go_on(self, seconds: float) -> None:
        """Until so many seconds are over; what is begun is finished."""
        until = monotonic() + seconds
        with ThreadPoolExecutor(_THREADS) as pool:
            while some := list(islice(self._todo, _AT_ONCE)):
                for looked in pool.map(_look, some):
                    self._take(looked)
                self._looked += len(some)
                if monotonic() > until:
                    return
        for val, train in self._nearest:
            self._compared += 1
            if train is not None and not (self._ends and train == val):
                self._near.append((train, val))
            if monotonic() > until:
                return

    def found(self) -> Scan:
        """So far."""
        same = [(number, self._known[self._train].get(d)) for number, d in self._digests.items()]
        shared = [(train, val) for val, train in same if train is not None]
        return Scan(
            looked=self._looked,
            wanted=self._wanted,
            total=len(self._train) + len(self._val),
            train_copies=self._copies[self._train],
            val_copies=self._copies[self._val],
            first_copies=[*self._first_copies],
            same=len(shared),
            first_same=self._named(shared),
            compared=self._compared,
            to_compare=len(self._alone) if self._looked == self._wanted else 0,
            near=len(self._near),
            first_near=self._named(self._near),
            broken=len(self._broken),
            first_broken=self._broken[:_NAMED],
            lengths=self._told_lengths() if self._lengths else None,
        )

    def _take(self, looked: _Looked) -> None:
        part, number, found, reason = looked
        if found is None:
            self._broken.append(FileSkipped(path=part.name(number), reason=reason))
            return
        known = self._known[part]
        first = known.setdefault(found.digest, number)
        if first != number:
            self._copies[part] += 1
            if len(self._first_copies) < _NAMED:
                self._first_copies.append(Copy(part.name(first), part.name(number)))
        if part is self._val:
            self._digests[number] = found.digest
        self._outlines[part][number] = found.outline
        if isinstance(part, TextPart):  # here, as a tokenizer is for one thread
            length = part.tokens(number)
            if part.reader().tokenizer is None:
                length = len(part.texts[number])
            if length is not None:
                self._lengths[self._train if self._ends else part, number] += length

    @cached_property
    def _alone(self) -> list[int]:
        """Numbers of the validation samples that are not in training, too."""
        return [n for n, digest in self._digests.items() if digest not in self._known[self._train]]

    @cached_property
    def _nearest(self) -> Iterator[tuple[int, int | None]]:
        """Of these the number, and that of the training sample that is nearly the same."""
        trained, held_out = self._outlines[self._train], self._outlines[self._val]
        numbers = list(trained)
        nearest = shingles.nearest if isinstance(self._train, TextPart) else likeness.nearest
        twins = nearest([held_out[number] for number in self._alone], list(trained.values()))
        for val, at in zip(self._alone, twins, strict=True):
            yield val, numbers[at] if at >= 0 else None

    def _named(self, pairs: list[tuple[int, int]]) -> list[Twins]:
        return [
            Twins(self._train.name(train), self._val.name(val)) for train, val in pairs[:_NAMED]
        ]

    def _told_lengths(self) -> Lengths:
        assert isinstance(self._train, TextPart)
        reader, lengths = self._train.reader(), np.array([*self._lengths.values()])
        limit = reader.longest
        median, most = (int(q) for q in np.percentile(lengths, [50, 95]))
        return Lengths(
            in_tokens=reader.tokenizer is not None,
            median=median,
            most=most,
            longest=int(lengths.max()),
            limit=limit,
            cut=0 if limit is None else int((lengths > limit).sum()),
        )


def _look(sample: tuple[Part, int]) -> _Looked:
    part, number = sample
    try:
        return _Looked(part, number, part.likeness(number), "")
    except picture.Unreadable as error:
        return _Looked(part, number, None, error.reason)


def _spread(count: int) -> range | list[int]:
    if count <= _MOST:
        return range(count)
    return [place * count // _MOST for place in range(_MOST)]
