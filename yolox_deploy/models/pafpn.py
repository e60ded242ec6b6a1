"""PAFPN: the neck that mixes the three feature levels top-down, then bottom-up."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yolox_deploy.models.backbones import CSPDarknet
from yolox_deploy.models.blocks import ConvBlock, CSPLayer, spatial_block


class PAFPN(nn.Module):
    """CSPDarknet and its path-aggregation feature pyramid.

    (B, 3, H, W) images to three feature maps at strides 8, 16 and 32 with `out_channels` channels.
    """

    def __init__(self, depth: float, width: float, *, depthwise: bool, activation: str) -> None:
        super().__init__()
        self.backbone = CSPDarknet(depth, width, depthwise=depthwise, activation=activation)
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
