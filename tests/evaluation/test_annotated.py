"""Annotated pictures by `--data`, or by `--images` with `--annotations`: one data set, or a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.evaluation.annotated import annotated, picture_paths
from yolox_deploy.synthetic import write_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "data", train=4, val=3, size=(64, 64))


def test_both_ways_open_the_same(scenes: Path) -> None:
    file = scenes / "annotations" / "instances_val.json"
    whole, parts = annotated(None, None, scenes), annotated(scenes / "val", file)
    assert whole is not None
    assert parts is not None
    assert whole.to_coco() == parts.to_coco()
    assert picture_paths(whole) == picture_paths(parts)
    train = annotated(None, None, scenes, "train")
    assert train is not None
    assert len(train) == 4
    assert picture_paths(train, 2) == (train.path(0), train.path(2))


def test_pictures_alone_have_no_annotations(scenes: Path) -> None:
    assert annotated(scenes / "val", None) is None
    assert annotated(None, None) is None


def test_half_and_twice_given_is_refused(scenes: Path) -> None:
    file = scenes / "annotations" / "instances_val.json"
    with pytest.raises(UsageError, match="add --images DIR"):
        annotated(None, file)
    with pytest.raises(UsageError, match="is a file; expected the folder of the pictures"):
        annotated(file, file)
    for images, found in ((scenes, None), (None, file), (scenes, file)):
        with pytest.raises(UsageError, match="give it alone"):
            annotated(images, found, scenes)
    with pytest.raises(UsageError, match="no split 'best'"):
        annotated(None, None, scenes, "best")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no data set folder"):
        annotated(None, None, scenes / "none")
