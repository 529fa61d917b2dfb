"""The command line: `ftui` alone opens the app, every other word is a command of its own.

A bad call is one sentence on stderr and exit code 2. Commands import what they need when they
run, so that `ftui ls` costs no Textual and nothing here ever costs torch.
"""

import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import click
import platformdirs

from engine.contract.errors import UserError
from engine.contract.text import did_you_mean, plain
from ftui.cli import (
    INTERRUPTED,
    baseline,
    control,
    demo,
    doctor,
    find,
    look,
    predictions,
    repeat,
    train,
)
from ftui.cli.options import CommandError, app_options, open_app, runs_dir_option

DISTRIBUTION = "finetune-tui"


class _Commands(click.Group):
    """A group in which a first word that is no command is the RUN to open."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "open", open_, args

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asks_about_the_group = {"--help", "-h", "--version"} & set(args[:1])
        named = bool(args) and (args[0] in self.commands or asks_about_the_group)
        return super().parse_args(ctx, args if named else ["open", *args])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=DISTRIBUTION, prog_name="ftui")
def commands() -> None:
    """Fine-tune pretrained torch models from the terminal.

    `ftui [RUN]` opens the app, on RUN where one is given. RUN is a folder, a name, or the
    beginning of a name that fits one run only. Runs live in ./runs, or where --runs-dir or
    FTUI_RUNS says.
    """


@click.command("open")
@click.argument("run", required=False)
@runs_dir_option
@app_options
def open_(run: str | None, runs_dir: Path, **look: Any) -> None:
    """Open the app, on RUN where given; the word "open" may be left out."""
    open_app(_find(run, runs_dir) if run else None, runs_dir, **look)


def _find(run: str, runs_dir: Path) -> Path:
    from engine.runs import store

    try:
        return store.find(run, runs_dir)
    except UserError as error:
        meant = did_you_mean(run, commands.commands)
        sentence = f"{str(error).rstrip('.')}{meant}" if meant else str(error)
        raise UserError(sentence) from None


for _command in (
    open_,
    demo.demo,
    train.train,
    train.resume,
    repeat.fork,
    repeat.replay,
    look.attach,
    look.ls,
    look.plan,
    predictions.predictions,
    look.inspect,
    baseline.baseline,
    find.find,
    control.ctl,
    doctor.doctor,
):
    commands.add_command(_command)


def call() -> int:
    """Obey the command line: errors as one sentence; the exit code."""
    try:
        code = commands.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.UsageError as error:
        code = _say(error.format_message(), 2)
    except click.ClickException as error:
        code = _say(error.format_message(), 1)
    except CommandError as error:
        code = _say(str(error), error.code)
    except UserError as error:
        code = _say(str(error), 2)
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        sys.stderr.close()
        code = 0
    except Exception as error:  # a defect of ours
        code = _say(f"ftui itself failed ({plain(error)}); the details are in {_note_down()}.", 1)
    return code if isinstance(code, int) else 0


def _say(sentence: str, code: int) -> int:
    if sentence:
        click.echo(f"ftui: {' '.join(sentence.split())}", err=True)
    return code


def _note_down() -> Path:
    """Add the traceback that is being handled to a log, and say where that is."""
    details = traceback.format_exc()
    try:
        log = platformdirs.user_log_path("ftui", ensure_exists=True) / "errors.log"
        with log.open("a") as file:
            file.write(details)
    except OSError:  # a home that can't be written, or none
        number, name = tempfile.mkstemp(prefix="ftui-", suffix=".log")
        os.write(number, details.encode())
        os.close(number)
        return Path(name)
    return log
