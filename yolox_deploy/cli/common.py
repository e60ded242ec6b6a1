"""What several commands need: option types, tables, JSON, progress on standard error."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from yolox_deploy.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0, …")]
Backend = Annotated[str | None, typer.Option(help="Runtime instead of the suffix's default; auto: as tuned.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of one inference.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")]
Classes = Annotated[
    Path | None, typer.Option(help="Text file with one class name a line, in the model's order.")
]


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`640` or `480x640` (height x width) to (H, W)."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:[x,](\d+))?", text)
    if match is None:
        raise UsageError(f"the size is {text!r}; expected N or HxW in pixels, such as 640 or 480x640")
    return int(match[1]), int(match[2] or match[1])


def read_class_names(file: Path | None) -> tuple[str, ...] | None:
    """The class names in a text file, one a line; empty lines do not count."""
    if file is None:
        return None
    try:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the class names in {file} cannot be read: {error}") from error
    if not names:
        raise InputError(f"{file} holds no class name; expected one a line")
    return names


def console() -> Console:
    """Where people read: standard error, so that standard output stays clean for data."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(values: object) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(values, indent=1))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """A table on standard output; every column but the first is right-aligned where it holds numbers."""
    from rich.console import Console
    from rich.table import Table

    cells = [[("–" if value is None else str(value)) for value in row] for row in rows]
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for index, name in enumerate(columns):
        numeric = all(re.fullmatch(r"[–\d.,%×± /+-]*", row[index]) for row in cells)
        table.add_column(name, justify="right" if numeric and index else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def progress(items: Sequence[Item], description: str) -> Iterable[Item]:
    """Iterate with a progress bar on standard error (none where that is not a terminal)."""
    from rich.progress import track

    out = console()
    return track(items, description, console=out, disable=not out.is_terminal)


def status(message: str) -> AbstractContextManager[Any]:
    """A spinner with a message on standard error while a step runs."""
    return console().status(message)


@contextmanager
def warnings_told() -> Iterator[None]:
    """Tell warnings as messages, without the line of code that they come from."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
        yield
