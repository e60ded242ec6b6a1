"""The decoupled head (paper, section 2.1 and Figure 2), and what it shares with the coupled one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolox_deploy.models.blocks import ConvBlock, spatial_block
from yolox_deploy.models.model_config import ModelConfig
from yolox_deploy.models.zoo import STRIDES, default_priors

PRIOR_PROBABILITY = 0.01
"""What a new class or objectness predictor answers everywhere, so early losses are not all background."""
PRIOR_LOGIT = -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)
"""The bias for that (focal loss paper, section 4.1)."""


def flatten_levels(levels: Sequence[Tensor]) -> Tensor:
    """Join level maps (B, K, H_i, W_i) into one (B, N, K) tensor, row-major inside a level.

    Transposing before joining keeps the join a plain copy for channels-last maps.
    """
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)


def head_channels(config: ModelConfig) -> int:
    """Channels of the towers."""
    return int(256 * config.width)


def tower(config: ModelConfig, in_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions."""
    block, channels = spatial_block(config.depthwise), head_channels(config)
    return nn.Sequential(
        block(in_channels, channels, 3, 1, config.activation),
        block(channels, channels, 3, 1, config.activation),
    )


class Part(NamedTuple):
    """What a level predicts for one prior: maps (B, 4 or 1 or C, H_i, W_i), classes and objectness as logits."""

    boxes: Tensor
    objectness: Tensor
    classes: Tensor


