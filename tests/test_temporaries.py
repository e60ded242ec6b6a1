"""What a process leaves that is killed while it writes, links in the place of files, and files that are no files."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from yolox_deploy import temporaries
from yolox_deploy.errors import UsageError
from yolox_deploy.files import check_place, check_writable, naming, new_folder, replacing, write_text

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, links and permissions are POSIX's")
DAY = 24 * 3600

KILLED = """
import os, signal, sys
from contextlib import ExitStack
from pathlib import Path
from yolox_deploy.files import new_folder, replacing, temporary_folder
file, folder = Path(sys.argv[1]) / "file.json", Path(sys.argv[1]) / "folder"
with replacing(file) as part, new_folder(folder) as made, temporary_folder() as scratch:
    part.write_text("half")
    (made / "deep").mkdir()
    (made / "deep" / "file").write_text("half")
    (scratch / "file").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
WRITER = """
import sys
from pathlib import Path
from yolox_deploy.files import temporary_folder, write_text
write_text(Path(sys.argv[1]) / "another.json", "whole")
with temporary_folder():
    pass
"""


def run(code: str, folder: Path) -> int:
    """Run a program in a process of its own, with `folder/tmp` as the system's temporary folder."""
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        timeout=60,
        check=False,
    ).returncode


@posix
def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_there(tmp_path: Path) -> None:
    assert run(KILLED, tmp_path) == -signal.SIGKILL
    assert len(list(tmp_path.glob(".*"))) == 2
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    assert run(WRITER, tmp_path) == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["another.json", "tmp"]


@posix
def test_what_a_running_process_writes_is_left_alone(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as part, new_folder(tmp_path / "folder") as made:
        (made / "file").write_text("half")
        assert run(WRITER, tmp_path) == 0
        assert made.is_dir()
        assert part.is_file()
        part.write_text("whole")
    assert (tmp_path / "file").read_text() == "whole"
    assert (tmp_path / "folder" / "file").is_file()


@posix
@pytest.mark.parametrize(("age", "stays"), [(DAY - 100, True), (DAY + 100, False)])
def test_what_another_machine_left_stays_for_a_day_after_its_last_change(
    tmp_path: Path, age: float, stays: bool
) -> None:
    folder = tmp_path / ".run.00000000-1-00000000.tmp"
    folder.mkdir()
    (folder / "file").write_text("half")
    for path, seconds in ((folder / "file", age), (folder, 9 * DAY)):
        os.utime(path, (time.time() - seconds,) * 2)
    temporaries.sweep(tmp_path)
    assert folder.exists() == stays


def test_files_of_others_are_never_removed(tmp_path: Path) -> None:
    names = (
        ".a.tmp",
        "a.tmp",
        ".swp",
        ".a.00000000-1-0000000g.tmp",
        "a.00000000-1-00000000.tmp",
        ".a.1.1.tmp",
    )
    for name in names:
        (tmp_path / name).write_text("kept")
        os.utime(tmp_path / name, (0, 0))
    temporaries.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


@posix
def test_a_link_is_removed_without_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("kept")
    link = tmp_path / ".a.00000000-1-00000000.tmp"
    link.symlink_to(tmp_path / "kept")
    os.utime(link, (0, 0), follow_symlinks=False)
    temporaries.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").is_file()


@posix
def test_a_name_as_long_as_disks_take_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / ("ä" * 127), "text")
    assert [path.name for path in tmp_path.iterdir()] == ["ä" * 127]


@posix
def test_a_link_stays_and_the_file_that_it_names_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(Path("folder") / "target")
    for text in ("first", "second"):
        write_text(link, text)
        assert (link.is_symlink(), target.read_text()) == (True, text)
    assert [path.name for path in target.parent.iterdir()] == ["target"]


@posix
def test_a_link_to_an_empty_folder_stays_too(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    with new_folder(tmp_path / "link") as made:
        (made / "file").write_text("text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target" / "file").read_text() == "text"


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root alone gives files away")
def test_a_link_that_another_user_laid_where_all_may_write_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / "report.json"
    link.symlink_to(tmp_path / "precious")
    os.lchown(link, 12345, 12345)
    with pytest.raises(UsageError, match="a link of another user is not followed"):
        check_writable(link, "--out")
    with pytest.raises(PermissionError, match=r"report\.json"):
        write_text(link, "new")
    assert (tmp_path / "precious").read_text() == "kept"


@posix
def test_temporary_files_are_new_ones_with_the_permissions_that_the_user_wants(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "text")
        with new_folder(tmp_path / "folder"):
            private = next(path for path in tmp_path.iterdir() if path.name.startswith("."))
            assert private.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("file", "folder")]
    assert modes == [0o640, 0o750]


def loop(folder: Path) -> Path:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    return folder / "a"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


BAD_PLACES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a name too long": (lambda folder: folder / ("x" * 256), "File name too long"),
    "NUL in a name": (lambda folder: folder / "a\0b", "NUL"),
    "a link without end": (loop, "Too many levels of symbolic links"),
    "a pipe": (pipe, "no regular file"),
    "a device": (lambda folder: Path("/dev/null"), "no regular file"),
}


@posix
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("kind", BAD_PLACES)
def test_a_place_that_cannot_be_is_one_clear_message(tmp_path: Path, kind: str, folder: bool) -> None:
    make, said = BAD_PLACES[kind]
    place = make(tmp_path)
    expected = said if not folder or "file" not in said else "is a file; expected a folder"
    with pytest.raises(UsageError, match=re.escape(expected)) as caught:
        check_place(place, "--out", folder=folder)
    assert str(caught.value).startswith("--out: ")
    assert len(str(caught.value)) < 500


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_must_not_be_written_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    file.chmod(0o444)
    with pytest.raises(UsageError, match="Permission denied"):
        check_writable(file, "--out")
    with pytest.raises(PermissionError, match="file"):
        write_text(file, "new")
    assert file.read_text() == "kept"


FULL = """
import resource, sys
from pathlib import Path
from yolox_deploy.files import replacing
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with replacing(Path(sys.argv[1]) / "file") as part:
        part.write_text("half")
        raise RuntimeError("a library that says nothing of the disk")
except OSError as error:
    sys.exit(0 if error.filename.endswith("/file") and type(error.__cause__) is RuntimeError else 1)
"""


@posix
def test_what_a_library_raises_on_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    assert run(FULL, tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]


def test_what_a_library_raises_elsewhere_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="its own"), naming(tmp_path / "file"):
        raise RuntimeError("its own")
    with pytest.raises(OSError, match="other") as caught, naming(tmp_path / "file"):
        raise OSError(errno.EACCES, "no", "other")
    assert caught.value.filename == "other"
