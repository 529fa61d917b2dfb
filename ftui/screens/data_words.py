"""What is said of a data set: its classes in columns, all else in sentences."""

from collections.abc import Iterable, Sequence

from textual.content import Content

from engine.contract.config import Config
from engine.contract.events import FileSkipped
from engine.contract.inspection import Lengths, Overview, Scan, Twins
from engine.contract.tasks import TASKS
from engine.contract.text import plain
from ftui.bars import bar_text
from ftui.format import count, measured, percent
from ftui.widgets.lines import Line
from ftui.widgets.picture import colour_of

_COUNT = 8
_NAMED = 20
_EVEN, _UNBALANCED = 1.5, 5
"""Up to how many times as many samples, or pixels, the largest class has as the smallest where
classes count as balanced, and from how many on they don't at all."""
_SHARES = 8
Sentence = tuple[str, str]
"""Words, and the style that they have."""


def class_lines(overview: Overview, room: int, ascii_only: bool, masks: bool) -> list[Line]:
    """All samples, then a line a class; bars are of the training counts."""
    names = ["all", *overview.classes]
    counts = [(overview.train, overview.val)]
    counts += list(zip(overview.train_counts, overview.val_counts, strict=True))
    most = max(overview.train_counts, default=1)
    width = name_width(overview, room)
    bar = max(0, room - width - 2 * _COUNT - 3)
    lines: list[Line] = []
    for place, (name, (train, val)) in enumerate(zip(names, counts, strict=False), start=-1):
        full, empty = bar_text(train / max(1, most), bar, ascii_only)
        colour = colour_of(place) if masks and place >= 0 else None
        swatch = ("■ ", f"rgb({','.join(map(str, colour))})") if colour else ("  ", "")
        figures = f"{train:>{_COUNT},}{val:>{_COUNT},} "
        drawn = [(full, ".accent"), (empty, ".muted")] if place >= 0 else []
        lines.append(Content.assemble(swatch, plain(name, width).ljust(width), figures, *drawn))
    return lines


def head_line(overview: Overview, room: int) -> str:
    """What the columns are called."""
    return f"  {'':{name_width(overview, room)}}{'train':>{_COUNT}}{'val':>{_COUNT}}"


def name_width(overview: Overview, room: int) -> int:
    """Cells for the names of classes."""
    return max(3, min(max(map(len, ["all", *overview.classes])), room - 2 * _COUNT - 3))


def sentences(config: Config, overview: Overview, scan: Scan | None) -> list[Sentence]:
    """What it is, how it was split, what repeats and what can't be used; the worst stands out."""
    words = TASKS[config.task]
    noun = "document" if config.task == "causal-lm" else words.sample
    found = [(_split(config, overview, noun), "")]
    if (blocks := overview.blocks) is not None:
        cut = f"Blocks of {blocks.length:,} tokens: {blocks.train:,} to train on"
        found.append((f"{cut} and {blocks.val:,} to validate on.", ""))
    found += [(remark, ".warn") for remark in overview.remarks]
    if balance := _balance(overview, noun):
        found.append((balance, ""))
    if (baseline := overview.baseline) is not None:
        figure = words.figures[baseline.figure]
        value = measured(figure, baseline.value)
        found.append((f"The baseline, {baseline.how}: {figure.label} {value}.", ""))
    if scan is not None:
        found += _scanned(scan, noun, several=overview.ends is None or overview.train > 1)
    if overview.skipped:
        found.append((f"Can't be used: {count(overview.skipped, 'file')}.", ".warn"))
        found += _files(overview.first_skipped, overview.skipped)
    return found


def tokens_at_most(overview: Overview, scan: Scan) -> int | None:
    """That a text, or a block, gives the model; None where they were not all counted."""
    if overview.blocks is not None:
        return overview.blocks.length
    lengths = scan.lengths
    if lengths is None or lengths.limit is None or scan.looked < scan.total:
        return None
    return min(lengths.longest, lengths.limit) if lengths.in_tokens else None


def _split(config: Config, overview: Overview, noun: str) -> str:
    if (ends := overview.ends) is not None:
        unit = "tokens" if ends.in_tokens else "characters"
        share = f"{ends.held_out:,} of {ends.total:,} {unit}"
        one, several = f"its last {share} validate", f"the end of each validates, {share} in all"
        held_out = one if overview.train == 1 else several
        return f"{count(overview.train, noun)}: {held_out} (data.val_fraction)."
    how = "as the data has it"
    if overview.held_out:
        data = config.data
        how = f"held out by seed {data.split_seed} (data.split_seed; {data.val_fraction:.0%})"
    train = count(overview.train, noun)
    return f"{train} to train on and {overview.val:,} to validate on, {how}."


