"""The tree's component classes and their looks; never the only sign of anything."""

from ftui.widgets.module_tree.node import Mark

PREFIX = "module-tree--"
PARTS = (
    *("header", "bar", "guide", "expander", "type", "note", "match", "pending"),
    *("selected", "cursor", "empty"),
    *(mark.value for mark in Mark),
)

CSS = """
ModuleTree {
    width: 1fr; height: 1fr;
    overflow-x: hidden; overflow-y: auto;
    scrollbar-size-vertical: 1; scrollbar-gutter: stable;
    background: $surface; color: $foreground;
    & > .module-tree--header { color: $foreground-muted; text-style: bold; }
    & > .module-tree--bar { color: $primary; text-style: bold; }
    & > .module-tree--guide { color: $foreground 20%; }
    & > .module-tree--expander, & > .module-tree--type, & > .module-tree--empty {
        color: $foreground-muted;
    }
    & > .module-tree--note { color: $text-accent; }
    & > .module-tree--none { color: $foreground-muted; }
    & > .module-tree--frozen { color: $foreground 85%; }
    & > .module-tree--mixed { color: $text-warning; }
    & > .module-tree--trainable { color: $text-success; text-style: bold; }
    & > .module-tree--pending { text-style: italic; }
    & > .module-tree--match { text-style: underline; }
    & > .module-tree--selected { background: $primary 20%; }
    & > .module-tree--cursor { background: $block-cursor-blurred-background; }
    &:focus > .module-tree--cursor {
        color: $block-cursor-foreground;
        background: $block-cursor-background;
    }
}
ModuleTree:ansi {
    background: ansi_default; color: ansi_default;
    & > .module-tree--header { color: ansi_default; }
    & > .module-tree--guide, & > .module-tree--expander, & > .module-tree--type,
    & > .module-tree--none, & > .module-tree--empty {
        color: ansi_default; text-style: dim;
    }
    & > .module-tree--frozen { color: ansi_default; }
    & > .module-tree--mixed { color: ansi_yellow; }
    & > .module-tree--trainable { color: ansi_green; }
    & > .module-tree--note { color: ansi_cyan; }
    & > .module-tree--selected { background: ansi_default; text-style: bold; }
    & > .module-tree--cursor { text-style: bold; }
    &:focus > .module-tree--cursor {
        color: ansi_default; background: ansi_default; text-style: reverse;
    }
}
"""
