"""Keys, messages and what stands on the screen."""

from collections.abc import Mapping

import pytest
from textual import on
from textual.app import App, ComposeResult
from textual.widgets import Input

from engine.contract.edits import Edit, Train
from ftui.widgets.module_tree import ModulePane, ModuleRow, ModuleTree, OwnPlan, draw

ROWS = [
    ModuleRow("", "Net", 0),
    ModuleRow("stem", "Conv2d", 9_408),
    ModuleRow("act", "ReLU", 0),
    ModuleRow("layer1", "Sequential", 0),
    ModuleRow("layer1.0", "BasicBlock", 0),
    ModuleRow("layer1.0.conv", "Conv2d", 1_200_000),
    ModuleRow("layer1.0.norm", "BatchNorm2d", 128),
    ModuleRow("layer1.1", "BasicBlock", 500),
    ModuleRow("head", "Linear", 5_130),
]
TRAIN, FREEZE = Train(True), Train(False)
PLAN = {"layer1.0.norm": OwnPlan(128, 0.1), "head": OwnPlan(5_130)}


class TreeApp(App[None]):
    """The pane alone, and what it says to the app."""

    def __init__(self, rows: list[ModuleRow] = ROWS, **options: bool) -> None:
        super().__init__()
        self.pane = ModulePane(**options)
        self.rows = rows
        self.asked: list[tuple[Edit, list[str]]] = []
        self.visited: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        if self.rows:
            self.pane.set_model(self.rows, "net")
            self.pane.apply_plan(PLAN)
        self.tree_table.focus()

    @property
    def tree_table(self) -> ModuleTree:
        return self.pane.tree_table

    @property
    def at(self) -> str | None:
        node = self.tree_table.cursor_node
        return node and node.path

    @on(ModuleTree.EditRequested)
    def _asked(self, event: ModuleTree.EditRequested) -> None:
        self.asked.append((event.edit, event.paths))

    def on_module_tree_cursor_moved(self, event: ModuleTree.CursorMoved) -> None:
        self.visited.append(event.path)


def screen(app: App[None]) -> list[str]:
    """The screen as text, without trailing blanks."""
    lines = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in line).rstrip() for line in lines]


WIDE = """\
   module        type         params  train      lr
▌◐ ▾ net         Net            1.2M    <1%   mixed
 ○ │   stem      Conv2d         9.4K     0%
   │   act       ReLU
 ◐ │ ▾ layer1    Sequential     1.2M    <1%    0.1x
 ◐ │ │ ▾ 0       BasicBlock     1.2M    <1%    0.1x
 ○ │ │ │   conv  Conv2d         1.2M     0%
 ● │ │ │   norm  BatchNorm2d     128   100%    0.1x
 ○ │ │   1       BasicBlock      500     0%
 ● │   head      Linear         5.1K   100%      1x

 trainable 5,258 of 1,215,166 parameters (<1%)"""
WITHOUT_TYPE = """\
   module        params  train      lr
▌◐ ▾ net           1.2M    <1%   mixed
 ○ │   stem        9.4K     0%
   │   act
 ◐ │ ▾ layer1      1.2M    <1%    0.1x
 ◐ │ │ ▾ 0         1.2M    <1%    0.1x
 ○ │ │ │   conv    1.2M     0%
 ● │ │ │   norm     128   100%    0.1x
 ○ │ │   1          500     0%
 ● │   head        5.1K   100%      1x

 trainable 5,258 of 1,215,166 (<1%)"""
WITHOUT_LR = """\
   module       params  train
▌◐ ▾ net          1.2M    <1%
 ○ │  stem        9.4K     0%
   │  act
 ◐ │▾ layer1      1.2M    <1%
 ◐ ││▾ 0          1.2M    <1%
 ○ │││  conv      1.2M     0%
 ● │││  norm       128   100%
 ○ ││  1           500     0%
 ● │  head        5.1K   100%

 trainable 5.3K of 1.2M (<1%)"""


@pytest.mark.parametrize(
    ("width", "expected"), [(100, WIDE), (60, WIDE), (46, WITHOUT_TYPE), (30, WITHOUT_LR)]
)
async def test_columns_go_by_width(width: int, expected: str) -> None:
    app = TreeApp()
    async with app.run_test(size=(width, 12)) as pilot:
        await pilot.press("E")
        assert "\n".join(screen(app)) == expected


