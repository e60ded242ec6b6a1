"""The network as it is deployed: pixels in, predictions out, with decoding inside where asked for."""

from __future__ import annotations

import torch  # noqa: TID253 - only imported from inside a conversion
from torch import Tensor, nn  # noqa: TID253

from yolox_deploy.postprocess import anchor_points


class DeployGraph(nn.Module):
    """Wraps a fused network for export.

    Args:
        network: (B, 3, H, W) float32 to (B, N, 5 + C), boxes undecoded.
        size: (H, W) in pixels.
        decode: turn tx, ty, tw, th into cx, cy, w, h in input pixels.
        uint8_input: take (B, H, W, 3) uint8 and convert it in the graph.
        priors: anchor boxes a location.
    """

    offsets: Tensor
    strides: Tensor

    def __init__(
        self,
        network: nn.Module,
        size: tuple[int, int],
        *,
        decode: bool = False,
        uint8_input: bool = False,
        priors: int = 1,
    ) -> None:
        super().__init__()
        self.network = network
        self.decode = decode
        self.uint8_input = uint8_input
        grid = anchor_points(size, priors=priors)
        self.register_buffer("offsets", torch.from_numpy(grid.offsets.copy()).float())
        self.register_buffer("strides", torch.from_numpy(grid.strides.copy()).float()[:, None])

    def forward(self, images: Tensor) -> Tensor:
        if self.uint8_input:
            images = images.permute(0, 3, 1, 2).to(torch.float32)
        predictions: Tensor = self.network(images)
        if not self.decode:
            return predictions
        centers, sizes, scores = torch.split(predictions, [2, 2, predictions.shape[2] - 4], dim=2)
        return torch.cat(((centers + self.offsets) * self.strides, sizes.exp() * self.strides, scores), dim=2)