def _balance(overview: Overview, noun: str) -> str:
    if not overview.classes:
        return ""
    if overview.pixels:
        return _shares(overview)
    counts = overview.train_counts
    most, least, word = max(counts), min(counts), _evenness(counts)
    if least == most:
        return f"{word}: each class has {count(most, noun)} to train on."
    if word != "Unbalanced":
        return f"{word}: classes have {least:,} to {most:,} {noun}s to train on."
    largest, smallest = (overview.classes[counts.index(n)] for n in (most, least))
    return (
        f'Unbalanced: "{plain(largest, 40)}" has {count(most, noun)} to train on, '
        f'"{plain(smallest, 40)}" {least:,} (regularisation.class_weights, sampling).'
    )


def _shares(overview: Overview) -> str:
    """Of the pixels, not of pictures: nearly each may show a class that is small in all."""
    order = sorted(zip(overview.pixels, overview.classes, strict=True), key=lambda x: -x[0])
    total = sum(overview.pixels)
    named = [f'"{plain(name, 40)}" has {percent(n / total)}' for n, name in order[:_SHARES]]
    more = f" and {len(order) - _SHARES:,} classes less" if len(order) > _SHARES else ""
    word = _evenness(overview.pixels)
    return f"{word}: of the pixels to train on {', '.join(named)}{more}" + (
        "." if word == "Balanced" else " (regularisation.class_weights)."
    )


def _evenness(counts: Sequence[int]) -> str:
    most, least = max(counts), min(counts)
    if most <= _EVEN * least:
        return "Balanced"
    return "Uneven" if most < _UNBALANCED * least else "Unbalanced"


def _scanned(scan: Scan, noun: str, several: bool) -> list[Sentence]:
    """`several`: there is more than one, to be compared."""
    found: list[Sentence] = []
    if scan.looked < scan.wanted:
        found.append((f"Looked at {scan.looked:,} of {scan.wanted:,} {noun}s ...", ".muted"))
    elif not scan.done:
        progress = f"{scan.compared:,} of {scan.to_compare:,}"
        found.append((f"Compared {progress} with those to train on ...", ".muted"))
    elif scan.wanted < scan.total:
        found.append((f"Looked at {scan.wanted:,} of {scan.total:,} {noun}s.", ".muted"))
    if scan.same:
        found.append((f"In both parts: {count(scan.same, noun)}.", ".bad"))
        found += _twins(scan.first_same, scan.same)
    if scan.near:
        found.append((f"Nearly the same in both: {count(scan.near, noun)}.", ".warn"))
        found += _twins(scan.first_near, scan.near)
    if several and scan.done and not scan.same and not scan.near:
        found.append((f"No {noun} is in both parts.", ".good"))
    if scan.train_copies or scan.val_copies:
        within = f"{scan.train_copies:,} in training, {scan.val_copies:,} in validation"
        found.append((f"Copies within a part: {within}.", ""))
        named = [f"{copy.again} = {copy.first}" for copy in scan.first_copies]
        found += _listed(named, scan.train_copies + scan.val_copies)
    if scan.broken:
        found.append((f"Broken inside: {count(scan.broken, 'file')}.", ".bad"))
        found += _files(scan.first_broken, scan.broken)
    if several and scan.lengths is not None:
        found.append((_lengths(scan.lengths), ".warn" if scan.lengths.cut else ""))
    return found


def _lengths(lengths: Lengths) -> str:
    unit = "tokens" if lengths.in_tokens else "characters"
    told = (
        f"Lengths in {unit}: the median is {lengths.median:,}, 95 % have up to {lengths.most:,}, "
        f"the longest has {lengths.longest:,}."
    )
    if lengths.limit is None or not lengths.in_tokens:
        return told
    return f"{told} {lengths.cut:,} are cut to {lengths.limit:,} (text.max_length)."


def _twins(pairs: Sequence[Twins], total: int) -> Iterable[Sentence]:
    return _listed([f"{twins.val} = {twins.train}" for twins in pairs], total)


def _files(files: Sequence[FileSkipped], total: int) -> Iterable[Sentence]:
    return _listed([f"{plain(file.path, 200)}: {plain(file.reason)}" for file in files], total)


def _listed(items: Sequence[str], total: int) -> Iterable[Sentence]:
    shown = [(f"  {item}", ".muted") for item in items[:_NAMED]]
    more = total - len(shown)
    return [*shown, *([(f"  and {more:,} more", ".muted")] if more else [])]
