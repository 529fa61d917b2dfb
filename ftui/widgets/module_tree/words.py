"""Counts, shares and multipliers as the short texts of a table."""

from collections.abc import Collection

from ftui.widgets.module_tree.node import NO_ADAPTER, Adapter, LrScale, Modules, Node


def count_text(count: int) -> str:
    """A count in at most six cells: `950`, `9.4K`, `11.7M`, `1.2B`."""
    if count < 1000:
        return str(count)
    size = count / 1000
    for unit in "KMB":
        if size < 999.95:  # what would be written as 1000.0 goes to the next unit
            return f"{size:.1f}{unit}"
        size /= 1000
    return f"{size:.1f}T"


def share_text(part: int, whole: int) -> str:
    """A floored percentage: `100%` says all of it, `0%` none, `<1%` a little."""
    if not whole:
        return ""
    percent = 100 * part // whole
    return "<1%" if part and not percent else f"{percent}%"


def lr_text(scale: LrScale) -> str:
    """A learning-rate multiplier: `1x`, `0.1x`, `mixed`, or nothing."""
    if scale is None:
        return ""
    return scale if isinstance(scale, str) else f"{scale:.3g}x"


def note_text(node: Node, modules: Modules) -> str:
    """What else a plan does to a module: `new`, `lora 8`; in parentheses what to a part of it."""
    if not modules.has_extras:
        return ""
    whole, partly = list[str](), list[str]()
    new, found = modules.new(node), modules.adapters(node)
    if True in new:
        (whole if len(new) == 1 else partly).append("new")
    adapters = sorted(found - {NO_ADAPTER})
    if adapters and len(found) == 1:
        whole.append(f"{_kind(adapters[0])} {adapters[0].rank}")
    else:
        partly += sorted(set(map(_kind, adapters)))
    return " ".join([*whole, *([f"({' '.join(partly)})"] if partly else [])])


def _kind(adapter: Adapter) -> str:
    return "dora" if adapter.dora else "lora"


def called(nodes: Collection[Node]) -> str:
    """A module by its name, several by their number."""
    return f"{len(nodes)} modules" if len(nodes) > 1 else next(iter(nodes)).name


def totals_text(trainable: int, total: int, width: int) -> str:
    """How much of a model trains, in the longest wording that fits `width` cells."""
    share = share_text(trainable, total) or "0%"
    wordings = (
        f"trainable {trainable:,} of {total:,} parameters ({share})",
        f"trainable {trainable:,} of {total:,} ({share})",
        f"trainable {count_text(trainable)} of {count_text(total)} ({share})",
        f"{share} trainable",
    )
    return next((text for text in wordings if len(text) <= width), wordings[-1][:width])
