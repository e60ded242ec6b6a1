"""Files that grow line by line: whole at any moment, whatever ends the program."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from yolox_deploy.detections import Detections
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.json_lines import LineFile, error_row, picture_row, read_rows


def test_lines_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.jsonl"
    with LineFile(path) as lines:
        for number in range(3):
            lines.write({"image": str(number)})
            assert len(list(read_rows(path))) == number + 1


@pytest.mark.parametrize("broken", [b"", b"{", b'{"image": "c"}', b"x" * 200_000])
def test_a_line_that_broke_off_is_cut_away(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"image": "a"}\n{"image": "b"}\n' + broken)
    assert [row["image"] for row in read_rows(path)] == ["a", "b"]
    with LineFile(path) as lines:
        lines.write({"image": "c"})
    assert path.read_bytes() == b'{"image": "a"}\n{"image": "b"}\n{"image": "c"}\n'


def test_a_first_line_that_broke_off_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"image": "a"')
    LineFile(path).close()
    assert path.read_bytes() == b""


def test_what_cannot_be_read_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"image": "a"}\n[1]\n')
    with pytest.raises(InputError, match=r"line 2 of .*x\.jsonl is no JSON object"):
        list(read_rows(path))
    path.write_bytes(b"\xff\n")
    with pytest.raises(InputError, match="line 1"):
        list(read_rows(path))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"x\.jsonl cannot be written"):
        LineFile(tmp_path / "file" / "x.jsonl")


def test_a_full_disk_leaves_whole_lines_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    program = (
        "import sys, pathlib\n"
        "from yolox_deploy.json_lines import LineFile\n"
        "with LineFile(pathlib.Path(sys.argv[1])) as lines:\n"
        "    for number in range(1000):\n"
        "        lines.write({'image': f'{number:04}'})\n"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, preexec_fn=limit
    )
    assert done.returncode == 1
    assert f"{path} cannot be written further (File too large); what it holds is whole" in done.stderr
    content = path.read_bytes()
    assert content.endswith(b"\n")
    assert [row["image"] for row in read_rows(path)] == [
        f"{number:04}" for number in range(len(content) // 18)
    ]


def test_a_row_is_read_back_as_the_same_detections() -> None:
    boxes, scores = np.array([[1.5, 2, 3.25, 4]], np.float32), np.array([1 / 3], np.float32)
    found = Detections(boxes, scores, np.array([1]), ("cat", "dog"))
    row = picture_row("a.jpg", found)
    assert list(row) == ["image", "detections"]
    assert Detections.from_dict(row, ("cat", "dog")) == found
    assert error_row("a.jpg", "broken") == {"image": "a.jpg", "error": "broken"}


@pytest.mark.skipif(sys.platform == "win32", reason="files are locked on POSIX alone")
def test_two_writers_of_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with LineFile(path) as lines:
        with pytest.raises(
            UsageError, match=r"x\.jsonl is being written by another process; wait for its end"
        ):
            LineFile(path)
        lines.write({"image": "a"})
    with LineFile(path) as lines:
        lines.write({"image": "b"})
    assert path.read_text().count("\n") == 2
