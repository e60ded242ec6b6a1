"""Building blocks of the backbones, necks and heads.

All tensors are (batch, channels, height, width). Attribute names are those of the official state dicts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from yolox_deploy.errors import UsageError
from yolox_deploy.models.batch_norm import BatchNorm2d

BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.03


def make_activation(name: str) -> nn.Module:
    """`silu`, `relu`, or `lrelu` with slope 0.1.

    Not in place: for the gradient of SiLU, autograd would first copy what is overwritten. `fuse` sets it so.
    """
    if name == "silu":
        return nn.SiLU()
    if name == "lrelu":
        return nn.LeakyReLU(0.1)
    if name == "relu":
        return nn.ReLU()
    raise UsageError(f"the activation is {name!r}; expected silu, lrelu or relu")


class StridedDepthwise(nn.Conv2d):
    """A depthwise convolution of stride 2, which a CPU trains in float32 under autocast too.

    oneDNN has no fast kernel for the gradient of its input in bfloat16: there it takes 8 to 60 times as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class ConvBlock(nn.Module):
    """Convolution without bias, BatchNorm, activation; keeps height and width at stride 1."""

    conv: nn.Conv2d
    bn: nn.Module

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        activation: str,
        *,
        groups: int = 1,
    ) -> None:
        super().__init__()
        convolution = StridedDepthwise if groups > 1 and stride > 1 else nn.Conv2d
        self.conv = convolution(
            in_channels, out_channels, kernel, stride, padding=(kernel - 1) // 2, groups=groups, bias=False
        )
        # A state dict does not hold eps: left to its default of 1e-5, official weights are silently wrong.
        self.bn = BatchNorm2d(out_channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)
        self.act = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.bn(self.conv(x)))
        return y


class DepthwiseBlock(nn.Module):
    """Depthwise convolution, then a 1x1 convolution, each with BatchNorm and activation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, activation: str
    ) -> None:
        super().__init__()
        self.dconv = ConvBlock(in_channels, in_channels, kernel, stride, activation, groups=in_channels)
        self.pconv = ConvBlock(in_channels, out_channels, 1, 1, activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pconv(self.dconv(x))
        return y


def spatial_block(depthwise: bool) -> type[ConvBlock] | type[DepthwiseBlock]:
    """The block for convolutions larger than 1x1."""
    return DepthwiseBlock if depthwise else ConvBlock


class Bottleneck(nn.Module):
    """1x1 then 3x3 convolution, with an optional identity shortcut."""

    def __init__(self, channels: int, activation: str, *, shortcut: bool, depthwise: bool) -> None:
        super().__init__()
        self.conv1 = ConvBlock(channels, channels, 1, 1, activation)
        self.conv2 = spatial_block(depthwise)(channels, channels, 3, 1, activation)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class CSPLayer(nn.Module):
    """Cross-stage partial layer: half of the channels pass `depth` bottlenecks, the other half pass by."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int,
        activation: str,
        *,
        shortcut: bool = True,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.conv1 = ConvBlock(in_channels, hidden, 1, 1, activation)
        self.conv2 = ConvBlock(in_channels, hidden, 1, 1, activation)
        self.conv3 = ConvBlock(2 * hidden, out_channels, 1, 1, activation)
        self.m = nn.Sequential(
            *(Bottleneck(hidden, activation, shortcut=shortcut, depthwise=depthwise) for _ in range(depth))
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv3(torch.cat((self.m(self.conv1(x)), self.conv2(x)), dim=1))
        return y


class ResidualBlock(nn.Module):
    """Darknet's residual block: 1x1 to half the channels, 3x3 back, plus the input."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        self.layer1 = ConvBlock(channels, channels // 2, 1, 1, activation)
        self.layer2 = ConvBlock(channels // 2, channels, 3, 1, activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.layer2(self.layer1(x))
        return y


class SPP(nn.Module):
    """Spatial pyramid pooling: the input beside its max pools over 5x5, 9x9 and 13x13 windows."""

    def __init__(self, in_channels: int, out_channels: int, activation: str) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.conv1 = ConvBlock(in_channels, hidden, 1, 1, activation)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.conv2 = ConvBlock(4 * hidden, out_channels, 1, 1, activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        # Two 5x5 pools in a row are exactly one of 9x9, three are one of 13x13, at a fraction of the work.
        pool5 = self.pool(x)
        pool9 = self.pool(pool5)
        pool13 = self.pool(pool9)
        y: Tensor = self.conv2(torch.cat((x, pool5, pool9, pool13), dim=1))
        return y


class Focus(nn.Module):
    """Stem: the four pixel phases of the image beside one another (half size, 4 x channels), then 3x3."""

    PHASES: Sequence[tuple[int, int]] = ((0, 0), (1, 0), (0, 1), (1, 1))
    """(row, column) offset of each group of channels."""

    def __init__(self, in_channels: int, out_channels: int, activation: str) -> None:
        super().__init__()
        self.conv = ConvBlock(len(self.PHASES) * in_channels, out_channels, 3, 1, activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(torch.cat([x[..., row::2, column::2] for row, column in self.PHASES], dim=1))
        return y
