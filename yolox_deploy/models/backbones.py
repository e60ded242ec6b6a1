"""CSPDarknet: the backbone of YOLOX-Nano to YOLOX-X (paper, section 2.3, after YOLOv5)."""

from __future__ import annotations

from torch import Tensor, nn

from yolox_deploy.models.blocks import SPP, ConvBlock, CSPLayer, DepthwiseBlock, Focus, spatial_block


class CSPDarknet(nn.Module):
    """(B, 3, H, W) images to features at strides 8, 16 and 32.

    `depth` and `width` multiply 3 bottlenecks and 64 stem channels. `out_channels` names the channels of the
    three outputs.
    """

    def __init__(self, depth: float, width: float, *, depthwise: bool, activation: str) -> None:
        super().__init__()
        base = int(64 * width)
        repeats = max(round(3 * depth), 1)
        self.out_channels = (4 * base, 8 * base, 16 * base)

        def down(channels: int) -> ConvBlock | DepthwiseBlock:
            return spatial_block(depthwise)(channels, 2 * channels, 3, 2, activation)

        def csp(channels: int, depth: int, *, shortcut: bool = True) -> CSPLayer:
            return CSPLayer(channels, channels, depth, activation, shortcut=shortcut, depthwise=depthwise)

        self.stem = Focus(3, base, activation)
        self.dark2 = nn.Sequential(down(base), csp(2 * base, repeats))
        self.dark3 = nn.Sequential(down(2 * base), csp(4 * base, 3 * repeats))
        self.dark4 = nn.Sequential(down(4 * base), csp(8 * base, 3 * repeats))
        self.dark5 = nn.Sequential(
            down(8 * base),
            SPP(16 * base, 16 * base, activation),
            csp(16 * base, repeats, shortcut=False),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self.dark3(self.dark2(self.stem(images)))
        c4 = self.dark4(c3)
        return c3, c4, self.dark5(c4)
