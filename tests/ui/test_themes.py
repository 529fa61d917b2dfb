"""Themes: ours are complete and legible, a broken one of the user's is named."""

from pathlib import Path

import pytest
from textual.app import App
from textual.color import Color

from engine.contract.errors import UserError
from ftui import themes

INKS = ("primary", "secondary", "accent", "warning", "error", "success", "foreground")


def test_ours_are_a_dark_a_light_a_high_contrast_and_a_16_colour_one() -> None:
    ours = {theme.name: theme for theme in themes.load_themes(pytest.fail)}
    assert {"ftui-dark", "ftui-light", "ftui-contrast", "ftui-ansi"} <= ours.keys()
    assert themes.DEFAULT in ours
    assert not ours["ftui-light"].dark
    assert ours["ftui-ansi"].ansi


@pytest.mark.parametrize(("name", "ratio"), [("dark", 4.5), ("light", 4.5), ("contrast", 10)])
def test_every_text_colour_can_be_read_on_its_ground(name: str, ratio: float) -> None:
    theme = themes.load(themes.own_folder() / f"ftui-{name}.toml")
    assert theme.background
    ground = Color.parse(theme.background)
    inks = {part: getattr(theme, part) for part in INKS}
    inks["muted"] = theme.variables["foreground-muted"]
    for part, ink in inks.items():
        assert _contrast(Color.parse(ink), ground) >= ratio, part


@pytest.mark.parametrize("name", ["ftui-dark", "ftui-light", "ftui-contrast", "ftui-ansi"])
async def test_each_draws(name: str) -> None:
    app: App[None] = App()
    app.register_theme(themes.load(themes.own_folder() / f"{name}.toml"))
    app.theme = name
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.current_theme.name == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[colors", "not a theme"),
        ('[colors]\nprimary = "no colour"', "colors.primary"),
        ('[colors]\nprimary = "red"\nprimry = "red"', "primry"),
        ("dark = true", "colors"),
    ],
)
def test_a_broken_theme_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"mine\.toml") as caught:
        themes.load(file)
    assert said in str(caught.value)


def test_the_users_own_come_too_and_a_broken_one_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text('[colors]\nprimary = "hotpink"')
    (tmp_path / "torn.toml").write_text("[colors")
    monkeypatch.setattr(themes, "user_folder", lambda: tmp_path)
    told: list[str] = []
    names = {theme.name for theme in themes.load_themes(told.append)}
    assert {"mine", themes.DEFAULT} <= names
    assert "torn" not in names
    assert len(told) == 1
    assert "torn.toml" in told[0]


def _contrast(a: Color, b: Color) -> float:
    """Contrast ratio of WCAG 2, 1 to 21."""
    lighter, darker = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color.normalized]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
