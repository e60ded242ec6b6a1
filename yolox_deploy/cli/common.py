"""What several commands need: option types, tables, JSON, progress on standard error."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.files import read_lines
from yolox_deploy.types import SILENT, Report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.spinner import Spinner

    from yolox_deploy.data.split_names import Split

Item = TypeVar("Item")
LOG = logging.getLogger("yolox_deploy")
ALL = "all"
CHOOSING = ("predict", "stream", "track")
"""The commands with --only."""
_UNSEEN = re.compile("[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
"""What a terminal obeys, what turns the direction of text, and half characters, which cannot be printed."""


def plain(text: str) -> str:
    """`text` for a terminal: names of strangers in it move no cursor and change no colour; lines stay lines."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def echo(text: str, err: bool = False) -> None:
    """Print `plain` text on standard output, or where errors go."""
    typer.echo(plain(text), err=err)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`640` or `480x640` (height x width) to (H, W)."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})(?:[x,](\d{1,9}))?", text)
    if match is None:
        raise UsageError(f"the size is {text!r}; expected N or HxW in pixels, such as 640 or 480x640")
    return int(match[1]), int(match[2] or match[1])


def split_name(text: str) -> Split:
    """The split of a data set that --split names.

    Raises:
        UsageError: there is none of that name.
    """
    from yolox_deploy.data.split_names import SPLITS

    found = next((split for split in SPLITS if split == text), None)
    if found is None:
        raise UsageError(f"--split {text}: expected {', '.join(SPLITS)}")
    return found


def read_class_names(file: Path | None) -> tuple[str, ...] | None:
    """The class names in a text file, one a line; empty lines do not count."""
    if file is None:
        return None
    if not file.exists():
        _refuse_names_themselves(str(file))
    try:
        names = tuple(line for _, line in read_lines(file))
    except InputError as error:
        raise InputError(f"class names: {error}") from error
    if not names:
        raise InputError(f"{file} holds no class name; expected one a line")
    return names


def _refuse_names_themselves(text: str) -> None:
    """Refuse `--classes person`, which means a file here and a choice elsewhere; gives the command meant.

    Raises:
        UsageError: it looks like names and not like a file.
    """
    if re.search(r"[/\\]|\.\w+$", text):
        return
    option = next((word for word in sys.argv if word.split("=")[0] == "--classes"), "--names").split("=")[0]
    only = ["--only", text]
    meant = command_line({option: only[:1], f"{option}={text}": only})
    how = meant if sys.argv[1] in CHOOSING else f"{', '.join(CHOOSING)} take {shlex.join(only)}"
    raise UsageError(
        f"{option} names a text file with one class name a line, in the model's order; there is no file {text!r}. To "
        f"keep only some classes: {how}"
    )


def overrides(
    names: Path | None = None,
    legacy: bool = False,
    imgsz: str | None = None,
    settings: list[str] | None = None,
) -> dict[str, Any]:
    """The conventions that the command line replaces; `settings` are those of --override."""
    from yolox_deploy.types import InputConvention

    chosen: dict[str, Any] = {} if names is None else {"class_names": read_class_names(names)}
    if imgsz is not None:
        chosen["input_size"] = parse_size(imgsz)
    if legacy:
        from yolox_deploy.foreign.pixels import PIXELS

        old = InputConvention.legacy()
        chosen |= {f"input.{name}": getattr(old, name) for name in PIXELS}
    return chosen | parse_settings(settings or [], "--override", "boxes=corners")


def numbers(text: str | None) -> tuple[int, ...]:
    """`1,2,4` to numbers from 1; nothing to none."""
    if text is None:
        return ()
    if not re.fullmatch(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", text):
        raise UsageError(f"expected numbers from 1, comma-separated, such as 1,2,4; found {text!r}")
    return tuple(dict.fromkeys(int(number) for number in text.split(",")))


def names_in(text: str | None) -> tuple[str, ...] | None:
    """`a,b` to its names, each once; None for nothing and for 'all'."""
    if text is None or text == ALL:
        return None
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def parse_settings(
    texts: list[str], option: str = "--set", example: str = "augmentation.mosaic=0.5"
) -> dict[str, object]:
    """The values of `--set KEY=VALUE`, or of another `option`, by name, still as texts.

    Raises:
        UsageError: a text without a sign.
    """
    changes: dict[str, object] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"{option} {text}: expected KEY=VALUE, such as {option} {example}")
        changes[name.strip()] = value.strip()
    return changes


