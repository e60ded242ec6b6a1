"""The commands, one module each, put together; and what becomes of their errors."""

from __future__ import annotations

import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from yolox_deploy._version import __version__
from yolox_deploy.cli import (
    ablate,
    assign,
    bench,
    convert,
    data,
    demo,
    doctor,
    evaluate,
    export,
    inspect,
    migrate,
    models,
    predict,
    stream,
    track,
    train,
    tune,
)
from yolox_deploy.cli.common import LOG, echo, warnings_told
from yolox_deploy.cli.interrupts import ending_cleanly, was_interrupted
from yolox_deploy.errors import MissingExtraError, UsageError, YoloxDeployError
from yolox_deploy.files import is_full

INTERNAL = "internal error"
SYSTEM_LIBRARY = re.compile(r"lib\S+\.so\S*: cannot open shared object file")

PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Use": {
        "predict": predict.predict_command,
        "track": track.track_command,
        "stream": stream.stream_command,
    },
    "Prepare": {
        "export": export.export_command,
        "migrate": migrate.migrate_command,
        "inspect": inspect.inspect_command,
        "models": models.models_command,
        "doctor": doctor.doctor_command,
        "demo": demo.demo_command,
    },
    "Measure": {"eval": evaluate.eval_command, "bench": bench.bench_command, "tune": tune.tune_command},
    "Train": {
        "train": train.train_command,
        "convert": convert.convert_command,
        "scenes": data.scenes_command,
    },
    "The paper": {
        "ablate": ablate.ablate_command,
        "assign": assign.assign_command,
        "priors": data.priors_command,
    },
}
"""The commands by what people want to do, in the order of `--help`."""


class _Panels(TyperGroup):
    """Lists the commands under the names of `PANELS`, in plain text."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        for panel, names in PANELS.items():
            room = formatter.width - width - 6
            rows = [(name.ljust(width), self.commands[name].get_short_help_str(room)) for name in names]
            with formatter.section(panel):
                formatter.write_dl(rows)


app = typer.Typer(
    name="yolox-deploy",
    cls=_Panels,
    help="YOLOX detectors from checkpoint to production.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 ok, 2 usage, 3 missing extra, 4 broken or incompatible artifact, "
    "5 parity or accuracy gate, 6 regression against a baseline.",
)
for panel in PANELS.values():
    for name, command in panel.items():
        app.command(name)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        echo(f"yolox-deploy {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """YOLOX detectors from checkpoint to production."""


def run() -> None:
    """Run the command that was typed, and exit; an error becomes one message and an exit code.

    An exception that is neither ours nor the system's is a mistake of this package: its traceback is kept in a file.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it.
    """
    try:
        with ending_cleanly(), _own_level(), warnings_told():
            app()
    except (Exception, KeyboardInterrupt) as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        message, code = _ending(error)
        echo(f"error: {message}", err=True)
        sys.exit(code)


def _ending(error: BaseException) -> tuple[str, int]:
    """What is said of an error, and the exit code."""
    if isinstance(error, YoloxDeployError):
        return str(error), error.exit_code
    if isinstance(error, OSError):  # about a path: a folder that cannot be written, a full disk
        return told(error), UsageError.exit_code
    if isinstance(error, ImportError) and SYSTEM_LIBRARY.match(str(error)):
        return f"{error}. {doctor.LIBRARY_ADVICE}", MissingExtraError.exit_code
    if isinstance(error, MemoryError):
        what = f": {error}" if str(error) else ""
        return (
            f"there is not enough memory{what}; take smaller pictures, batches or models",
            YoloxDeployError.exit_code,
        )
    return f"{INTERNAL}: {type(error).__name__}: {error}. {_kept(error)}", YoloxDeployError.exit_code


def _kept(error: BaseException) -> str:
    """Where the traceback of a mistake of ours is, and what to do with it."""
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="yolox-deploy-", suffix=".txt", delete=False) as file:
            file.write(text)
    except (OSError, ValueError):
        return f"This is a mistake in yolox-deploy {__version__}; please report it with this:\n{text}"
    return f"This is a mistake in yolox-deploy {__version__}; please report it with {file.name}"


@contextmanager
def _own_level() -> Iterator[None]:
    """Let --quiet last as long as the command."""
    level = LOG.level
    try:
        yield
    finally:
        LOG.setLevel(level)


def told(error: OSError) -> str:
    """An error of the system in words, with the file's name first and what frees a full disk."""
    if error.filename is None or error.strerror is None:
        return str(error)
    cure = "; free some space there, or name another place" if is_full(error) else ""
    return f"{error.filename}: {error.strerror}{cure}"
