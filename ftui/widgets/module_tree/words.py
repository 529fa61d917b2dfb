"""Counts, shares and multipliers as the short texts of a table."""

from ftui.widgets.module_tree.node import LrScale


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
