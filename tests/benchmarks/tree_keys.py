"""From a key to the first byte that answers it, on a tree of 20,000 modules in a real terminal.

`python -m tests.benchmarks.tree_keys` prints median and worst for the app's module tree alone, for
the whole app with all that a toggle changes in it, and for Textual's own `Tree` of them. Wanted: 30
ms at worst for a move and for a toggle.
"""

import argparse
import contextlib
import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

import ftui
from engine.contract.edits import Train
from engine.contract.preprocessing import Preprocessing
from engine.contract.tree import ModelInfo, ModuleInfo
from ftui.app import FtuiApp
from ftui.widgets.module_tree import ModulePane, Modules, ModuleTree, Node, OwnPlan
from ftui.widgets.module_tree.draw import UNICODE
from ftui.widgets.module_tree.from_model import rows_of
from ftui.widgets.module_tree.words import count_text, share_text
from tests.ui.scripted import ScriptedInspector

SIZE = (120, 40)
QUIET = 0.25  # seconds without a byte: the answer is complete

KEYS = [  # what is measured, the keys, how often; each answers with a paint
    ("expand all", "EC", 5),
    (None, "E", 1),
    ("move", "j", 30),
    ("move, scrolling", "j", 20),
    ("page down", "\x1b[6~", 10),
    ("toggle a leaf", " ", 20),
    (None, "g", 1),
    ("toggle the root", " ", 10),
    ("close and open the root", "\r", 10),
]


def model() -> ModelInfo:
    """20,000 modules: 20 stages of 50 blocks of 19 leaves, all with a weight and a bias."""
    modules = []
    for stage in range(20):
        modules.append(ModuleInfo(f"stage{stage}", "Sequential"))
        for block in range(50):
            path = f"stage{stage}.{block}"
            modules.append(ModuleInfo(path, "Bottleneck"))
            own = {"weight": 4096, "bias": 64}
            modules += [ModuleInfo(f"{path}.conv{i}", "Conv2d", own) for i in range(19)]
    return ModelInfo("large", modules, [], Preprocessing())


def trained(train: bool, size: int, _fits: bool) -> OwnPlan:
    """What a rule makes of a module's own parameters."""
    return OwnPlan(size) if train else OwnPlan(0, None)


class TableApp(App[None]):
    """The app's tree; a toggle is answered at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pane = ModulePane()
        self.plan: dict[str, OwnPlan] = {}

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.pane.set_model(rows_of(model()), "large")
        self.pane.tree_table.focus()

    @on(ModuleTree.EditRequested)
    def _answer(self, event: ModuleTree.EditRequested) -> None:
        modules = self.pane.tree_table.modules
        train = event.edit == Train(True)
        self.plan = modules.ruled(self.plan, event.paths[0], partial(trained, train))
        self.pane.apply_plan(self.plan)


class WholeApp(FtuiApp):
    """The app on a draft with this model, its module pane zoomed."""

    CSS_PATH = Path(ftui.__file__).with_name("ftui.tcss")

    def __init__(self) -> None:
        super().__init__(Path(tempfile.mkdtemp()) / "runs", inspector=ScriptedInspector())

    def on_mount(self) -> None:
        super().on_mount()
        self.call_after_refresh(self._choose)

    def _choose(self) -> None:
        self.workspace.set_model(model())
        self.main.action_pane(2)
        self.main.action_zoom()


class PlainTree(Tree[Node]):
    """Textual's own, with the same words in its labels."""

    BINDINGS = [  # noqa: RUF012
        Binding("j", "cursor_down"),
        Binding("g", "scroll_home"),
        Binding("space", "toggle_training"),
        Binding("enter", "toggle_node"),
        Binding("E", "expand_all"),
        Binding("C", "collapse_all"),
    ]

    def __init__(self, modules: Modules) -> None:
        super().__init__("large", modules.root)
        self.modules = modules
        self.plan: dict[str, OwnPlan] = {}
        self.by_node = {modules.root: self.root}
        for node in modules.nodes[1:]:
            above = self.by_node[node.parent] if node.parent else self.root
            add = above.add if node.children else above.add_leaf
            self.by_node[node] = add(node.name, node)
        self.root.expand()

    def render_label(self, node: TreeNode[Node], base_style: object, style: object) -> Text:
        data, modules = node.data, self.modules
        assert data is not None
        total, mark = modules.total(data), modules.mark(data)
        share = share_text(modules.trainable(data), total)
        expander = "" if not data.children else "▾ " if node.is_expanded else "▸ "
        numbers = f"{count_text(total):>8}{share:>7}"
        text = f"{expander}{UNICODE.marks[mark]} {data.name:20}{data.type_name:14}{numbers}"
        return Text(text, style=style)  # type: ignore[arg-type]

    def action_toggle_training(self) -> None:
        node = self.cursor_node.data if self.cursor_node else None
        assert node is not None
        train = not self.modules.trainable(node)
        changed = list(self.modules.nodes[node.index : node.end])
        self.plan = self.modules.ruled(self.plan, node.path, partial(trained, train))
        self.modules.apply(self.plan)
        while node.parent:
            node = node.parent
            changed.append(node)
        for one in changed:
            self.by_node[one].refresh()

    def action_expand_all(self) -> None:
        self.root.expand_all()

    def action_collapse_all(self) -> None:
        for child in self.root.children:
            child.collapse_all()

    def action_scroll_home(self) -> None:
        self.cursor_line = 0
        self.scroll_to(y=0, animate=False)


