"""`images/` and `masks/`, matched by name: listed, checked and split."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.contract.baseline import Baseline
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import DataIndexed, FileSkipped
from engine.contract.paths import expand
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import plain, quoted
from engine.data import joint, masks, picture
from engine.data.masks import IGNORED, Coding
from engine.data.samples import digest_of
from engine.data.split import VAL_NAMES, split

_THREADS = 8
_BATCH = 500
_MOST_CLASSES = 1000
_NAMED = 20

Tell = Callable[[str], None]


class MaskedPicture(NamedTuple):
    """A picture and the mask that says what is where in it."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class Counts:
    """Of some pictures, what each class has."""

    pixels: list[int]
    pictures: list[int]
    """That show it."""


@dataclass(frozen=True)
class MaskIndex:
    """A data set: the same folder and the same config give the same lists, in the same order."""

    coding: Coding
    train: list[MaskedPicture]
    val: list[MaskedPicture]
    train_counts: Counts
    val_counts: Counts
    evaluated: list[int]
    """Pixels of each class in the validation masks as an evaluation sees them; none where that is
    not known."""
    skipped: list[FileSkipped]
    remarks: list[str]
    """What the user should know, in sentences."""
    held_out: bool = False
    """As of `engine.data.samples.DataIndex`."""

    @property
    def classes(self) -> list[str]:
        return self.coding.classes

    def name_of(self, number: int) -> str:
        return plain(self.val[number].image, 4096)

    @property
    def digest(self) -> str:
        """Of the training pictures in their order: an epoch can go on where it is the same."""
        return digest_of(f"{image}\0{mask}" for image, mask in self.train)

    def told(self) -> DataIndexed:
        return DataIndexed(
            classes=self.classes,
            train_counts=self.train_counts.pictures,
            val_counts=self.val_counts.pictures,
            baseline=self._baseline() if self.evaluated else None,
        )

    def _baseline(self) -> Baseline:
        """Of the pixels that are evaluated: of pictures that aren't square, their middles."""
        train, val = self.train_counts.pixels, self.evaluated
        commonest = train.index(max(train))
        there = sum(n > 0 or place == commonest for place, n in enumerate(val))
        share = val[commonest] / max(1, sum(val))
        return Baseline("miou", share / there, f"always saying '{self.classes[commonest]}'")


def index_masks(config: Config, tell: Tell, pre: Preprocessing | None = None) -> MaskIndex:
    """List the pictures and masks of `data.path`, read every mask, and split them where needed.

    `pre` is what an evaluation makes of a picture; None where there is no saying.

    The folder has images/ and masks/, each perhaps with train/ and val/ in it, or train/ and val/
    with those two in each. Files that can't be read are in `skipped`.

    Raises `UserError` where pictures and masks don't belong together, or masks hold what is no
    class.
    """
    root = expand(config.data.path)
    folders = _folders(root)
    tell(f"listing the pictures and masks of {plain(root)}")
    parts = [_matched(images, masks_) for images, masks_ in folders]
    ignore_index = config.segmentation.ignore_index
    named = masks.class_file(root, ignore_index)
    skipped: list[FileSkipped] = []
    looked = [_look_at_all(pairs, named, skipped, tell) for pairs in parts]
    seen = [found for part in looked for found in part]
    if not seen:
        why = f", the first because it {skipped[0].reason}" if skipped else ""
        raise UserError(f"data.path: {quoted(root)} has no picture with a usable mask{why}.")
    coding = named or masks.numbered(_values_of(seen), ignore_index)
    _check(seen, coding, ignore_index)
    train, val = looked if len(looked) == 2 else _split(looked[0], folders[0][0], config)
    if not train or not val:
        raise UserError(
            f"data.path: {quoted(root)} leaves {len(train)} pictures to train and {len(val)} to "
            "validate on; add more."
        )
    index = MaskIndex(
        coding,
        [found.pair for found in train],
        [found.pair for found in val],
        _counts(train, coding),
        _counts(val, coding),
        _evaluated(val, coding, pre) if pre else [],
        skipped,
        _gap(seen, coding, ignore_index) if named is None else [],
        held_out=len(looked) == 1,
    )
    if not any(index.train_counts.pixels) or not any(index.val_counts.pixels):
        raise UserError(f"data.path: all pixels of the masks are {ignore_index}, which is ignored.")
    return index


