"""What a filter's text matches: paths and types, by part of a name, glob or loose letters."""

import fnmatch
import re
from collections.abc import Callable, Sequence

from ftui.widgets.module_tree.node import Node

Search = Callable[[Node], object]

TYPE_PREFIX = "type:"


def find(text: str, nodes: Sequence[Node]) -> list[Node]:
    """The nodes that match every word of `text`, in order; no case is told apart.

    A word matches a part of the path; with any of `*?[` it is a glob of the whole path, where `*`
    crosses dots; after `type:` it is matched with the type instead. A word that no path holds is
    tried as letters in that order with anything between (`l4c2` for `layer4.1.conv2`).
    """
    for word in text.lower().split():
        nodes = _find_word(word, nodes)
    return list(nodes)


def _find_word(word: str, nodes: Sequence[Node]) -> list[Node]:
    if word.startswith(TYPE_PREFIX):
        test = _contains(word.removeprefix(TYPE_PREFIX))
        return [node for node in nodes if test(node.type_name.lower())]
    test = _contains(word)
    return [node for node in nodes if test(node.path.lower())] or _find_letters(word, nodes)


def _contains(word: str) -> Callable[[str], object]:
    if not set("*?[") & set(word):
        return lambda name: word in name
    return re.compile(fnmatch.translate(word)).match


def _find_letters(word: str, nodes: Sequence[Node]) -> list[Node]:
    if set("*?[") & set(word):
        return []
    in_order = re.compile("".join(f"[^{re.escape(c)}]*{re.escape(c)}" for c in word))
    return [node for node in nodes if in_order.match(node.path.lower())]