class PlainApp(App[None]):
    def compose(self) -> ComposeResult:
        yield PlainTree(Modules(rows_of(model()), "large"))


KINDS = {
    "module tree": TableApp,
    "the whole app": WholeApp,
    "Textual's Tree": PlainApp,
}


class Terminal:
    """A child in a pseudo-terminal of 120x40."""

    def __init__(self, kind: str) -> None:
        self.fd, slave = pty.openpty()
        columns, rows = SIZE
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        command = [sys.executable, "-m", "tests.benchmarks.tree_keys", "--child", kind]
        env = os.environ | {"TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"}
        self.child = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        self.wait(10.0)
        self.drain()

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read within so many seconds."""
        return bool(select.select([self.fd], [], [], seconds)[0])

    def drain(self) -> int:
        """Read until it is quiet; returns the number of bytes."""
        count = 0
        while self.wait(QUIET):
            count += len(os.read(self.fd, 1 << 16))
        return count

    def press(self, key: str) -> tuple[float, int]:
        """Milliseconds until the first byte of the answer, and its bytes in all."""
        started = time.perf_counter()
        os.write(self.fd, key.encode())
        if not self.wait(10.0):
            raise SystemExit(f"no answer to {key!r}")
        took = 1000 * (time.perf_counter() - started)
        return took, self.drain()

    def close(self) -> None:
        self.child.terminate()
        while self.child.poll() is None:  # a full terminal would keep it from ending
            with contextlib.suppress(OSError):
                self.drain()
        os.close(self.fd)


def measure(kind: str) -> dict[str, tuple[float, float, int]]:
    """Median and worst milliseconds, and the median of bytes, by what was done."""
    terminal, results = Terminal(kind), {}
    for what, keys, times in KEYS:
        answers = []
        for _ in range(times):
            pressed = [terminal.press(key) for key in ([keys] if keys[0] == "\x1b" else keys)]
            answers.append(pressed[0])
        if what:
            took = [ms for ms, _ in answers]
            sizes = statistics.median(count for _, count in answers)
            results[what] = (statistics.median(took), max(took), int(sizes))
    terminal.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    kind = parser.parse_args().child
    if kind:
        KINDS[kind]().run()
        return
    results = {kind: measure(kind) for kind in KINDS}
    table = Table(
        "20,000 modules, 120x40", *KINDS, title="key to first byte: median / worst, bytes"
    )
    for what in next(iter(results.values())):
        cells = (results[kind][what] for kind in KINDS)
        table.add_row(what, *(f"{m:.1f} / {w:.1f} ms, {b:,}" for m, w, b in cells))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
