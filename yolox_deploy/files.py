"""Files of ours and of others: where they are kept, how they are written whole, and what comes with the package."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from yolox_deploy import temporaries
from yolox_deploy.documents import read
from yolox_deploy.errors import InputError, UsageError, reason_of
from yolox_deploy.signatures import identify

MOST_TEXT = 1 << 28
"""Bytes of a file of lines, such as a list of pictures."""
SMALL = 1 << 20
"""Bytes of a file for which a disk that is not full has room."""
SHOWN = 200
"""Characters of a name in a message on it."""


def cache_dir() -> Path:
    """Where downloads and compiled models are kept; `YOLOX_DEPLOY_CACHE` moves it, whoever writes to it creates it.

    Raises:
        UsageError: every user of the machine may write to it, see `check_trusted`.
    """
    override = os.environ.get("YOLOX_DEPLOY_CACHE")
    if override:
        folder = Path(override)
    else:
        import platformdirs

        folder = Path(platformdirs.user_cache_dir("yolox-deploy"))
    check_trusted(folder)
    return folder


def check_trusted(folder: Path) -> None:
    """Look whether others could lay models into a folder of the cache: compiled ones are run as programs are.

    A folder of another user than root is warned of. A group that may write is trusted. Windows is not looked at.

    Raises:
        UsageError: every user may write there.
    """
    if not hasattr(os, "geteuid"):
        return
    try:
        found = folder.stat()
    except (OSError, ValueError):  # whoever writes there finds out
        return
    if found.st_mode & stat.S_IWOTH:
        raise UsageError(
            f"{folder} keeps models, and every user may write there; chmod o-w {folder}, or name a folder of your own "
            f"(one in it will do): YOLOX_DEPLOY_CACHE={folder}/own"
        )
    if found.st_uid not in (0, os.geteuid()):
        warnings.warn(
            f"{folder} keeps models and is another user's; if you do not trust them, set YOLOX_DEPLOY_CACHE to a "
            "folder of your own",
            stacklevel=3,
        )


def make_cache(folder: Path) -> Path:
    """Make a folder of the cache where it is missing, for this user alone."""
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    return folder


def is_offline() -> bool:
    """Whether `YOLOX_DEPLOY_OFFLINE` forbids connections."""
    return os.environ.get("YOLOX_DEPLOY_OFFLINE", "0") not in ("", "0")


def limit(name: str, default: int) -> int:
    """The whole number in the environment's variable `name`, which moves a limit of ours.

    Raises:
        UsageError: it is none from 1 on.
    """
    said = os.environ.get(name)
    if not said:
        return default
    if not said.isascii() or not said.isdecimal() or len(said) > 18 or not int(said):
        raise UsageError(f"{name} is {said!r}; expected a whole number, from 1 on")
    return int(said)


@contextmanager
def naming(path: Path) -> Iterator[Path]:
    """Give `path` to errors of the system in the block: those that name no file or a temporary one, or of a full disk.

    Of a full disk the system tells no more than that, and copying names the source. Libraries raise what they like
    then, so after an error of another kind the disk is asked.

    Raises:
        OSError: of the same kind and number, with a file's name.
    """
    try:
        yield path
    except OSError as error:
        told = error.filename is not None and not temporaries.is_temporary(os.fsdecode(error.filename))
        named = error.__cause__ is not None  # by a block within this one
        if error.errno is None or (told and (named or not is_full(error))):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    except (UsageError, InputError):
        raise
    except Exception as error:
        full = _full(path)
        if full is None:
            raise
        raise OSError(full.errno, full.strerror, str(path)) from error


def is_full(error: OSError) -> bool:
    """Whether there is no room for a file: on the disk, in the quota, or by the limit of a process."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _full(path: Path) -> OSError | None:
    """What the system says where there is no room for a small file beside `path`, else None."""
    folder = path if path.is_dir() else path.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(SMALL))
            file.flush()
    except OSError as error:
        return error if is_full(error) else None
    return None


