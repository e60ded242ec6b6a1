"""The trunks: a backbone, and the neck that mixes its three feature levels.

CSPDarknet and PAFPN carry YOLOX-Nano to YOLOX-X (paper, section 2.3, after YOLOv5); Darknet-53 and the feature
pyramid of YOLOv3 carry YOLOX-Darknet53 (section 2.1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yolox_deploy.models.blocks import (
    SPP,
    ConvBlock,
    CSPLayer,
    DepthwiseBlock,
    Focus,
    ResidualBlock,
    spatial_block,
)

STEM_CHANNELS = 32


class CSPDarknet(nn.Module):
    """(B, `channels`, H, W) images to features at strides 8, 16 and 32.

    `depth` and `width` multiply 3 bottlenecks and 64 stem channels. `out_channels` names the channels of the
    three outputs.
    """

    def __init__(
        self, depth: float, width: float, *, depthwise: bool, activation: str, channels: int = 3
    ) -> None:
        super().__init__()
        base = int(64 * width)
        repeats = max(round(3 * depth), 1)
        self.out_channels = (4 * base, 8 * base, 16 * base)

        def down(channels: int) -> ConvBlock | DepthwiseBlock:
            return spatial_block(depthwise)(channels, 2 * channels, 3, 2, activation)

        def csp(channels: int, depth: int, *, shortcut: bool = True) -> CSPLayer:
            return CSPLayer(channels, channels, depth, activation, shortcut=shortcut, depthwise=depthwise)

        self.stem = Focus(channels, base, activation)
        self.dark2 = nn.Sequential(down(base), csp(2 * base, repeats))
        self.dark3 = nn.Sequential(down(2 * base), csp(4 * base, 3 * repeats))
        self.dark4 = nn.Sequential(down(4 * base), csp(8 * base, 3 * repeats))
        self.dark5 = nn.Sequential(
            down(8 * base), SPP(16 * base, 16 * base, activation), csp(16 * base, repeats, shortcut=False)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self.dark3(self.dark2(self.stem(images)))
        c4 = self.dark4(c3)
        return c3, c4, self.dark5(c4)


class PAFPN(nn.Module):
    """CSPDarknet and its path-aggregation feature pyramid.

    (B, `channels`, H, W) images to three feature maps at strides 8, 16 and 32 with `out_channels` channels.
    """

    def __init__(
        self, depth: float, width: float, *, depthwise: bool, activation: str, channels: int = 3
    ) -> None:
        super().__init__()
        self.backbone = CSPDarknet(
            depth, width, depthwise=depthwise, activation=activation, channels=channels
        )
        c3, c4, c5 = self.out_channels = self.backbone.out_channels
        repeats = round(3 * depth)
        block = spatial_block(depthwise)

        def csp(in_channels: int, out_channels: int) -> CSPLayer:
            return CSPLayer(
                in_channels, out_channels, repeats, activation, shortcut=False, depthwise=depthwise
            )

        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral_conv0 = ConvBlock(c5, c4, 1, 1, activation)
        self.C3_p4 = csp(2 * c4, c4)
        self.reduce_conv1 = ConvBlock(c4, c3, 1, 1, activation)
        self.C3_p3 = csp(2 * c3, c3)
        self.bu_conv2 = block(c3, c3, 3, 2, activation)
        self.C3_n3 = csp(2 * c3, c4)
        self.bu_conv1 = block(c4, c4, 3, 2, activation)
        self.C3_n4 = csp(2 * c4, c5)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3, c4, c5 = self.backbone(images)
        lateral5 = self.lateral_conv0(c5)
        lateral4 = self.reduce_conv1(self.C3_p4(torch.cat((self.upsample(lateral5), c4), dim=1)))
        p3 = self.C3_p3(torch.cat((self.upsample(lateral4), c3), dim=1))
        p4 = self.C3_n3(torch.cat((self.bu_conv2(p3), lateral4), dim=1))
        p5 = self.C3_n4(torch.cat((self.bu_conv1(p4), lateral5), dim=1))
        return p3, p4, p5


def _stage(in_channels: int, residuals: int, activation: str) -> list[nn.Module]:
    """A stride-2 convolution that doubles the channels, then residual blocks."""
    out_channels = 2 * in_channels
    blocks = (ResidualBlock(out_channels, activation) for _ in range(residuals))
    return [ConvBlock(in_channels, out_channels, 3, 2, activation), *blocks]


def _alternating(
    in_channels: int, channels: int, activation: str, *, pooled: bool = False
) -> list[nn.Module]:
    """Five convolutions, 1x1 and 3x3 in turn, ending with `channels`; `pooled`: spatial pyramid pooling amid them."""
    wide = 2 * channels
    return [
        ConvBlock(in_channels, channels, 1, 1, activation),
        ConvBlock(channels, wide, 3, 1, activation),
        SPP(wide, channels, activation) if pooled else ConvBlock(wide, channels, 1, 1, activation),
        ConvBlock(channels, wide, 3, 1, activation),
        ConvBlock(wide, channels, 1, 1, activation),
    ]


class Darknet53(nn.Module):
    """(B, `channels`, H, W) images to features at strides 8, 16 and 32; `width` multiplies 32 stem channels."""

    def __init__(self, width: float, *, activation: str, channels: int = 3) -> None:
        super().__init__()
        base = int(STEM_CHANNELS * width)
        self.out_channels = (8 * base, 16 * base, 16 * base)
        self.stem = nn.Sequential(ConvBlock(channels, base, 3, 1, activation), *_stage(base, 1, activation))
        self.dark2 = nn.Sequential(*_stage(2 * base, 2, activation))
        self.dark3 = nn.Sequential(*_stage(4 * base, 8, activation))
        self.dark4 = nn.Sequential(*_stage(8 * base, 8, activation))
        self.dark5 = nn.Sequential(
            *_stage(16 * base, 4, activation), *_alternating(32 * base, 16 * base, activation, pooled=True)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self.dark3(self.dark2(self.stem(images)))
        c4 = self.dark4(c3)
        return c3, c4, self.dark5(c4)


class DarknetFPN(nn.Module):
    """Darknet-53 and its top-down pyramid.

    (B, `channels`, H, W) images to three feature maps at strides 8, 16 and 32 with `out_channels` channels.
    """

    def __init__(self, width: float, *, activation: str, channels: int = 3) -> None:
        super().__init__()
        self.backbone = Darknet53(width, activation=activation, channels=channels)
        c3, c4, c5 = self.backbone.out_channels
        p4, p3 = c5 // 2, c5 // 4
        self.out_channels = (p3, p4, c5)
        self.out1_cbl = ConvBlock(c5, p4, 1, 1, activation)
        self.out1 = nn.Sequential(*_alternating(p4 + c4, p4, activation))
        self.out2_cbl = ConvBlock(p4, p3, 1, 1, activation)
        self.out2 = nn.Sequential(*_alternating(p3 + c3, p3, activation))
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3, c4, p5 = self.backbone(images)
        p4 = self.out1(torch.cat((self.upsample(self.out1_cbl(p5)), c4), dim=1))
        p3 = self.out2(torch.cat((self.upsample(self.out2_cbl(p4)), c3), dim=1))
        return p3, p4, p5