class _Looked(NamedTuple):
    """A pair, and what its mask holds."""

    pair: MaskedPicture
    image_size: tuple[int, int]
    mask_size: tuple[int, int]
    values: Mapping[int, int]
    """Value to the number of its pixels."""
    are_colours: bool


def _folders(root: Path) -> list[tuple[Path, Path]]:
    """Folders of pictures and of their masks: one pair to be split, or one to train and one to
    validate on."""
    if not root.is_dir():
        raise UserError(
            f"data.path: {quoted(root)} is no folder; give the one that holds images/ and masks/."
        )
    images = root / "images"
    if images.is_dir():
        masks_ = root / "masks"
        parts = _parts(images)
        found = [(images / part, masks_ / part) for part in parts] or [(images, masks_)]
    else:
        parts = [part for part in _parts(root) if (root / part / "images").is_dir()]
        found = [(root / part / "images", root / part / "masks") for part in parts]
    if not found or len(parts) == 1:
        raise UserError(
            f"data.path: {quoted(root)} holds no images/ folder; put the pictures into images/ "
            "and their masks, of the same names, into masks/ (each with train/ and val/, or not)."
        )
    for pictures, masks_ in found:
        if not masks_.is_dir():
            raise UserError(
                f"data.path: there are pictures in {quoted(pictures)} but no folder "
                f"{quoted(masks_)}; put their masks there, of the same names."
            )
    return found


def _parts(folder: Path) -> list[str]:
    """train and val, as far as they are there, if either is."""
    return [name for name in ("train", *VAL_NAMES) if (folder / name).is_dir()][:2]