@contextmanager
def replacing(
    path: Path, part: Path | None = None, *, keep: Path | None = None, suffix: str = ""
) -> Iterator[Path]:
    """Give the block a name beside `path` to write to, and rename that file to `path` when the block ends well.

    So no reader sees half a file. Where the block raises, its file is removed and what `path` held before stays.
    The folder has to be there. Where `path` is a link it stays one, and the file that it names is replaced.

    Args:
        part: the name to write to; None for a hidden one of this process, see `temporaries`, so that two that write
            the same file do not write into each other.
        keep: where to leave what the block wrote before it raised, if anything; None to remove it.
        suffix: of the hidden name, for encoders that choose by it.

    Raises:
        OSError: also of a file that is not to be written, or no regular one.
    """
    with naming(path):
        target = _final(path)
        part = part or temporaries.make_file(target, suffix)
    try:
        with naming(path):
            yield part
            part.replace(target)
    except BaseException:
        with suppress(OSError):  # what the block raised is the one to tell
            if keep is None or not part.stat().st_size:
                part.unlink()
            else:
                part.replace(keep)
        raise


def move(file: Path, path: Path) -> None:
    """Give a whole `file` on the same disk its final name, by the rules of `replacing`."""
    with replacing(path, file):
        pass


def _final(path: Path) -> Path:
    """The file that is to be written under a name: of a link the one that it leads to.

    As Linux does it for links in folders that all may write, those of others are not followed.

    Raises:
        OSError: it is a device or a pipe, must not be written, or is a link without end or of somebody else.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    target = path
    if stat.S_ISLNK(found.st_mode):
        target = _followed(path, found.st_uid)
        if not target.exists():
            return target
        found = target.stat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise OSError(errno.EINVAL, "no regular file; expected the name of a file", str(path))
    if stat.S_ISREG(found.st_mode) and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return target


def _followed(link: Path, owner: int) -> Path:
    folder = link.parent.stat()
    trusted = (folder.st_uid, os.geteuid()) if hasattr(os, "geteuid") else (owner,)
    if folder.st_mode & stat.S_IWOTH and owner not in trusted:
        raise PermissionError(errno.EACCES, "a link of another user is not followed here", str(link))
    target = Path(os.path.realpath(link))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(link))
    return target


@contextmanager
def temporary_folder(target: Path | None = None) -> Iterator[Path]:
    """An empty folder for the block: beside `target`, or where the system keeps such (`TMPDIR`).

    Errors in the block name `target`, or that place. Of a process that is killed the next one removes it.
    """
    place = target or Path(tempfile.gettempdir())
    with naming(place):
        made = temporaries.make_folder(target or place / "yolox-deploy")
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give the block an empty folder to fill, and rename it to `folder` when the block ends well; else nothing stays.

    Raises:
        UsageError: `folder` holds something, or cannot be made.
    """
    check_place(folder, str(folder), folder=True)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name a new folder, or remove it first: rm -r {folder}")
    target = Path(os.path.realpath(folder)) if folder.is_symlink() else folder
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror})") from error
    with naming(folder), temporary_folder(target) as temporary:
        built = temporary / "new"
        built.mkdir()
        yield built
        if target.exists():
            target.rmdir()
        built.rename(target)


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
        UsageError: `path` is a folder where a file is to be, or the other way round, or below a file; a device, a
            file that must not be written, a link without end, a name that no disk takes.
    """
    try:
        if "\0" in str(path):
            raise ValueError("a name without the character NUL is expected")
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
        found = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    except (OSError, ValueError) as error:
        raise UsageError(f"{what}: {str(path)[:SHOWN]!r} cannot be written ({reason_of(error)})") from error
    if found == path.absolute() and not folder and path.is_dir():
        raise UsageError(f"{what}: {path} is a folder; expected the name of a file")
    if not found.is_dir() and (folder or found != path.absolute()):
        shown = path if found == path.absolute() else found
        raise UsageError(f"{what}: {shown} is a file; expected a folder, an existing one or a new name")
    if not folder:
        try:
            _final(path)
        except OSError as error:
            raise UsageError(f"{what}: {path} cannot be written ({reason_of(error)})") from error


def check_writable(path: Path, what: str) -> None:
    """Make the folder of `path` where it is missing, and write in it for a try.

    Args:
        what: how the user named it, for the message: "--out report.json".

    Raises:
        UsageError: what `check_place` refuses, or the folder cannot be made or written to.
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
