"""The tree's keys. Escape takes long in tmux, so backspace clears a filter too."""

from textual.binding import Binding


def _key(id_: str, keys: str, action: str, label: str, tooltip: str, show: bool = False) -> Binding:
    return Binding(keys, action, label, show=show, tooltip=tooltip, id=f"module-tree.{id_}")


BINDINGS = [
    _key(
        "toggle",
        "space",
        "toggle_training",
        "Train/freeze",
        "Train or freeze it with all below it",
        True,
    ),
    _key("expand", "enter", "expand", "Open", "Open or close the module", True),
    _key("filter", "slash", "filter", "Filter", "Filter by path, glob, or type:Conv", True),
    _key("next", "n", "next_match(1)", "Next match", "Go to the next match", True),
    _key("previous", "N", "next_match(-1)", "Previous match", "Go to the match before"),
    _key(
        "clear", "escape,backspace", "clear_filter", "Clear filter", "Show all modules again", True
    ),
    _key("up", "up,k", "move(-1)", "Up", "Go up a row"),
    _key("down", "down,j", "move(1)", "Down", "Go down a row"),
    _key("left", "left,h", "close_or_parent", "Close", "Close it, or go to its parent"),
    _key("right", "right,l", "open_or_child", "Open", "Open it, or go to its first child"),
    _key("page-up", "pageup", "page(-1)", "Page up", "Go up a page"),
    _key("page-down", "pagedown", "page(1)", "Page down", "Go down a page"),
    _key("first", "home,g", "first", "First", "Go to the model itself"),
    _key("last", "end,G", "last", "Last", "Go to the last row"),
    _key("expand-all", "E", "expand_all", "Open all", "Open every module"),
    _key("collapse-all", "C", "collapse_all", "Close all", "Close all but the model itself"),
]
