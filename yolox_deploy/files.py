"""Files of ours and of others: where they are kept, how they are written whole, and what comes with the package."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from yolox_deploy.documents import read
from yolox_deploy.errors import InputError, UsageError, reason_of
from yolox_deploy.signatures import identify

MOST_TEXT = 1 << 28
"""Bytes of a file of lines, such as a list of pictures."""


def cache_dir() -> Path:
    """Where downloads and compiled models are kept; `YOLOX_DEPLOY_CACHE` moves it, whoever writes to it creates it."""
    override = os.environ.get("YOLOX_DEPLOY_CACHE")
    if override:
        return Path(override)
    import platformdirs

    return Path(platformdirs.user_cache_dir("yolox-deploy"))


def is_offline() -> bool:
    """Whether `YOLOX_DEPLOY_OFFLINE` forbids connections."""
    return os.environ.get("YOLOX_DEPLOY_OFFLINE", "0") not in ("", "0")


def limit(name: str, default: int) -> int:
    """The whole number in the environment's variable `name`, which moves a limit of ours.

    Raises:
        UsageError: it is none from 1 on.
    """
    text = os.environ.get(name, "").replace("_", "") or str(default)
    if not text.isdecimal() or not int(text[:20]) > 0:
        raise UsageError(
            f"the environment's {name} is {os.environ[name]!r}; expected a whole number from 1 on"
        )
    return int(text[:20])


@contextmanager
def naming(path: Path) -> Iterator[Path]:
    """Give `path` to the system's errors in the block that name no file, and to those of a full disk.

    Of a full disk the system tells no more than that, and copying names the source.

    Raises:
        OSError: of the same kind and number, with a file's name.
    """
    try:
        yield path
    except OSError as error:
        if error.errno is None or (error.filename is not None and not is_full(error)):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error


def is_full(error: OSError) -> bool:
    """Whether there is no room for a file: on the disk, in the quota, or by the limit of a process."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replacing(path: Path, part: Path | None = None, *, keep: Path | None = None) -> Iterator[Path]:
    """Give the block a name beside `path` to write to, and rename that file to `path` when the block ends well.

    So no reader sees half a file. Where the block raises, its file is removed and what `path` held before stays.
    The folder has to be there.

    Args:
        part: the name to write to, for encoders that choose by the suffix; None for a hidden one of this process and
            thread, so that two that write the same file do not write into each other.
        keep: where to leave what the block wrote before it raised; None to remove it.
    """
    part = part or path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}.tmp")
    try:
        with naming(path):
            yield part
            part.replace(path)
    except BaseException:
        with suppress(OSError):  # what the block raised is the one to tell
            if keep is None:
                part.unlink()
            else:
                part.replace(keep)
        raise


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give the block an empty folder to fill, and rename it to `folder` when the block ends well; else nothing stays.

    Raises:
        UsageError: `folder` holds something, or cannot be made.
    """
    check_place(folder, str(folder), folder=True)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name a new folder, or remove it first: rm -r {folder}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror})") from error
    with (
        naming(folder),
        tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary,
    ):
        built = Path(temporary) / "new"
        built.mkdir()
        yield built
        if folder.exists():
            folder.rmdir()
        built.rename(folder)


def write_text(path: Path, text: str) -> None:
    """Write a whole file of UTF-8 text; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, see `replacing`; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(content)


def check_place(path: Path, what: str, *, folder: bool = False) -> None:
    """Find out, making nothing, whether a file or `folder` can be where another kind of thing may be.

    Args:
        what: how the user named it, for the message: "--out".

    Raises:
        UsageError: `path` is a folder where a file is to be, or the other way round, or below a file.
    """
    found = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if found == path.absolute() and not folder and path.is_dir():
        raise UsageError(f"{what}: {path} is a folder; expected the name of a file")
    if not found.is_dir() and (folder or found != path.absolute()):
        shown = path if found == path.absolute() else found
        raise UsageError(f"{what}: {shown} is a file; expected a folder, an existing one or a new name")


def check_writable(path: Path, what: str) -> None:
    """Make the folder of `path` where it is missing, and write in it for a try.

    Args:
        what: how the user named it, for the message: "--out report.json".

    Raises:
        UsageError: `path` is a folder, or its folder cannot be made or written to.
    """
    check_place(path, what)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"{what}: {path.parent} cannot be written to ({error.strerror})") from error


def written(path: Path | None, since: float) -> Path | None:
    """`path` if it was written after `since` (seconds of `time.time`): a failed one leaves an older file."""
    return path if path is not None and path.is_file() and path.stat().st_mtime >= since else None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_lines(file: Path) -> list[tuple[int, str]]:
    """The number, from 1, and text of each line that is not empty.

    Raises:
        InputError: the file is missing, something else (a Git LFS pointer is a text, too), or no UTF-8 text.
    """
    try:
        content = read(file, MOST_TEXT)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file}: {reason_of(error)}") from error
    kind = identify(content) if content else None
    if kind is not None and kind.family != "text":
        raise InputError(f"{file} {kind.instead_of('a text', file)}")
    try:
        text = content.decode("utf-8-sig")
    except ValueError as error:
        raise InputError(f"cannot read {file}: {error}") from error
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, line) for number, line in lines if line]


def backslash_hint(names: Iterable[str]) -> str:
    """For messages on files that are not there: what to do about names that were written on Windows."""
    wrong = os.sep != "\\" and any("\\" in name for name in names)
    return " (backslashes do not separate folders here: write / in the names)" if wrong else ""


def packaged_photographs() -> list[Path]:
    """Three real photographs that come with the package (CC0 and public domain)."""
    folder = Path(str(resources.files("yolox_deploy"))) / "assets"
    return sorted(folder.glob("*.jpg"))


def embedded_checkpoint() -> Path:
    """The file of the YOLOX-Nano that comes with the package."""
    return Path(str(resources.files("yolox_deploy"))) / "assets" / "yolox_nano_scenes.pth"
