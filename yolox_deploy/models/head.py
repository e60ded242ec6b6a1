"""The decoupled, anchor-free head (paper, section 2.1 and Figure 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from yolox_deploy.models.blocks import ConvBlock, spatial_block

PRIOR_PROBABILITY = 0.01
"""What a new class or objectness predictor answers everywhere, so early losses are not all background."""


def flatten_levels(levels: Sequence[Tensor]) -> Tensor:
    """Join level maps (B, K, H_i, W_i) into one (B, N, K) tensor, row-major inside a level.

    Transposing before joining keeps the join a plain copy for channels-last maps.
    """
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)


class DecoupledHead(nn.Module):
    """Predicts, per anchor point and with nothing shared between levels, a box, objectness and classes.

    Takes one (B, `in_channels[i]`, H_i, W_i) map a level and returns (B, N, 5 + C), N = sum of H_i * W_i.
    The columns are tx, ty, tw, th (undecoded), objectness, classes: probabilities in evaluation mode,
    logits in training mode.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        width: float = 1.0,
        depthwise: bool = False,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        channels = int(256 * width)
        block = spatial_block(depthwise)

        def tower() -> nn.Sequential:
            return nn.Sequential(*(block(channels, channels, 3, 1, activation) for _ in range(2)))

        def predictors(outputs: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(channels, outputs, 1) for _ in in_channels)

        self.cls_convs = nn.ModuleList(tower() for _ in in_channels)
        self.reg_convs = nn.ModuleList(tower() for _ in in_channels)
        self.cls_preds = predictors(num_classes)
        self.reg_preds = predictors(4)
        self.obj_preds = predictors(1)
        self.stems = nn.ModuleList(ConvBlock(inputs, channels, 1, 1, activation) for inputs in in_channels)
        set_prior(self.cls_preds)
        set_prior(self.obj_preds)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return flatten_levels([self._predict(i, feature) for i, feature in enumerate(features)])

    def _predict(self, i: int, feature: Tensor) -> Tensor:
        """(B, 5 + C, H_i, W_i) predictions of level `i`."""
        x = self.stems[i](feature)
        box_features = self.reg_convs[i](x)
        boxes = self.reg_preds[i](box_features)
        objectness = self.obj_preds[i](box_features)
        classes = self.cls_preds[i](self.cls_convs[i](x))
        if not self.training:
            objectness, classes = objectness.sigmoid(), classes.sigmoid()
        return torch.cat((boxes, objectness, classes), dim=1)


def set_prior(predictors: nn.ModuleList) -> None:
    """Set the biases so that a sigmoid answers `PRIOR_PROBABILITY` (focal loss paper, section 4.1)."""
    for predictor in predictors:
        assert isinstance(predictor, nn.Conv2d)
        assert predictor.bias is not None
        nn.init.constant_(predictor.bias, -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))
