"""What is done to the folder of a data set to make it hostile; each act returns what it did, in words."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

MANY = 10_000


def _folders(data: Path) -> list[Path]:
    return sorted(path for path in data.rglob("*") if path.is_dir() and not path.is_symlink())


def _files(data: Path, *suffixes: str) -> list[Path]:
    found = [path for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted(path for path in found if not suffixes or path.suffix in suffixes)


def _one(chance: random.Random, data: Path, *suffixes: str) -> Path:
    """A file, or where none of these is left a new name."""
    return chance.choice(_files(data, *suffixes) or [data / "nothing"])


def _loop(chance: random.Random, data: Path) -> str:
    (chance.choice(_folders(data)) / "loop").symlink_to(data, target_is_directory=True)
    return "a link to the whole in itself"


def _link_to_itself(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)
    return f"{path.name} links to itself"


def _dangling(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.unlink(missing_ok=True)
    path.symlink_to("/nowhere/at/all")
    return f"{path.name} links to nothing"


def _device(chance: random.Random, data: Path) -> str:
    path, target = (
        _one(chance, data),
        chance.choice(("/dev/zero", "/dev/full", "/dev/null", "/proc/self/mem")),
    )
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return f"{path.name} links to {target}"


def _fifo(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return f"{path.name} is a pipe"


def _folder(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.unlink(missing_ok=True)
    path.mkdir()
    return f"{path.name} is a folder"


def _unreadable(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.touch()
    path.chmod(0)
    return f"{path.name} without rights"


def _long_name(chance: random.Random, data: Path) -> str:
    path = _one(chance, data, ".jpg", ".txt", ".xml")
    path.touch()
    name = "n" * (255 - len(path.suffix)) + path.suffix
    path.rename(path.with_name(name))
    return f"{path.name} under a name of 255 bytes"


def _bytes_name(chance: random.Random, data: Path) -> str:
    path = _one(chance, data, ".jpg", ".txt", ".xml")
    path.touch()
    os.rename(os.fsencode(path), os.fsencode(path.parent) + b"/\xff\xfe" + os.fsencode(path.suffix))
    return f"{path.name} under a name that is no UTF-8"


def _odd_name(chance: random.Random, data: Path) -> str:
    path = _one(chance, data, ".jpg", ".txt", ".xml")
    path.touch()
    stems = ("-rf", "a\nb", "$(id)", "<b>", "%s%n", " ", "\u202e", "a\tb", "*", "[x]", "C:x")
    name = chance.choice(stems) + path.suffix
    path.rename(path.with_name(name))
    return f"{path.name} renamed to {name!r}"


def _many(chance: random.Random, data: Path) -> str:
    folder = chance.choice([path.parent for path in _files(data)] or [data])
    suffix = chance.choice((".jpg", ".txt", ".xml", ".json"))
    for number in range(MANY):
        (folder / f"x{number:06}{suffix}").touch()
    return f"{MANY} empty files {suffix} in {folder.name}"


def _gone(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    path.unlink(missing_ok=True)
    return f"{path.name} gone"


def _all_gone(chance: random.Random, data: Path) -> str:
    suffix = chance.choice((".jpg", ".txt", ".xml", ".json", ".yaml"))
    for path in _files(data, suffix):
        path.unlink()
    return f"every {suffix} gone"


def _emptied(chance: random.Random, data: Path) -> str:
    suffix = chance.choice((".jpg", ".txt", ".xml", ".json", ".yaml"))
    for path in _files(data, suffix):
        path.write_bytes(b"")
    return f"every {suffix} empty"


def _exchanged(chance: random.Random, data: Path) -> str:
    one, two = _one(chance, data), _one(chance, data)
    content = two.read_bytes() if two.exists() else b""
    one.write_bytes(content)
    return f"{one.name} holds what {two.name} does"


def _lying_size(chance: random.Random, data: Path) -> str:
    path = _one(chance, data, ".json", ".xml", ".yaml")
    text = path.read_text() if path.exists() else ""
    size = chance.choice(("1", "0", "-5", "1000000000", "1e308"))
    path.write_text(text.replace("128", size))
    return f"{path.name} says {size} for 128"


def _folder_file(chance: random.Random, data: Path) -> str:
    folder = chance.choice(_folders(data) or [data / "nothing"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("a file")
    return f"{folder.name} is a file"


def _sparse(chance: random.Random, data: Path) -> str:
    path = _one(chance, data)
    with path.open("ab") as file:
        file.truncate(8 * 2**30)
    return f"{path.name} of 8 GiB"


ACTS: tuple[Callable[[random.Random, Path], str], ...] = (
    *(
        _loop,
        _link_to_itself,
        _dangling,
        _device,
        _fifo,
        _folder,
        _unreadable,
        _long_name,
        _bytes_name,
        _odd_name,
    ),
    *(_gone, _all_gone, _emptied, _exchanged, _lying_size, _folder_file, _sparse, _many),
)
