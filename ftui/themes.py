"""Themes, one TOML file each: ours, and the user's own beside them.

A theme file holds `dark`, `ansi`, a `[colors]` table and optional `[variables]` of Textual's
design system; the file's name is the theme's name. Ours lie in `themes/` at the root of the
repository, which the wheel carries as `ftui/themes`; users drop theirs into `user_folder()`.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import platformdirs
from textual.color import Color, ColorParseError
from textual.theme import Theme

from engine.contract.errors import UserError
from engine.contract.text import plain

DEFAULT = "ftui-dark"


class Colors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Named as Textual's design system names them; only the primary one has no default."""

    primary: str
    secondary: str | None = None
    accent: str | None = None
    warning: str | None = None
    error: str | None = None
    success: str | None = None
    foreground: str | None = None
    background: str | None = None
    surface: str | None = None
    panel: str | None = None
    boost: str | None = None


class ThemeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of a theme's file."""

    colors: Colors
    dark: bool = True
    ansi: bool = False
    """True writes the terminal's own 16 colours."""
    variables: dict[str, str] = {}


def user_folder() -> Path:
    """Where users put theme files."""
    return platformdirs.user_config_path("ftui") / "themes"


def own_folder() -> Path:
    """Where ours lie: inside an installed package, or at the root of a checkout."""
    package = Path(__file__).parent
    installed = package / "themes"
    return installed if installed.is_dir() else package.parent / "themes"


def load_themes(tell: Callable[[str], None]) -> list[Theme]:
    """Our themes and the user's, the user's own winning where names are the same.

    A file of the user's that is no theme is left out, and `tell` gets a sentence that says why.
    """
    files = {path.stem: path for path in sorted(own_folder().glob("*.toml"))}
    found = {name: load(path) for name, path in files.items()}
    for path in sorted(user_folder().glob("*.toml")):
        try:
            found[path.stem] = load(path)
        except UserError as error:
            tell(str(error))
    return list(found.values())


def load(path: Path) -> Theme:
    """The theme in one file. Raises `UserError` naming the file and what is wrong with it.

    Colours are checked here: Textual takes any text and fails only when it draws.
    """
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=ThemeFile)
        colors = {k: v for k, v in msgspec.to_builtins(file.colors).items() if v is not None}
        for name, value in colors.items():
            if not _is_color(value):
                raise UserError(f'{plain(path)}: colors.{name}, "{plain(value)}", is no colour.')
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{plain(path)}: not a theme ({plain(error)}).") from None
    return Theme(name=path.stem, dark=file.dark, ansi=file.ansi, variables=file.variables, **colors)


def _is_color(value: str) -> bool:
    try:
        Color.parse(value)
    except ColorParseError:
        return False
    return True
