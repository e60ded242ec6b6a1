"""How files are written whole."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from yolox_deploy.files import replacing, write_text


def test_a_whole_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    write_text(file, "old")
    write_text(file, "nëw")
    assert file.read_text(encoding="utf-8") == "nëw"
    assert list(tmp_path.iterdir()) == [file]


def broken_off(file: Path, keep: Path | None = None) -> None:
    """Write half of `file`, then be interrupted."""
    with replacing(file, keep=keep) as part:
        part.write_text("half")
        raise KeyboardInterrupt


@pytest.mark.parametrize("before", [None, "old"])
def test_a_write_that_breaks_off_changes_nothing(tmp_path: Path, before: str | None) -> None:
    file = tmp_path / "file.json"
    if before is not None:
        file.write_text(before)
    with pytest.raises(KeyboardInterrupt):
        broken_off(file)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == (
        {"file.json": before} if before else {}
    )


def test_what_came_may_be_kept_to_go_on_with(tmp_path: Path) -> None:
    left = tmp_path / "file.json.part"
    with pytest.raises(KeyboardInterrupt):
        broken_off(tmp_path / "file.json", keep=left)
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == [(left, "half")]


def test_a_name_that_cannot_be_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_text(tmp_path / "folder", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_error_of_the_block_is_the_one_that_is_told(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "file") as part:
            part.unlink()
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        fail()


def test_threads_that_write_the_same_file_do_not_write_into_each_other(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def write(text: str) -> None:
        with replacing(tmp_path / "file") as part:
            part.write_text(text[:1])
            both.wait(10)
            with part.open("a") as file:
                file.write(text[1:])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ("aaa", "bbb")))
    assert (tmp_path / "file").read_text() in ("aaa", "bbb")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
