"""The command line: one module a command, put together here."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
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
from yolox_deploy.cli.common import warnings_told
from yolox_deploy.errors import MissingExtraError, UsageError, YoloxDeployError

INTERRUPTED = 130
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
        typer.echo(f"yolox-deploy {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """YOLOX detectors from checkpoint to production."""


def main() -> None:
    """Run the command line; our own errors become one message and their exit code."""
    _leave_cleanly()
    try:
        with warnings_told():
            app()
    except (Exception, KeyboardInterrupt) as error:
        if _was_interrupted(error):
            typer.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        if isinstance(error, ImportError) and SYSTEM_LIBRARY.match(str(error)):
            typer.echo(f"error: {error}. {doctor.LIBRARY_ADVICE}", err=True)
            sys.exit(MissingExtraError.exit_code)
        if not isinstance(error, YoloxDeployError | OSError):
            raise
        typer.echo(f"error: {error}", err=True)
        # The system's own errors are about paths: a folder that cannot be written, a full disk.
        sys.exit(error.exit_code if isinstance(error, YoloxDeployError) else UsageError.exit_code)


def _leave_cleanly() -> None:
    """Let SIGTERM, and SIGHUP where nobody ignores it (as nohup does), end the program by an exception.

    Temporary files are then cleared, and files that are being recorded get their end.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda caught, _frame: sys.exit(128 + caught))


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C began it: a library interrupted while it imports its parts raises something else."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
