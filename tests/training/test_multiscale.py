"""Sizes drawn during training, and pictures and targets at another size."""

from __future__ import annotations

import torch

from yolox_deploy.training.learner import size_of_step, to_input

CPU = torch.device("cpu")


def test_one_size_for_ten_steps() -> None:
    sizes = [size_of_step(step, (640, 640), (448, 832), seed=1) for step in range(2000)]
    assert all(sizes[step] == sizes[step // 10 * 10] for step in range(2000))
    assert {height for height, _ in sizes} == set(range(448, 833, 32))
    assert all(height == width for height, width in sizes)
    assert sizes != [size_of_step(step, (640, 640), (448, 832), seed=2) for step in range(2000)]


def test_the_first_ten_steps_have_a_drawn_size_too() -> None:
    """The authors' code draws after ten steps for the first time."""
    assert len({size_of_step(0, (640, 640), (448, 832), seed=seed) for seed in range(50)}) > 5


def test_the_width_keeps_its_proportion() -> None:
    assert size_of_step(0, (320, 640), (320, 320), seed=0) == (320, 640)
    assert size_of_step(0, (320, 480), (160, 160), seed=0) == (160, 224)
    assert size_of_step(0, (640, 32), (320, 320), seed=0) == (320, 32)


def test_no_multiscale() -> None:
    assert {size_of_step(step, (64, 96), None, seed=0) for step in range(100)} == {(64, 96)}


def test_targets_follow_the_pictures() -> None:
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    images[:, :, 16:32, 32:48] = 200
    targets = torch.tensor([[[3.0, 40, 24, 16, 16], [0, 0, 0, 0, 0]]]).repeat(2, 1, 1)
    pixels, scaled = to_input(images, targets, (128, 96), CPU)
    assert pixels.shape == (2, 3, 128, 96)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert scaled[0].tolist() == [[3, 60, 48, 24, 32], [0, 0, 0, 0, 0]]
    rows, columns = torch.nonzero(pixels[0, 0] > 100, as_tuple=True)
    assert (int(rows.min()), int(rows.max()) + 1) == (32, 64)
    assert (int(columns.min()), int(columns.max()) + 1) == (48, 72)


def test_the_same_size_is_exact() -> None:
    images = torch.arange(256, dtype=torch.uint8).repeat(2, 3, 1).view(2, 3, 16, 16)
    targets = torch.rand(2, 4, 5)
    pixels, same = to_input(images, targets, (16, 16), CPU)
    assert torch.equal(pixels, images.float())
    assert same is targets
