"""The tree's keys. Escape takes long in tmux, so backspace does the same."""

from textual.binding import Binding


def _key(id_: str, keys: str, action: str, label: str, tooltip: str, show: bool = False) -> Binding:
    return Binding(keys, action, label, show=show, tooltip=tooltip, id=f"module-tree.{id_}")


EDITS = [
    _key(
        "toggle",
        "space",
        "toggle_training",
        "Train/freeze",
        "Train or freeze it with all below it",
        True,
    ),
    _key(
        "scale",
        "equals_sign",
        "edit_scale",
        "lr scale",
        "Type its learning-rate multiplier; a frozen one thaws at it",
        True,
    ),
    _key("halve", "minus", "multiply(0.5)", "Halve lr scale", "Halve its multiplier"),
    _key("double", "plus", "multiply(2.0)", "Double lr scale", "Double its multiplier"),
    _key("tenth", "less_than_sign", "multiply(0.1)", "A tenth", "A tenth of its multiplier"),
    _key("tenfold", "greater_than_sign", "multiply(10.0)", "Tenfold", "Ten times its multiplier"),
    _key(
        "lora",
        "a",
        "toggle_adapters",
        "LoRA",
        "LoRA adapters of rank 8 beside its frozen weights, or away again",
        True,
    ),
    _key("rank", "L", "edit_rank", "LoRA rank", "Type the rank of its LoRA adapters; 0: none"),
    _key("dora", "D", "toggle_dora", "DoRA", "Make its adapters DoRA, or plain LoRA again"),
]
REINITIALISE = _key(
    "reinitialise",
    "i",
    "reinitialise",
    "New weights",
    "Draw its weights anew, once in a run, and train them; or not, after all",
    True,
)
BINDINGS = [
    *EDITS,
    _key("select", "v,V", "select_range", "Select", "Select rows: move to extend", True),
    _key("tag", "t", "tag", "Tag", "Select this module too, or no longer"),
    _key("filter", "slash", "filter", "Filter", "Filter by path, glob, or type:Conv", True),
    _key("next", "n", "next_match(1)", "Next match", "Go to the next match", True),
    _key("previous", "N", "next_match(-1)", "Previous match", "Go to the match before"),
    _key("drop", "escape,backspace", "drop_selection", "Deselect", "Select nothing", True),
    _key(
        "clear", "escape,backspace", "clear_filter", "Clear filter", "Show all modules again", True
    ),
    REINITIALISE,
    _key("expand", "enter", "expand", "Open", "Open or close the module", True),
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
EDIT_ACTIONS = frozenset(binding.action for binding in (*EDITS, REINITIALISE))
"""What the keys ask of the plan."""
