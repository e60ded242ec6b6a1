"""The coupled head of YOLOv3, where the paper's roadmap starts (section 2.1, Figure 2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from yolox_deploy.models.blocks import spatial_block
from yolox_deploy.models.head import PRIOR_LOGIT, DetectionHead, Part


class CoupledHead(DetectionHead):
    """Predicts everything from one 3x3 convolution a level, which doubles the channels, as YOLOv3 does.

    With Darknet-53 and 3 priors it has the 63.00 M parameters of Table 2. See `DetectionHead` for the output.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        width: float = 1.0,
        depthwise: bool = False,
        activation: str = "silu",
        priors: int = 1,
        selector: bool = False,
    ) -> None:
        super().__init__(num_classes, priors)
        block = spatial_block(depthwise)
        doubled = [2 * channels for channels in in_channels]
        outputs = priors * (5 + num_classes)
        self.towers = nn.ModuleList(
            block(inputs, channels, 3, 1, activation)
            for inputs, channels in zip(in_channels, doubled, strict=True)
        )
        self.preds = nn.ModuleList(nn.Conv2d(channels, outputs, 1) for channels in doubled)
        with torch.no_grad():
            for predictor in self.box_predictors():
                assert predictor.bias is not None
                predictor.bias.view(priors, -1)[:, 4:] = PRIOR_LOGIT
        if selector:
            self.add_selector(doubled, int(256 * width), block, activation)

    def box_predictors(self) -> list[nn.Conv2d]:
        return [predictor for predictor in self.preds if isinstance(predictor, nn.Conv2d)]

    def predict(self, i: int, feature: Tensor) -> tuple[Iterable[Part], Tensor]:
        features = self.towers[i](feature)
        split = [4, 1, self.num_classes]
        maps = self.per_prior(self.preds[i](features))
        return (Part(*torch.split(part, split, dim=1)) for part in maps), features
