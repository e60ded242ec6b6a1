"""Temporary names beside what is written, and their removal where a process was killed before it could do so.

A name tells who made it: `.NAME.MACHINE-PROCESS-RANDOM.tmp`. Whoever writes next in the same folder removes those
of processes of this machine that are gone, and those of other machines (or containers, or before a restart) that
were left for a day.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

MARK = r"\.([0-9a-f]{8})-(\d{1,9})-[0-9a-f]{8}\.tmp(\..+)?"
NAME = re.compile(rf"\..+{MARK}", re.DOTALL)
LONGEST = 120
"""Bytes of the final name that a temporary one repeats: disks take 255 in all."""
LEFT_SECONDS = 24 * 3600.0
SWEPT = 4096
"""Folders remembered as swept by this process."""


def make_file(target: Path, suffix: str = "") -> Path:
    """Make an empty file beside `target`, with a new name that ends with `.tmp` and `suffix`.

    It is always a new one, so that a link which somebody laid there is not followed.
    """
    _sweep_once(str(target.parent))
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    path = _new_name(target, suffix)
    os.close(os.open(path, flags, 0o666))
    return path


def make_folder(target: Path) -> Path:
    """Make an empty folder beside `target` with a new name, for this user alone."""
    sweep(target.parent)
    path = _new_name(target)
    path.mkdir(mode=0o700)
    return path


def is_temporary(path: str | Path) -> bool:
    """Whether a path is, or lies in, something that this module named."""
    return any(NAME.fullmatch(part) for part in Path(path).parts)


def sweep(folder: Path) -> None:
    """Remove what processes left in a folder that are there no more."""
    for path in _left_in(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def left_of(target: Path) -> list[Path]:
    """What processes that are there no more left of a file that they wrote as `target`, the largest first."""
    own = _names_of(target)
    left = [path for path in _left_in(target.parent) if own.fullmatch(path.name)]
    return sorted(left, key=lambda path: -path.lstat().st_size)


def is_begun(target: Path) -> bool:
    """Whether somebody is writing a file as `target`, or was killed while doing so."""
    own = _names_of(target)
    return any(own.fullmatch(name) for name in os.listdir(target.parent))


def _names_of(target: Path) -> re.Pattern[str]:
    return re.compile(re.escape(f".{_cut(target)}") + MARK)


def _left_in(folder: Path) -> list[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if _is_left(entry)]
    return []


@functools.lru_cache(SWEPT)
def _sweep_once(folder: str) -> None:
    """A folder may hold very many files: look through it at the first of those that this process writes."""
    sweep(Path(folder))


def _is_left(entry: os.DirEntry[str]) -> bool:
    match = NAME.fullmatch(entry.name) if entry.name[0] == "." else None
    if match is None:
        return False
    if match[1] == _machine() and not _is_running(int(match[2])):
        return True
    return time.time() - _last_change(Path(entry.path)) > LEFT_SECONDS


def _is_running(process: int) -> bool:
    """Whether a process of this machine is there; where that cannot be told, as on Windows, it is."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def _last_change(path: Path) -> float:
    """When a file, or anything in a folder, was written last."""
    last = path.lstat().st_mtime
    for folder, _, names in os.walk(path) if not path.is_symlink() else ():
        for name in (".", *names):
            with suppress(OSError):
                last = max(last, os.lstat(os.path.join(folder, name)).st_mtime)
    return last


def _new_name(target: Path, suffix: str = "") -> Path:
    return target.with_name(f".{_cut(target)}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.tmp{suffix}")


def _cut(target: Path) -> str:
    return os.fsencode(target.name)[:LONGEST].decode(errors="ignore")


@functools.cache
def _machine() -> str:
    """Tells apart what counts its processes by itself: machines, their starts, containers."""
    told = [platform.node()]
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        told.append(str(os.stat("/proc/self/ns/pid").st_ino))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]