def command_line(instead: Mapping[str, Sequence[str]] | None = None) -> str:
    """This command as one would type it again, with other words in place of some."""
    words = (new for word in sys.argv[1:] for new in (instead or {}).get(word, [word]))
    return shlex.join(["yolox-deploy", *words])


def quiet_opencv() -> None:
    """To be called before OpenCV is loaded: its own words about broken videos would break the progress line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")


def console() -> Console:
    """Where people read notes: standard error, so that standard output stays clean for data; nowhere by --quiet."""
    from rich.console import Console

    class Notes(Console):
        def print(self, *texts: Any, **how: Any) -> None:
            super().print(*(plain(text) if isinstance(text, str) else text for text in texts), **how)

    return Notes(stderr=True, highlight=False, markup=False, quiet=is_quiet())


def is_quiet() -> bool:
    """Whether nothing but errors is to be told."""
    return LOG.level >= logging.ERROR


def print_json(values: object) -> None:
    """One JSON document on standard output."""
    echo(json.dumps(values, indent=1))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """A table on standard output; every column but the first is right-aligned where it holds numbers."""
    from rich.console import Console
    from rich.table import Table

    cells = [[("–" if value is None else plain(str(value))) for value in row] for row in rows]
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for index, name in enumerate(columns):
        numeric = all(re.fullmatch(r"[–\d.,%×± /+-]*", row[index]) for row in cells)
        table.add_column(name, justify="right" if numeric and index else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def progress(items: Sequence[Item], text: str) -> Iterator[Item]:
    """Iterate, reporting how far it is."""
    with reporting(text) as report:
        for done, item in enumerate(items, start=1):
            yield item
            report.advance(done, len(items))


@contextmanager
def warnings_told() -> Iterator[None]:
    """Tell warnings as messages, each once, without the line of code that they come from."""
    told: set[str] = set()

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in told and not is_quiet():
            told.add(str(message))
            echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = tell
        yield


@contextmanager
def whole_videos() -> Iterator[None]:
    """Make an error of videos that break off in the block, once all the rest of it is done.

    Raises:
        InputError: names them.
    """
    from yolox_deploy.capture import BrokenVideoWarning

    broken: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, BrokenVideoWarning):
                broken.append(str(message))
            else:
                show(message, category, *rest, **named)

        warnings.simplefilter("always", BrokenVideoWarning)
        warnings.showwarning = tell
        yield
    if broken:
        raise InputError("; ".join(broken))


@contextmanager
def reporting(text: str = "starting", *, lines: bool = False, every: float | None = None) -> Iterator[Report]:
    """A report on standard error, for people: nothing by --quiet.

    Args:
        text: on a terminal one line, with this at first.
        lines: elsewhere each step.
        every: elsewhere a step now and then, after so many seconds: for what runs for days.
    """
    out = console()
    if is_quiet() or not out.is_terminal:
        told = not is_quiet() and (lines or every is not None)
        yield _Lines(every or 0.0) if told else SILENT
        return
    from rich.live import Live

    line = _Line(text)
    with Live(line, console=out, transient=True, redirect_stdout=False):  # that is for data
        yield line


class _Lines(Report):
    """Prints each step, or one after `every` seconds and what that makes of the next ones."""

    def __init__(self, every: float) -> None:
        self._every, self._last = every, time.monotonic()

    def step(self, text: str) -> None:
        if time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            echo(text, err=True)


class _Line(Report):
    """The latest step for rich to draw: a spinner, the text, and how far it is and the time left where known."""

    def __init__(self, text: str) -> None:
        from rich.spinner import Spinner

        self._spinner = Spinner("dots", style="status.spinner")
        self.step(text)

    def step(self, text: str) -> None:
        self._text, self._far = text, ""

    def advance(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._far:
            self._begun, self._first = now, done
        pace = (now - self._begun) / max(done - self._first, 1)
        left = f", {timedelta(seconds=round(pace * (total - done)))} left" if done > self._first else ""
        self._far = f" {done}/{total}{left}"

    def __rich__(self) -> Spinner:
        from rich.text import Text

        self._spinner.update(text=Text(plain(self._text + self._far)))
        return self._spinner
