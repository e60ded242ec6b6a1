"""The YOLOX network: a trunk that makes features at three strides and a head that predicts from them."""

from __future__ import annotations

from torch import Tensor, nn

from yolox_deploy.errors import UsageError
from yolox_deploy.models.backbones import PAFPN, DarknetFPN
from yolox_deploy.models.heads import CoupledHead, DecoupledHead, DetectionHead
from yolox_deploy.models.model_config import ModelConfig
from yolox_deploy.models.naming import get_config
from yolox_deploy.models.zoo import STRIDES, check_input_size


class YOLOX(nn.Module):
    """Images (B, `config.channels`, H, W) float, BGR 0-255, to predictions (B, N, 5 + C) of the same dtype.

    H and W divide by 32. N counts the anchor points of the levels at strides 8, 16, 32 in this order,
    row-major inside a level: 8400 at 640x640. With P priors a level has all its points for the first prior, then
    all for the second, and so on: P times as many. Columns: tx, ty, tw, th, objectness, C classes. The boxes are
    undecoded: centre = (t_xy + grid) * stride, size = exp(t_wh) * stride, in input pixels.

    In evaluation mode objectness (with a selector, its product with the selector) and classes are probabilities;
    in training mode they are logits, for losses that apply the sigmoid themselves, and a selector's logit is one
    more column, the last.

    `config` and `num_classes` describe the model to exporters and checkpoints.
    """

    strides = STRIDES
    head: DetectionHead

    def __init__(
        self, config: ModelConfig, backbone: nn.Module, head: DetectionHead, num_classes: int
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2], images.shape[-1]
        # The tracer hands out tensors here, and dynamic shapes are symbols: only plain numbers are checked.
        if isinstance(height, int) and isinstance(width, int):
            check_input_size((height, width))
        predictions: Tensor = self.head(self.backbone(images))
        return predictions


def build_model(name: str | ModelConfig, num_classes: int = 80) -> YOLOX:
    """A new model with random weights, in training mode as torch builds it.

    Args:
        name: a name such as `yolox_s`, `yolox-s` or `nms_free` (see `get_config`), or a configuration of your own.
        num_classes: C, at least 1.

    Raises:
        UsageError: an unknown name, a class count below 1, a number of priors that has no default, or a depth, width
            or activation that no network can have.
    """
    config = get_config(name) if isinstance(name, str) else name
    config.check()
    if num_classes < 1:
        raise UsageError(f"a model needs at least 1 class, found num_classes={num_classes}")
    backbone: PAFPN | DarknetFPN
    if config.backbone == "darknet53":
        backbone = DarknetFPN(config.width, activation=config.activation, channels=config.channels)
    else:
        backbone = PAFPN(
            config.depth,
            config.width,
            depthwise=config.depthwise,
            activation=config.activation,
            channels=config.channels,
        )
    head = CoupledHead if config.head == "coupled" else DecoupledHead
    return YOLOX(config, backbone, head(config, backbone.out_channels, num_classes), num_classes)
