"""Label assignment, which anchor points answer for which object: the assigners that `TrainConfig.assigner` names.

`one_to_one.one_to_one` stands beside them: it trains the selector of an end-to-end head, never a model alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from yolox_deploy.training.assign.fixed import center, center3x3, yolov3
from yolox_deploy.training.assign.ota import ota
from yolox_deploy.training.assign.simota import simota_batch
from yolox_deploy.training.assign.types import Assigner

ASSIGNERS: Mapping[str, Assigner] = MappingProxyType(
    {
        "simota": simota_batch,
        "simota_release": partial(simota_batch, rules="release"),
        "center": center,
        "center3x3": center3x3,
        "yolov3": yolov3,
        "ota": ota,
    }
)
"""Rows of the paper's Table 2 and their relatives; `yolov3` needs priors, `center` and `center3x3` refuse them."""
