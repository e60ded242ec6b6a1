"""What a source means: files, folders below folders, globs, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.paths import find


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def names(source: str | Path, *leave: Path) -> list[str]:
    return [found.name.as_posix() for found in find(source, leave)]


def test_a_folder_gives_its_own_files_first_and_then_the_folders_below(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a.JPG", "z.MP4", "notes.txt", "a/2.jpeg", "a/10.jpg", "a/deep/x.tif", "c/1.webp")
    assert names(tmp_path) == ["a.JPG", "b.png", "z.MP4", "a/10.jpg", "a/2.jpeg", "a/deep/x.tif", "c/1.webp"]


def test_what_is_hidden_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, ".thumbs/a.jpg", "._b.jpg", "c.jpg", "d/.cache/e.jpg")
    assert names(tmp_path) == ["c.jpg"]


def test_a_folder_of_results_is_left_out_and_refused_as_a_source(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(tmp_path, "a.jpg", "out/a.jpg", "sub/b.jpg")
    assert names(tmp_path, out) == ["a.jpg", "sub/b.jpg"]
    assert names(f"{tmp_path}/**/*.jpg", out) == ["a.jpg", "sub/b.jpg"]
    for source in (out, out / "a.jpg"):
        with pytest.raises(UsageError, match="choose another folder for them with --out"):
            find(source, [out])


def test_links_that_go_round_end(tmp_path: Path) -> None:
    make(tmp_path, "one/a.jpg", "two/b.jpg")
    (tmp_path / "one" / "over").symlink_to(tmp_path / "two")
    (tmp_path / "two" / "back").symlink_to(tmp_path / "one")
    (tmp_path / "two" / "self").symlink_to(tmp_path)
    assert names(tmp_path) == ["one/a.jpg", "one/over/b.jpg"]
    assert names(f"{tmp_path}/**/*.jpg") == names(tmp_path)


def test_a_link_that_leads_nowhere_is_given_and_not_dropped(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    assert names(tmp_path) == ["a.jpg", "b.jpg"]


def test_names_of_a_glob_begin_where_it_branches(tmp_path: Path) -> None:
    make(tmp_path, "cam1/day/a.jpg", "cam2/day/a.jpg", "cam2/day/notes.txt", "cam3/a.mp4")
    assert names(f"{tmp_path}/cam*/day/*") == ["cam1/day/a.jpg", "cam2/day/a.jpg"]
    assert names(f"{tmp_path}/cam2/day/*.jpg") == ["a.jpg"]
    assert names(f"{tmp_path}/**") == ["cam1/day/a.jpg", "cam2/day/a.jpg", "cam3/a.mp4"]


def test_a_glob_of_files_without_known_suffixes_takes_them_at_their_word(tmp_path: Path) -> None:
    make(tmp_path, "scan_1", "scan_2")
    assert names(f"{tmp_path}/scan_*") == ["scan_1", "scan_2"]


def test_an_error_names_what_is_there_instead(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "b.txt", "sub/c.heic", "out/drawn.jpg")
    with pytest.raises(
        InputError, match=r"expected pictures or videos in it or below .*, found 2 \.txt, 1 \.heic"
    ):
        find(tmp_path, [tmp_path / "out"])
    with pytest.raises(InputError, match=r"not counting .*out, where results are written"):
        find(tmp_path, [tmp_path / "out"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found no file"):
        find(tmp_path / "empty")
    with pytest.raises(InputError, match="expected an existing file, folder or glob"):
        find(tmp_path / "*.jpg")
    with pytest.raises(InputError, match=r"it matches folders alone: end it with /\*\*"):
        find(tmp_path / "s*")
