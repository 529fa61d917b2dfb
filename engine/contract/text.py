"""Text from outside (file names, class names, messages of libraries) made safe to show."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system commands, such as a window title
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # device control strings
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences
    r"|\x1b[ -/]*[0-~]"
)
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, bidi overrides, lone surrogates, breaks


def plain(text: object, limit: int = 500) -> str:
    """`text` on one line, without terminal control sequences or invisible characters."""
    shown = str(text)
    if not shown.isprintable():  # which few are, and looking at each character takes long
        bare = _ESCAPE_SEQUENCE.sub("", shown)
        seen = (" " if c in "\r\n\t" else c for c in bare)
        shown = "".join(c if unicodedata.category(c) not in _INVISIBLE else "�" for c in seen)
    shown = " ".join(shown.split()) if "  " in shown else shown.strip()
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def quoted(name: object) -> str:
    """`name` in quotation marks, made safe to show."""
    return f'"{plain(name)}"'


def nearest(name: str, valid: Iterable[str], count: int = 1) -> list[str]:
    """The valid names most like `name`, best first; none where nothing is close."""
    return difflib.get_close_matches(name, list(valid), n=count, cutoff=0.5)


def did_you_mean(name: str, valid: Iterable[str], count: int = 1) -> str:
    """The tail of a sentence: `; did you mean "momentum"?`, or nothing."""
    close = nearest(name, valid, count)
    return "; did you mean " + " or ".join(f'"{c}"' for c in close) + "?" if close else ""
