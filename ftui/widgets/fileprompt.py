"""A prompt for the path of a file: where to save a text, or what to load."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine.contract.errors import UserError
from engine.contract.paths import expand
from engine.contract.text import plain
from ftui.widgets.prompt import Prompt


class FilePrompt(Prompt):
    """`refuse` shows a sentence where it has room: beside what was typed there is little."""

    DEFAULT_CSS = """
    FilePrompt { padding: 0; }
    FilePrompt > Input { width: 1fr; min-width: 16; }
    """

    def __init__(self, refuse: Callable[[str], None], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._refuse = refuse

    def save(self, name: str, text: str, what: str) -> None:
        """Ask for a path, `name` proposed, and write `text` there; `what` it is, in a word."""
        self.ask("Save to", name, partial(self._save, text, what))

    def load(self, read: Callable[[Path], object]) -> None:
        """Ask for a path, and hand it to `read`; it stays open where that raises `UserError`."""
        self.ask("Load", "", partial(self._load, read))

    def _save(self, text: str, what: str, typed: str) -> None:
        path = expand(typed.strip())
        write = partial(self._write, path, text, what)
        if path.is_file():
            self.confirm(f"{plain(path)} is there already. Replace it?", write)
        elif not write():
            raise UserError("Not saved.")

    def _write(self, path: Path, text: str, what: str) -> bool:
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            self._refuse(f"{plain(path)}: the {what} can't be written there ({error.strerror}).")
            return False
        self.notify(f"Saved to {plain(path)}.", markup=False)
        return True

    def _load(self, read: Callable[[Path], object], typed: str) -> None:
        try:
            read(expand(typed.strip()))
        except UserError as error:
            self._refuse(str(error))
            raise UserError("Not loaded.") from None
