"""The plot's keys."""

from textual.binding import Binding


def _key(id_: str, keys: str, action: str, label: str, tooltip: str, show: bool = False) -> Binding:
    return Binding(keys, action, label, show=show, tooltip=tooltip, id=f"plot.{id_}")


BINDINGS = [
    _key("log", "l", "toggle_log", "Log", "Logarithmic or linear axis of values", True),
    _key("smoother", "right_square_bracket", "smooth(1)", "Smooth", "Smooth more", True),
    _key("rougher", "left_square_bracket", "smooth(-1)", "Rougher", "Smooth less"),
    _key("in", "plus,equals_sign", "zoom(0.5)", "Zoom in", "Zoom in on the cursor", True),
    _key("out", "minus", "zoom(2.0)", "Zoom out", "Zoom out"),
    _key("reset", "0", "reset", "Show all", "Show all steps and follow the newest"),
    _key("earlier", "less_than_sign,comma", "pan(-1)", "Earlier", "Pan to earlier steps"),
    _key("later", "greater_than_sign,full_stop", "pan(1)", "Later", "Pan to later steps"),
    _key("left", "left", "move(-1)", "Left", "Cursor to the left"),
    _key("right", "right", "move(1)", "Right", "Cursor to the right"),
    _key("far-left", "shift+left", "move(-10)", "Far left", "Cursor ten columns to the left"),
    _key("far-right", "shift+right", "move(10)", "Far right", "Cursor ten columns to the right"),
    _key("first", "home", "first", "First step", "Cursor to the first step"),
    _key("last", "end", "last", "Last step", "Cursor to the newest step"),
    _key("cursor", "c", "toggle_cursor", "Cursor", "Cursor on or off", True),
]