async def test_a_long_name_is_shortened_and_a_deep_one_indented_less() -> None:
    deep = ModuleRow("a.b.c.attention_output", "Linear", 64)
    rows = [*(ModuleRow(path, "Block", 0) for path in ("", "a", "a.b", "a.b.c")), deep]
    app = TreeApp(rows)
    async with app.run_test(size=(30, 12)) as pilot:
        await pilot.press("E")
        assert [line[:14].rstrip() for line in screen(app)[1:6]] == [
            "▌○ ▾ net",
            " ○ │▾ a",
            " ○ ││▾ b",
            " ○ │││▾ c",
            " ○ │││  atten…",
        ]


async def test_columns_make_room_for_a_scroll_bar() -> None:
    app = TreeApp()
    async with app.run_test(size=(49, 6)) as pilot:
        await pilot.press("E")
        assert screen(app)[0].rstrip("▁▂▃▄▅▆▇█ ").endswith("  lr")


async def test_the_header_stays_and_the_cursor_is_kept_in_view() -> None:
    app = TreeApp()
    async with app.run_test(size=(60, 6)) as pilot:
        await pilot.press("E", "G")
        lines = screen(app)
        assert lines[0].startswith("   module")
        assert lines[4].startswith("▌● │   head")
        await pilot.press("g")
        assert screen(app)[1].startswith("▌◐ ▾ net")


async def test_keys_walk_the_tree() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        for keys, at in [
            ("down", "stem"),
            ("k", ""),
            ("up", ""),
            ("j j j", "layer1"),
            ("right", "layer1"),
            ("l", "layer1.0"),
            ("left", "layer1"),
            ("h", "layer1"),
            ("j", "head"),
            ("left", ""),
            ("end", "head"),
            ("home", ""),
            ("G g", ""),
            ("pagedown", "head"),
            ("pageup", ""),
            ("l", "stem"),
            ("l", "stem"),
        ]:
            await pilot.press(*keys.split())
            assert app.at == at, keys
        assert app.visited[-1] == "stem"


async def test_enter_opens_and_closes_and_the_cursor_survives_closing() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("G", "k", "enter")
        assert [line[3:].split()[-1] for line in names(app)] == [
            "net",
            "stem",
            "act",
            "layer1",
            "0",
            "1",
            "head",
        ]
        await pilot.press("enter")
        assert len(names(app)) == 5
        await pilot.press("E", "j", "j")
        assert app.at == "layer1.0.conv"
        await pilot.press("C")
        assert app.at == "layer1"


def names(app: TreeApp) -> list[str]:
    """The rows' mark, guides and name."""
    end = draw.MARK_END + app.tree_table._columns.name
    return [line[:end].rstrip() for line in screen(app)[1:-1] if line]


async def test_space_asks_and_changes_nothing() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        before = screen(app)
        await pilot.press("space", "j", "space", "G", "space", "g")
        assert app.asked == [(TRAIN, [""]), (TRAIN, ["stem"]), (FREEZE, ["head"])]
        assert screen(app) == before


async def test_a_module_without_parameters_says_so() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20), notifications=True) as pilot:
        await pilot.press("j", "j", "space")
        assert app.asked == []
        assert [n.message for n in app._notifications] == [
            "act has no parameters to train or freeze."
        ]


async def test_a_new_plan_keeps_cursor_and_open_rows() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("E", "j", "j", "j", "j")
        rows = names(app)
        app.pane.apply_plan({"stem": OwnPlan(9_408, 0.5)})
        await pilot.pause()
        assert app.at == "layer1.0"
        assert [row[2:] for row in names(app)] == [row[2:] for row in rows]
        assert screen(app)[2].split() == ["●", "│", "stem", "Conv2d", "9.4K", "100%", "0.5x"]
        assert screen(app)[9].split() == ["○", "│", "head", "Linear", "5.1K", "0%"]
        assert screen(app)[-1].strip().startswith("trainable 9,408 of 1,215,166")


async def test_only_changed_rows_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)):
        drawn: list[int] = []
        monkeypatch.setattr(app.tree_table, "refresh_line", drawn.append)
        app.tree_table.apply_plan(PLAN)
        assert drawn == []
        app.tree_table.apply_plan(PLAN | {"stem": OwnPlan(1)})
        assert drawn == [2]  # the stem; the model itself reads as before


async def test_pending_is_a_sign_and_a_count_not_a_colour() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.pane.set_pending(["stem", "layer1"])
        await pilot.pause()
        assert screen(app)[2].startswith(" ○…│   stem")
        assert screen(app)[-1].endswith("(<1%), 2 pending")
        app.pane.set_pending([])
        await pilot.pause()
        assert screen(app)[2].startswith(" ○ │   stem")


