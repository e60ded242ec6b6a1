"""BatchNorm that stays exact where a CPU trains on channels-last tensors.

PyTorch's kernel for that layout adds the pixels of a channel one after another in float32: over 1.6 million of them the
variance is off by 1e-3 of itself, where its kernel for NCHW, which adds in float64, is off by 2e-7.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

SUMS = {torch.float32: 8192, torch.bfloat16: 1024}
"""Sums that are kept side by side: the more, the fewer terms has each; more than fit a cache are slow."""
FEW = 8192
"""Pixels of a channel below which PyTorch's sums are exact enough, and merging ours would take longer than they do."""


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, with the same state dict, whose statistics on a CPU are as exact in either layout.

    The means and variances of many equal groups of pixels are merged in float64. They are columns of a view of the
    tensor, so that takes no more time than PyTorch's own pass. Only training on a CPU in float32 or bfloat16 differs.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and _is_inexact(input)):
            return super().forward(input)
        mean, variance = statistics_of(input)
        self._follow(mean, variance, input.numel() // input.shape[1])
        normalised: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, mean, variance, self.eps
        )
        return normalised

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, as PyTorch does: the variance is that of a sample."""
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.mul_(1 - self.momentum).add_(variance, alpha=self.momentum * count / (count - 1))


def _is_inexact(tensor: Tensor) -> bool:
    """Whether PyTorch would sum many pixels of a channel of `tensor` (B, C, H, W) one by one in float32."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype in SUMS
        and tensor.numel() > FEW * tensor.shape[1]
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )


@torch.no_grad()
def statistics_of(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the (biased) variance of each channel of a channels-last `tensor` (B, C, H, W), (C,) float32.

    PyTorch's kernel takes the statistics of k * C columns, k neighbouring pixels being a row: each column is a group
    of a channel. For groups of one size the mean is the mean of the means, and the variance the mean of the variances
    and the variance of the means (Chan, Golub and LeVeque, 1979).
    """
    channels = tensor.shape[1]
    pixels = tensor.numel() // channels
    groups, most = 1, SUMS[tensor.dtype]
    while pixels % (4 * groups) == 0 and 2 * groups * channels <= most:  # a group has two pixels or more
        groups *= 2
    rows = tensor.permute(0, 2, 3, 1).reshape(-1, groups * channels)
    unused = torch.zeros(rows.shape[1])  # float32: they keep the statistics of bfloat16 in it too
    means, variances = torch.batch_norm_update_stats(rows, unused, unused, 0.0)
    means = means.double().view(groups, channels)
    mean = means.mean(dim=0)
    variance = variances.view(groups, channels).mean(dim=0) + (means - mean).square().mean(dim=0)
    return mean.float(), variance.float()


class _Normalise(torch.autograd.Function):
    """Training's BatchNorm of x (B, C, H, W), whose mean and variance, (C,) float32, are known already."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        context.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        context.eps = eps
        return torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = context.saved_tensors
        found = torch.ops.aten.native_batch_norm_backward(
            gradient.contiguous(memory_format=torch.channels_last),
            x,
            weight,
            None,
            None,
            mean,
            inverse,
            True,
            context.eps,
            context.needs_input_grad[:3],
        )
        return (*found, None, None, None)