def _matched(images: Path, masks_: Path) -> list[MaskedPicture]:
    of_images, of_masks = _by_stem(images), _by_stem(masks_)
    for some, others, kind, missing in (
        (of_images, of_masks, "picture", "mask"),
        (of_masks, of_images, "mask", "picture"),
    ):
        alone = [path for stem, path in some.items() if stem not in others]
        if alone:
            more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
            raise UserError(
                f"data.path: {quoted(images)} has {len(of_images)} pictures and {quoted(masks_)} "
                f"{len(of_masks)} masks: the {kind} {quoted(alone[0].name)}{more} has no "
                f"{missing} of the same name; add or remove."
            )
    return [MaskedPicture(path, of_masks[stem]) for stem, path in of_images.items()]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Path below the folder, without the suffix, to the file; in the order of these."""
    found: dict[str, Path] = {}
    for path in sorted(_files(folder), key=str):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            first, second = quoted(found[stem].name), quoted(path.name)
            raise UserError(
                f"data.path: {quoted(folder)} has both {first} and {second}; names without their "
                "suffix match pictures to masks, so keep one."
            )
        found[stem] = path
    return found


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        if not any(part.startswith((".", "__")) for part in Path(place).relative_to(folder).parts):
            for name in names:
                if not name.startswith(".") and Path(name).suffix.lower() in picture.SUFFIXES:
                    yield Path(place, name)


def _look_at_all(
    pairs: Sequence[MaskedPicture], named: Coding | None, skipped: list[FileSkipped], tell: Tell
) -> list[_Looked]:
    """What can be read; the rest is added to `skipped`."""
    found: list[_Looked] = []
    todo, done = iter(pairs), 0
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(islice(todo, _BATCH)):
            for looked in pool.map(lambda pair: _look(pair, named), batch):
                if isinstance(looked, _Looked):
                    found.append(looked)
                else:
                    skipped.append(looked)
            done += len(batch)
            if done < len(pairs):
                tell(f"read {done:,} of {len(pairs):,} masks")
    return found


def _look(pair: MaskedPicture, named: Coding | None) -> _Looked | FileSkipped:
    path = pair.image
    try:
        image_size = picture.upright_size(path)
        path = pair.mask
        array, are_colours = masks.read(path, named)
    except picture.Unreadable as error:
        return FileSkipped(path=plain(path, limit=4096), reason=error.reason)
    values, counts = np.unique(array, return_counts=True)
    held = dict(zip(values.tolist(), counts.tolist(), strict=True))
    height, width = array.shape
    return _Looked(pair, image_size, (width, height), held, are_colours)


def _values_of(seen: Sequence[_Looked]) -> Counter[int]:
    total: Counter[int] = Counter()
    for found in seen:
        total.update(found.values)
    return total


def _check(seen: Sequence[_Looked], coding: Coding, ignore_index: int) -> None:
    """Raises `UserError` on the first mask that does not fit its picture or the classes."""
    odd = [found for found in seen if found.image_size != found.mask_size]
    if odd:
        first, more = odd[0], f" (and {len(odd) - 1} more masks)" if len(odd) > 1 else ""
        raise UserError(
            f"data.path: the mask {quoted(first.pair.mask)} has {_size(first.mask_size)} pixels "
            f"and its picture {_size(first.image_size)}{more}; a mask takes the size of its "
            "picture."
        )
    for found in seen:
        known = coding.meaning(found.are_colours)
        for value in found.values:
            if value not in known:
                raise UserError(
                    f"data.path: the mask {quoted(found.pair.mask)} does not fit: "
                    f"{coding.unknown(value, found.are_colours)}."
                )
    if len(coding.classes) < 2:
        alone = "".join(coding.classes) or "nothing"
        raise UserError(
            f"data.path: the masks hold {alone} alone beside {ignore_index}, which "
            "segmentation.ignore_index leaves out; set it to -1 where that is a class."
        )
    if len(coding.classes) > _MOST_CLASSES:
        raise UserError(
            f"data.path: the masks hold {len(coding.classes):,} numbers, too many for classes; "
            "where they count objects, give all of a class the same number."
        )


def _gap(seen: Sequence[_Looked], coding: Coding, ignore_index: int) -> list[str]:
    """A sentence where numbers are left out: what comes after them is perhaps no class."""
    values = sorted(set(coding.numbers) - {ignore_index})
    after = next((b for a, b in pairwise(values) if b > a + 1), None)
    if after is None:
        return []
    holds = next(found.pair.mask for found in seen if after in found.values)
    some = ", ".join(map(str, values[:_NAMED])) + (", ..." if len(values) > _NAMED else "")
    return [
        f"The numbers in the masks have a gap ({some}), and {after}, as in {quoted(holds)}, is "
        "taken for a class: name the classes in classes.csv, or set segmentation.ignore_index to "
        f"{after} if it is none."
    ]


def _split(
    looked: Sequence[_Looked], images: Path, config: Config
) -> tuple[list[_Looked], list[_Looked]]:
    by_name = {found.pair.image.relative_to(images).as_posix(): found for found in looked}
    kept, held_out = split(by_name, config.data.val_fraction, config.data.split_seed)
    return [by_name[name] for name in kept], [by_name[name] for name in held_out]


def _counts(part: Sequence[_Looked], coding: Coding) -> Counts:
    pixels, pictures = [0] * len(coding.classes), [0] * len(coding.classes)
    for found in part:
        known = coding.meaning(found.are_colours)
        shown = {known[value] for value in found.values} - {IGNORED}
        for place in shown:
            pictures[place] += 1
        for value, count in found.values.items():
            if known[value] != IGNORED:
                pixels[known[value]] += count
    return Counts(pixels, pictures)


def _evaluated(part: Sequence[_Looked], coding: Coding, pre: Preprocessing) -> list[int]:
    """Pixels of each class, read anew: what the values mean was not known before all were seen."""

    def counts(found: _Looked) -> NDArray[np.int64]:
        seen = np.asarray(joint.eval_mask(masks.decoded(found.pair.mask, coding), pre))
        return np.bincount(seen[seen != IGNORED], minlength=len(coding.classes))

    with ThreadPoolExecutor(_THREADS) as pool:
        return np.sum([*pool.map(counts, part)], axis=0).tolist()  # type: ignore[no-any-return]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
