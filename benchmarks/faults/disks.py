"""Full disks: every command that writes files, on a disk that has room for a part of them, or for all.

Its results, cache and temporary files are on a small tmpfs where this process may mount one; else, and in every other
case, a limit of the process on the size of each file stands in for it (`RLIMIT_FSIZE`). The command has to end with 0
and everything written, or with an error of ours that names a path; nothing may be half under a final name.
"""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from yolox_deploy.benchmarks.faults.commands import (
    LINE_FILES,
    WORKS,
    Place,
    Ran,
    changed_in,
    differences,
    look,
    names_of,
    prepared,
    wrong_in,
)
from yolox_deploy.benchmarks.faults.kills import Whole, serving, undisturbed
from yolox_deploy.benchmarks.faults.model_files import keep
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result

BLOCK = 4096
ENOUGH = 4.0
"""Times the size of what is written in the end: temporary files need room, too."""
SHARES = (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.02, ENOUGH)
RESUMED = "cache/weights/"
"""What arrived of a download stays for the next try."""
FULL = ("No space left", "File too large", "disk", "space", "cannot be written")


def run(
    seed: int,
    count: int,
    folder: Path,
    until: float,
    first: int = 0,
    works: tuple[str, ...] = tuple(WORKS),
) -> Iterator[Outcome]:
    """So many runs, of each command of `works` in turn; see `outcomes.Run`."""
    made = prepared(folder / "whole" / "place")
    if made.result is not None:
        yield Outcome("disks", "whole", Result.raw, f"what is read cannot be made: {made.detail}")
        return
    mounts = may_mount(folder / "whole" / "mount")
    with serving(folder / "whole" / "place" / "served") as address:
        place = Place(folder / "whole" / "place", address)
        wholes: dict[str, Whole] = {}
        for number in range(first, first + count):
            if time.monotonic() > until:
                return
            name = works[number % len(works)]
            if name not in wholes:
                try:
                    wholes[name] = undisturbed(place, name, folder / "whole" / name.replace(" ", "_"))
                except ValueError as error:
                    yield Outcome("disks", str(number), Result.raw, f"{name}, undisturbed: {error}")
                    continue
            chance = random.Random(f"{seed}/disks/{number}")
            share = chance.choice(SHARES[:-1]) * chance.uniform(0.8, 1.2)
            if number // len(works) % 5 == 4:
                share = ENOUGH
            root = folder / "cases" / str(number)
            limited = (number // len(works)) % 2 == 1
            how = _with_limit if limited or not mounts else _on_mount
            result, detail = how(
                place, name, wholes[name], folder / "whole" / name.replace(" ", "_"), share, root
            )
            yield keep(Outcome("disks", str(number), result, detail), root, folder, seed)


def _on_mount(
    place: Place, name: str, whole: Whole, written: Path, share: float, root: Path
) -> tuple[Result, str]:
    size = int(share * sum(-(-size // BLOCK) * BLOCK for size in _sizes(written)) + 2 * BLOCK)
    with mounted(root / "disk", size):
        ran = place.run(WORKS[name], root / "disk" / "out")
        result, told = judge(ran, name, root / "disk" / "out", whole)
    return result, f"{name}: a disk of {size} bytes ({share:.2f}), {ran.code}{told}"


def _with_limit(
    place: Place, name: str, whole: Whole, written: Path, share: float, root: Path
) -> tuple[Result, str]:
    size = int(share * max(_sizes(written), default=0))
    ran = place.run(WORKS[name], root / "out", preexec=partial(_limit, size))
    result, told = judge(ran, name, root / "out", whole)
    return result, f"{name}: files of at most {size} bytes ({share:.2f}), {ran.code}{told}"


def _limit(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def judge(ran: Ran, name: str, out: Path, whole: Whole) -> tuple[Result, str]:
    """Whether a command ended as it has to, and what was left."""
    last = f": {ran.said[-400:].strip()}"
    if ran.code is None:
        return Result.hang, last
    if ran.code < 0:
        return Result.signal, f": {signal.Signals(-ran.code).name}{last}"
    if ran.raw or ran.code == 1:
        return Result.raw, last
    names = names_of(out)
    looked = look(
        out, {found for found in names & whole.names if ran.code == 0 or not found.endswith(LINE_FILES)}
    )
    if looked.result is not None:
        return looked.result, f": looking at what is left: {looked.detail}"
    if wrong := wrong_in(looked.answer):
        return Result.partial, f": half under a final name: {wrong}{last if ran.code else ''}"
    if ran.code == 0:
        if told := differences(whole.names, names):
            return Result.partial, f": exit code 0, but {told}"
        if changed := changed_in(WORKS[name], looked.answer, whole.files):
            return Result.partial, f": exit code 0, but {changed}"
        return Result.right, ""
    left = {found for found in names - whole.names if not found.startswith(RESUMED)}
    leftovers = [
        found for found in left if found.endswith((".tmp", ".part")) or "/.yolox-deploy" in f"/{found}"
    ]
    if leftovers:
        return Result.partial, f": left {', '.join(sorted(leftovers)[:4])}"
    if ran.code != 2 or "/" not in ran.said or not any(word in ran.said for word in FULL):
        return Result.raw, f": expected exit code 2 and the path that has no room{last}"
    return Result.refused, ""


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """A tmpfs of so many bytes, unmounted in the end, whatever happened.

    Raises:
        OSError: it may not be mounted here.
    """
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise OSError(f"{folder} cannot be mounted: {error}") from error
    try:
        yield
    finally:
        _unmount(folder)


def _unmount(folder: Path) -> None:
    for more in ([], [], ["-l"]):  # what a child of the command still holds open
        if subprocess.run(["umount", *more, str(folder)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.2)


def may_mount(folder: Path) -> bool:
    """Whether this process may mount a tmpfs."""
    with suppress(OSError), mounted(folder, 64 * BLOCK):
        return True
    return False
