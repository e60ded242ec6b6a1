"""BatchNorm of a checkpoint that has it folded into the convolutions, and the scale of the weights, found by measuring.

Folding throws away the mean and variance of each channel and the length of each filter, which the network does not need
but training does: without them a learning rate means another thing in each layer. Both come back from pictures: the
statistics are measured, the length is that of a new network, and gain and bias are such that the function stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.errors import InputError
from yolox_deploy.models.blocks import ConvBlock
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.training.validation import LetterboxedPictures

PICTURES, PICTURES_AT_ONCE = 64, 8
TOLERANCE = 1e-3
"""Of the outputs: of the largest value of a column where that is over 1, as sizes and offsets are."""
FILTER_NORM = nn.init.calculate_gain("leaky_relu", math.sqrt(5))
"""Length of a filter of any shape as PyTorch makes it (Kaiming, uniform, a = sqrt(5)): sqrt(1 / 3)."""
LEAST_NORM = 1e-6
"""Of a filter that is scaled; a shorter one answers nothing, and stays."""
FOLDED = (
    "BatchNorm of this checkpoint is folded into the convolutions and stays so (restore_batchnorm=false): its "
    "statistics are lost and training finds them again, so expect a slower start."
)


def is_folded(weights: Mapping[str, Tensor]) -> bool:
    """Whether all BatchNorm statistics are those of no data (mean 0, one variance) and the network is no new one."""
    means, variances, biases = (
        torch.cat([value for key, value in weights.items() if key.endswith(f".bn.{name}")])
        for name in ("running_mean", "running_var", "bias")
    )
    return not bool(means.any()) and bool((variances == variances[0]).all()) and bool(biases.any())


@torch.no_grad()
def restore_batchnorm(model: YOLOX, dataset: DetectionDataset, size: tuple[int, int], seed: int) -> str:
    """Give `model`, on the CPU and in float32, statistics and filters as if it had been trained with them, in place.

    Measured is in evaluation mode on up to `PICTURES` pictures, letterboxed to `size` (height, width). The outputs for
    some of them are compared with those before; where they differ by more than `TOLERANCE` all is as it was.

    Returns:
        A sentence on what was done.

    Raises:
        InputError: a picture cannot be read; names it.
    """
    chosen = np.random.default_rng([seed, PICTURES]).permutation(len(dataset))[:PICTURES].tolist()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    was_training = model.training
    model.eval()
    compared = next(_batches(dataset, size, chosen))
    expected = model(compared)
    blocks = [module for module in model.modules() if isinstance(module, ConvBlock)]
    for block, moments in zip(blocks, _measure(model, blocks, _batches(dataset, size, chosen)), strict=True):
        _restore(block, *moments)
    change = _change(expected, model(compared))
    is_same = change <= TOLERANCE
    if not is_same:
        model.load_state_dict(before)
    model.train(was_training)
    what = (
        f"BatchNorm of this checkpoint was folded into the convolutions; measured on {len(chosen)} pictures"
    )
    if is_same:
        return (
            f"{what}, it has statistics and filters of usual length again (outputs change by {change:.1g})."
        )
    return (
        f"{what}, it would change the outputs by {change:.1g}, more than {TOLERANCE:g}, so it stays folded: expect a "
        "slower start. A checkpoint with BatchNorm, as the training wrote it, needs none of this."
    )


def _batches(dataset: DetectionDataset, size: tuple[int, int], chosen: Sequence[int]) -> Iterator[Tensor]:
    """(B, 3, H, W) float32, BGR 0-255."""
    pictures = LetterboxedPictures(dataset, size)
    for first in range(0, len(chosen), PICTURES_AT_ONCE):
        images = []
        for index in chosen[first : first + PICTURES_AT_ONCE]:
            picture = pictures[index]
            if isinstance(picture, InputError):
                raise picture
            images.append(picture.image)
        yield torch.from_numpy(np.stack(images)).float()


def _measure(
    model: YOLOX, blocks: Sequence[ConvBlock], batches: Iterator[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """For each block the mean and variance (C,) of what its BatchNorm reads, in float64 and over all pictures."""
    sums = [torch.zeros(3, block.conv.out_channels, dtype=torch.float64) for block in blocks]
    handles = [
        block.conv.register_forward_hook(partial(_add, total))
        for block, total in zip(blocks, sums, strict=True)
    ]
    try:
        for images in batches:
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    means = [total / count for count, total, _ in sums]
    squares = [square / count for count, _, square in sums]
    return [(mean, (square - mean**2).clamp(min=0)) for mean, square in zip(means, squares, strict=True)]


def _add(total: Tensor, conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """Add the count, the sum and the sum of squares of each channel."""
    values = output.transpose(0, 1).flatten(1).double()
    total += torch.stack(
        [torch.full_like(values[:, 0], values.shape[1]), values.sum(1), values.square().sum(1)]
    )


def _restore(block: ConvBlock, mean: Tensor, variance: Tensor) -> None:
    """Scale the filters of `block` to `FILTER_NORM` and set its BatchNorm so that the function stays; all in float64.

    The function of a channel is y = s x + t. With k times the filter it is (s / k) (k x - k mean) + s mean + t, and
    BatchNorm divides by sqrt(k^2 variance + eps): a channel that never varies is divided by sqrt(eps).
    """
    norm = block.bn
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    slope = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - slope * norm.running_mean.double()
    lengths = block.conv.weight.double().flatten(1).norm(dim=1)
    factor = torch.where(lengths > LEAST_NORM, FILTER_NORM / lengths.clamp(min=LEAST_NORM), 1.0)
    block.conv.weight.mul_(factor.view(-1, 1, 1, 1))
    norm.running_mean.copy_(factor * mean)
    norm.running_var.copy_(factor**2 * variance)
    norm.weight.copy_(slope / factor * (factor**2 * variance + norm.eps).sqrt())
    norm.bias.copy_(slope * mean + shift)


def _change(before: Tensor, after: Tensor) -> float:
    """The largest difference of two outputs (B, N, 5 + C), each column by its largest value or 1; NaN stays NaN."""
    scale = before.abs().amax(dim=(0, 1)).clamp(min=1)
    return float(((after - before).abs().amax(dim=(0, 1)) / scale).max())