class DetectionHead(nn.Module, ABC):
    """Base of the heads: the output's arrangement, priors, and the selector branch.

    Takes one (B, `in_channels[i]`, H_i, W_i) map a level and returns (B, N, 5 + C), N = P * sum of H_i * W_i:
    inside a level all cells, row-major, of the first prior, then of the second. The columns are tx, ty, tw, th
    (undecoded), objectness, classes: probabilities in evaluation mode, logits in training mode.

    With P > 1 the head is anchor-based: its own code, centre = sigmoid(t_xy) in the cell and size = prior *
    exp(t_wh) (YOLOv3 paper, section 2.1), is turned into the one code of all heads. The buffer `priors`
    (levels, P, 2) holds w, h in pixels; it is None for P = 1 and after `fold_priors`.

    A subclass gives `predict` and `box_predictors`.
    """

    priors: Tensor | None

    def __init__(self, num_classes: int, priors: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_priors = priors
        self.register_buffer("priors", torch.tensor(default_priors(priors)) if priors > 1 else None)
        self.sel_convs: nn.ModuleList | None = None

    @abstractmethod
    def predict(self, i: int, feature: Tensor) -> tuple[Iterable[Part], Tensor]:
        """The parts of level `i`, one a prior, and the features that its boxes are predicted from."""

    @abstractmethod
    def box_predictors(self) -> list[nn.Conv2d]:
        """The convolutions of the levels whose channels begin, for each prior, with tx, ty, tw, th."""

    def add_selector(self, config: ModelConfig, in_channels: Sequence[int]) -> None:
        """Add the branch of end-to-end detection (paper, section 2.1; PSS of Zhou et al. 2021).

        A level gets two 3x3 convolutions of its own and a predictor of one logit a prior, which tells the one
        prediction of an object to keep from its duplicates. Gradients stop at its input.
        """
        channels = head_channels(config)
        self.sel_convs = nn.ModuleList(tower(config, inputs) for inputs in in_channels)
        self.sel_preds = nn.ModuleList(nn.Conv2d(channels, self.num_priors, 1) for _ in in_channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return flatten_levels(
            [part for i, feature in enumerate(features) for part in self._level(i, feature)]
        )

    def per_prior(self, maps: Tensor) -> Sequence[Tensor]:
        """(B, P * K, H, W) as P maps of K channels."""
        return maps.chunk(self.num_priors, dim=1) if self.num_priors > 1 else (maps,)

    def fold_priors(self) -> None:
        """Move the logarithms of the priors into biases, in place: exact, and nothing is left of them in a graph."""
        if self.priors is None:
            return
        for predictor, offsets in zip(self.box_predictors(), self._size_offsets(self.priors), strict=True):
            assert predictor.bias is not None
            predictor.bias.data.view(self.num_priors, -1)[:, 2:4] += offsets
        self.priors = None

    def _size_offsets(self, priors: Tensor) -> Tensor:
        """(levels, P, 2): ln(prior / stride)."""
        return (priors / torch.tensor(STRIDES, device=priors.device).view(-1, 1, 1)).log()

    def _level(self, i: int, feature: Tensor) -> list[Tensor]:
        """The (B, K, H_i, W_i) predictions of level `i`, one map a prior, K = 5 + C, or 6 + C (see `_finish`)."""
        parts, box_features = self.predict(i, feature)
        selectors: Sequence[Tensor | None] = [None] * self.num_priors
        if self.sel_convs is not None:
            selectors = self.per_prior(self.sel_preds[i](self.sel_convs[i](box_features.detach())))
        return [
            self._finish(part._replace(boxes=self._shared_code(part.boxes, i, prior)), selector)
            for prior, (part, selector) in enumerate(zip(parts, selectors, strict=True))
        ]

    def _shared_code(self, boxes: Tensor, i: int, prior: int) -> Tensor:
        """The box code of all heads from this head's own."""
        if self.num_priors == 1:
            return boxes
        centre, size = boxes[:, :2].sigmoid(), boxes[:, 2:]
        if self.priors is not None:
            size = size + self._size_offsets(self.priors)[i, prior].view(1, 2, 1, 1)
        return torch.cat((centre, size), dim=1)

    def _finish(self, part: Part, selector: Tensor | None) -> Tensor:
        """Join the columns; in evaluation mode as probabilities, a selector's multiplied into the objectness."""
        if self.training:
            return torch.cat((*part,) if selector is None else (*part, selector), dim=1)
        objectness, classes = part.objectness.sigmoid(), part.classes.sigmoid()
        if selector is not None:
            objectness = objectness * selector.sigmoid()
        return torch.cat((part.boxes, objectness, classes), dim=1)


class DecoupledHead(DetectionHead):
    """Predicts boxes and objectness from one tower and classes from another, nothing shared between levels.

    Anchor-free with one prior, YOLOX's own head; see `DetectionHead` for the output.
    """

    def __init__(self, config: ModelConfig, in_channels: Sequence[int], num_classes: int) -> None:
        super().__init__(num_classes, config.priors)
        channels = head_channels(config)

        def predictors(outputs: int, bias: float | None = None) -> nn.ModuleList:
            levels = [nn.Conv2d(channels, config.priors * outputs, 1) for _ in in_channels]
            for level in levels:
                if bias is not None and level.bias is not None:
                    nn.init.constant_(level.bias, bias)
            return nn.ModuleList(levels)

        self.cls_convs = nn.ModuleList(tower(config, channels) for _ in in_channels)
        self.reg_convs = nn.ModuleList(tower(config, channels) for _ in in_channels)
        self.cls_preds = predictors(num_classes, PRIOR_LOGIT)
        self.reg_preds = predictors(4)
        self.obj_preds = predictors(1, PRIOR_LOGIT)
        self.stems = nn.ModuleList(
            ConvBlock(inputs, channels, 1, 1, config.activation) for inputs in in_channels
        )
        if config.selector:
            self.add_selector(config, [channels] * len(in_channels))

    def box_predictors(self) -> list[nn.Conv2d]:
        return [predictor for predictor in self.reg_preds if isinstance(predictor, nn.Conv2d)]

    def predict(self, i: int, feature: Tensor) -> tuple[Iterable[Part], Tensor]:
        x = self.stems[i](feature)
        box_features = self.reg_convs[i](x)
        boxes = self.reg_preds[i](box_features)
        objectness = self.obj_preds[i](box_features)
        classes = self.cls_preds[i](self.cls_convs[i](x))
        columns = (self.per_prior(maps) for maps in (boxes, objectness, classes))
        return (Part(*part) for part in zip(*columns, strict=True)), box_features


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
