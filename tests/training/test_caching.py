"""Pictures in memory: the same samples and figures to the bit, shared by workers, refused where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from yolox_deploy.data import open_dataset
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.host import available_memory
from yolox_deploy.synthetic import write_scenes
from yolox_deploy.training import TrainConfig, Trainer, caching
from yolox_deploy.training.augment.pipeline import Augmenter
from yolox_deploy.training.caching import CachedDataset, cache_splits
from yolox_deploy.training.config import Augmentation
from yolox_deploy.training.splits import Splits
from yolox_deploy.training.validation import LetterboxedPictures, Picture

SIZE = (96, 128)
MIXED = Augmentation(mosaic=0.5, mixup=0.5, copy_paste=0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """Pictures of 211x317, larger than the samples and not of their shape, where rounding shows, and of 64x64."""
    folder = tmp_path_factory.mktemp("data")
    write_scenes(folder / "large", train=6, val=3, size=(211, 317))
    write_scenes(folder / "small", train=4, val=2, size=(64, 64))
    return Splits(open_dataset(folder / "large", "train"), open_dataset(folder / "small", "train"))


def silent(text: str) -> None:
    pass


def test_samples_are_the_same_to_the_bit(data: Splits) -> None:
    for plain, cached in zip(data, cache_splits(data, SIZE, 0, silent), strict=True):
        assert isinstance(cached, CachedDataset)
        for strong in (True, False):
            for index in range(len(plain)):
                one, other = (
                    Augmenter(each, SIZE, MIXED)(index, np.random.default_rng([7, index]), strong=strong)
                    for each in (plain, cached)
                )
                assert np.array_equal(one.image, other.image)
                assert np.array_equal(one.targets, other.targets)


def test_evaluated_pictures_are_the_same_to_the_bit(data: Splits) -> None:
    for plain, cached in zip(data, cache_splits(data, SIZE, 0, silent), strict=True):
        for index in range(len(plain)):
            one, other = LetterboxedPictures(plain, SIZE)[index], LetterboxedPictures(cached, SIZE)[index]
            assert isinstance(one, Picture)
            assert isinstance(other, Picture)
            assert np.array_equal(one.image, other.image)
            assert one.letterbox == other.letterbox


def test_large_pictures_are_kept_reduced_and_nobody_changes_them(data: Splits) -> None:
    texts: list[str] = []
    train, val = cache_splits(data, SIZE, 0, texts.append)
    assert train.load(0).shape == (85, 128, 3)
    assert val.load(0).shape == (64, 64, 3)
    assert not train.load(0).flags.writeable
    need = 3 * (6 * 85 * 128 + 4 * 64 * 64)
    assert texts[0].startswith(f"10 pictures are in memory: {need / 1e9:.2f} GB")


def test_a_picture_that_is_not_of_its_annotated_size_is_read_from_its_file(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "data", train=2, val=1, size=(64, 64))
    other = np.full((40, 50, 3), 90, np.uint8)
    cv2.imwrite(str(folder / "train" / "000001.jpg"), other)
    data = Splits(open_dataset(folder, "train"), open_dataset(folder, "val"))
    train, _ = cache_splits(data, (32, 32), 0, silent)
    assert [train.load(index).shape for index in range(2)] == [(40, 50, 3), (32, 32, 3)]
    (folder / "train" / "000002.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"000002\.jpg"):
        cache_splits(data, (32, 32), 0, silent)


def test_what_does_not_fit_is_refused(data: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "available_memory", lambda: 200_000)
    with pytest.raises(UsageError, match=r"take 0\.00 GB and 0\.00 GB of memory.*leave out --cache"):
        cache_splits(data, SIZE, 0, silent)
    monkeypatch.setattr(caching, "available_memory", lambda: None)
    assert len(cache_splits(data, SIZE, 0, silent).train) == 6
    monkeypatch.setattr(caching.sys, "platform", "darwin")
    with pytest.raises(UsageError, match="workers=0"):
        cache_splits(data, SIZE, 1, silent)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_ends_the_same_with_and_without(tmp_path: Path, workers: int) -> None:
    folder = write_scenes(tmp_path / "data", train=6, val=2, size=(90, 130))
    config = TrainConfig("yolox_nano@0.0625", folder, tmp_path / "plain", epochs=2, batch=3, imgsz=(64, 64))
    config = replace(config, workers=workers, precision="fp32", multiscale=(32, 96))
    plain = Trainer(config)
    cached = Trainer(replace(config, out=tmp_path / "cached", cache=True))
    assert plain.fit().figures == cached.fit().figures
    for one, other in zip(
        plain.learner.state()["raw"].values(), cached.learner.state()["raw"].values(), strict=True
    ):
        assert torch.equal(one, other)
    assert Trainer(replace(config, cache=True), resume=True).fit().epochs == 2, "where, not what it learns"


def test_the_memory_at_hand_is_known_on_linux() -> None:
    room = available_memory()
    assert (room is None) == (caching.sys.platform != "linux")
    assert room is None or 1e7 < room < 1e15
