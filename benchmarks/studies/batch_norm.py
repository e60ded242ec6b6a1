"""How exact BatchNorm is on a CPU, and what that costs: PyTorch's in both layouts, and ours.

Protocol: `python -m yolox_deploy.benchmarks.studies.batch_norm [MODEL SIZE BATCH ROUNDS]`, by default yolox_nano 416 8
10. Errors: of the statistics of normal noise (mean 100, deviation 30, seed 0), against float64; the greatest over the
channels, of the mean in deviations, of the variance in itself. Price: the whole training step of `training_step` with
channels-last tensors, with PyTorch's BatchNorm and with ours in turn; medians of wall clock, hold the ratios.
"""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING

from yolox_deploy.benchmarks.studies.training_step import PARTS, WARM_UP_ROUNDS, Case, make_way
from yolox_deploy.benchmarks.studies.turns import take_turns

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SHAPES = ((16, 16, 320, 320), (8, 16, 208, 208), (2, 32, 320, 320), (8, 64, 26, 26))


def error(measured: tuple[Tensor, Tensor], tensor: Tensor) -> tuple[float, float]:
    """Greatest error of a mean (in deviations) and of a variance (in itself), (C,) each, of `tensor`'s channels."""
    exact = tensor.double()
    mean, variance = exact.mean((0, 2, 3)), exact.var((0, 2, 3), correction=0)
    found_mean, found_variance = (value.double() for value in measured)
    far = (found_mean - mean).abs() / variance.sqrt()
    return float(far.max()), float(((found_variance - variance) / variance).abs().max())


def stock_statistics(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel as PyTorch's BatchNorm takes them, in the layout of `tensor`."""
    import torch

    unused = torch.zeros(tensor.shape[1])
    mean, variance = torch.batch_norm_update_stats(tensor, unused, unused, 0.0)
    return mean, variance


def errors(shape: tuple[int, int, int, int], dtype: torch.dtype) -> dict[str, tuple[float, float]]:
    """Name -> errors of mean and variance, for a tensor of `shape`."""
    import torch

    from yolox_deploy.models.batch_norm import statistics_of

    torch.manual_seed(0)
    tensor = (30 * torch.randn(shape) + 100).to(dtype)
    other = tensor.contiguous(memory_format=torch.channels_last)
    return {
        "PyTorch, NCHW": error(stock_statistics(tensor), tensor),
        "PyTorch, channels last": error(stock_statistics(other), tensor),
        "ours, channels last": error(statistics_of(other), tensor),
    }


def with_stock(model: nn.Module) -> None:
    """Give every BatchNorm of `model` PyTorch's own forward pass."""
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = nn.BatchNorm2d


def price(case: Case, rounds: int) -> dict[str, float]:
    """Way -> median milliseconds of a training step."""
    ways = {}
    for precision in ("float32", "bfloat16"):
        ways[f"{precision}, PyTorch's"] = make_way(case, precision, with_stock)
        ways[f"{precision}, ours"] = make_way(case, precision)
    samples = take_turns(ways, rounds, warm_up=WARM_UP_ROUNDS)
    step = PARTS.index("step")
    return {way: statistics.median(turn[step] for turn in taken) for way, taken in samples.items()}


def main(arguments: list[str]) -> None:
    """Print the errors and the price of the case on the command line."""
    import torch

    from yolox_deploy.host import keep_freed_memory

    keep_freed_memory()
    print("| tensor | dtype | kernel | mean | variance |", "|---|---|---|---|---|", sep="\n")
    for shape in SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            for name, (mean, variance) in errors(shape, dtype).items():
                print(f"| {shape} | {dtype} | {name} | {mean:.1e} | {variance:.1e} |")
    case = Case(arguments[0], int(arguments[1]), int(arguments[2])) if len(arguments) > 2 else Case()
    medians = price(case, int(arguments[3]) if len(arguments) > 3 else 10)
    print(f"{case.model} {case.size}x{case.size}, batch {case.batch}")
    for precision in ("float32", "bfloat16"):
        stock, ours = medians[f"{precision}, PyTorch's"], medians[f"{precision}, ours"]
        print(f"{precision}: {stock:.1f} ms, ours {ours:.1f} ms, ratio {ours / stock:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
