"""A short text that changes often: a widget of its own, drawn again only when it changed."""

from textual.content import Content
from textual.widget import Widget


class Figure(Widget):
    """One line, as wide as its text."""

    DEFAULT_CSS = "Figure { width: auto; height: 1; }"
    ALLOW_SELECT = False

    def __init__(self, content: Content | str = "", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._content = _content(content)

    @property
    def text(self) -> str:
        return self._content.plain

    def show(self, content: Content | str) -> None:
        """Nothing from outside is read as markup."""
        new = _content(content)
        if not new.is_same(self._content):
            resized = new.cell_length != self._content.cell_length
            self._content = new
            self.refresh(layout=resized)

    def render(self) -> Content:
        return self._content


def _content(content: Content | str) -> Content:
    return Content(content) if isinstance(content, str) else content
