"""The coupled head of YOLOv3, where the paper's roadmap starts (section 2.1, Figure 2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from yolox_deploy.models.blocks import spatial_block
from yolox_deploy.models.heads import PRIOR_LOGIT, DetectionHead, Part
from yolox_deploy.models.zoo import ModelConfig


class CoupledHead(DetectionHead):
    """Predicts everything from one 3x3 convolution a level, which doubles the channels, as YOLOv3 does.

    With Darknet-53 and 3 priors it has the 63.00 M parameters of Table 2. See `DetectionHead` for the output.
    """

    def __init__(self, config: ModelConfig, in_channels: Sequence[int], num_classes: int) -> None:
        super().__init__(num_classes, config.priors)
        block, priors = spatial_block(config.depthwise), config.priors
        doubled = [2 * channels for channels in in_channels]
        outputs = priors * (5 + num_classes)
        self.towers = nn.ModuleList(
            block(inputs, channels, 3, 1, config.activation)
            for inputs, channels in zip(in_channels, doubled, strict=True)
        )
        self.preds = nn.ModuleList(nn.Conv2d(channels, outputs, 1) for channels in doubled)
        for predictor in self.box_predictors():
            assert predictor.bias is not None
            predictor.bias.data.view(priors, -1)[:, 4:] = PRIOR_LOGIT
        if config.selector:
            self.add_selector(config, doubled)

    def box_predictors(self) -> list[nn.Conv2d]:
        return [predictor for predictor in self.preds if isinstance(predictor, nn.Conv2d)]

    def predict(self, i: int, feature: Tensor) -> tuple[Iterable[Part], Tensor]:
        features = self.towers[i](feature)
        split = [4, 1, self.num_classes]
        maps = self.per_prior(self.preds[i](features))
        return (Part(*torch.split(part, split, dim=1)) for part in maps), features