async def test_a_filter_is_typed_live_kept_and_cleared() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("slash", *"layer*")
        assert "filter: layer* — 5 of 9 modules" in screen(app)[-3]
        await pilot.press(*" type:conv")
        assert "— 1 of 9 modules" in screen(app)[-3]
        assert [n.path for n in app.tree_table._rows.rows] == [
            *("", "layer1", "layer1.0", "layer1.0.conv")
        ]
        assert app.at == "layer1.0.conv"
        await pilot.press("enter")
        assert app.focused is app.tree_table
        assert "filter: layer* type:conv — 1 of 9 modules" in screen(app)[-2]
        await pilot.press("escape")
        assert app.tree_table.filter_text == ""
        assert app.at == "layer1.0.conv"
        assert not any("filter:" in line for line in screen(app))


async def test_escape_while_typing_clears_the_filter() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("slash", *"conv", "escape")
        assert app.focused is app.tree_table
        assert app.tree_table.filter_text == ""
        assert not app.query_one(Input).display


async def test_next_match_goes_round_and_opens_what_hides_it() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("n")  # without a filter it does nothing
        await pilot.press("slash", *"type:block", "enter", "g")
        visited = []
        for key in ("n", "n", "n", "N", "N"):
            await pilot.press(key)
            visited.append(app.at)
        assert visited == ["layer1.0", "layer1.1", "layer1.0", "layer1.1", "layer1.0"]
        await pilot.press("g", "C", "n")
        assert app.at == "layer1.0"


async def test_a_filter_that_nothing_matches_says_so() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("slash", *"zzz", "enter", "j", "space", "enter", "n", "G", "E")
        assert screen(app)[0].strip() == "No module matches the filter."
        assert app.asked == []
        await pilot.press("backspace")
        assert app.at == ""


async def test_without_a_model_it_says_so_and_takes_every_key() -> None:
    app = TreeApp(rows=[])
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("j", "space", "enter", "E", "G", "slash", "l", "h", "pagedown")
        assert screen(app)[0].strip() == "No model yet: choose one to see its modules."
        assert app.asked == []
        assert app.focused is app.tree_table


async def test_select_opens_the_way() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)):
        app.tree_table.select("layer1.0.norm")
        assert app.at == "layer1.0.norm"
        with pytest.raises(KeyError):
            app.tree_table.select("nowhere")


async def test_the_mouse_moves_toggles_and_opens() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        for offset, at, asked in [
            ((9, 2), "stem", []),
            ((1, 2), "stem", [(TRAIN, ["stem"])]),
            ((5, 4), "layer1", [(TRAIN, ["stem"])]),
            ((3, 0), "layer1", [(TRAIN, ["stem"])]),
        ]:
            await pilot.click(app.tree_table, offset=offset)
            assert (app.at, app.asked) == (at, asked)
        assert len(app.tree_table._rows.rows) == 7


async def test_ascii_only_writes_ascii_only() -> None:
    app = TreeApp(ascii_only=True)
    async with app.run_test(size=(60, 20)) as pilot:
        app.pane.set_pending(["stem"])
        await pilot.press("E", "slash", *"*", "enter")
        text = "".join(screen(app))
        assert text.isascii()
        assert ">o - net" in text
        assert " .?|   stem" in text


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark"])
async def test_rows_carry_the_theme_and_follow_a_new_one(theme: str) -> None:
    app = TreeApp()
    async with app.run_test(size=(60, 20)) as pilot:
        first = app.tree_table.render_line(2)
        app.theme = theme if theme != "textual-dark" else "nord"
        await pilot.pause()
        strip = app.tree_table.render_line(2)
        assert all(s.style and s.style.bgcolor for s in strip)
        assert strip.text == first.text
        assert strip != first


async def test_markup_in_names_is_text() -> None:
    app = TreeApp([ModuleRow("", "[red]X[/]", 1), ModuleRow("[b]", "[/b]", 2)])
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("slash", *"type:/b")
        lines = screen(app)
        assert "[red]X[/]" in "".join(lines)
        assert any("filter: type:/b" in line for line in lines)


def test_every_key_has_a_name_and_a_tooltip() -> None:
    bindings: Mapping[str, list] = ModuleTree._merged_bindings.key_to_bindings
    own = [b for key in bindings for b in bindings[key] if b.id and b.id.startswith("module-tree")]
    assert len(own) > 20
    assert all(b.tooltip and b.description for b in own)
