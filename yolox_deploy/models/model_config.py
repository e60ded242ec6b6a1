"""One model as data: its depth, width and the rest of its architecture, and what its authors published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from yolox_deploy.errors import UsageError
from yolox_deploy.types import USUAL_ORDERS, InputConvention

Activation = Literal["silu", "lrelu", "relu"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)

MIN_WIDTH, MAX_WIDTH = 0.0625, 4.0
"""Width factors that a model takes; below, a layer would be left without channels."""

MAX_DEPTH = 4.0


@dataclass(frozen=True)
class Architecture:
    """What a person states of a network; None: as the model named, or the weights, have it.

    Attributes:
        depth, width: factors of the layer and channel counts of YOLOX-L.
        depthwise: whether convolutions larger than 1x1 are depthwise ones, each with a 1x1 after it.
        activation: "silu", "lrelu" (slope 0.1) or "relu". No state dict tells it, and with another one boxes are off
            by several pixels.
    """

    depth: float | None = None
    width: float | None = None
    depthwise: bool | None = None
    activation: Activation | None = None

    def __post_init__(self) -> None:
        if self.activation is not None and self.activation not in ACTIVATIONS:
            raise UsageError(f"the activation is {self.activation!r}; expected {', '.join(ACTIVATIONS)}")

    @property
    def stated(self) -> dict[str, Any]:
        """The fields that are not None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Published:
    """What the authors report for one set of weights on COCO.

    `latency_ms` is on a Tesla V100 in FP16, batch 1, without post-processing: another protocol than ours.
    GFLOPs are 2 x multiply-accumulate at the model's test size. None: not published.
    """

    source: str
    ap_val: float | None = None
    ap_test_dev: float | None = None
    latency_ms: float | None = None
    params_m: float | None = None
    gflops: float | None = None


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of one model; `depth` and `width` multiply the layer and channel counts of YOLOX-L.

    `priors` are the anchor boxes of a location, 1 for an anchor-free head, 3 for an anchor-based one. `selector`
    adds the branch that makes non-maximum suppression needless. `channels` are those of the picture, one of
    `types.USUAL_ORDERS`. The zoo's models have a fixed `name`; one of your own may have any.
    """

    name: str
    depth: float
    width: float
    depthwise: bool = False
    backbone: Literal["csp", "darknet53"] = "csp"
    activation: Activation = "silu"
    test_size: int = 640
    weights_url: str | None = None
    published: tuple[Published, ...] = ()
    head: Literal["decoupled", "coupled"] = "decoupled"
    priors: int = 1
    selector: bool = False
    channels: int = 3

    def check(self) -> None:
        """Raise UsageError where no network can have these values."""
        if not 0 < self.depth <= MAX_DEPTH:
            raise UsageError(f"the depth is {self.depth:g}; expected more than 0, at most {MAX_DEPTH:g}")
        if not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise UsageError(f"the width is {self.width:g}; expected {MIN_WIDTH} to {MAX_WIDTH}")
        if self.channels not in USUAL_ORDERS:
            expected = ", ".join(map(str, USUAL_ORDERS))
            raise UsageError(f"the pictures have {self.channels} channels; expected one of {expected}")

    def record(self) -> dict[str, Any]:
        """What makes the network, as plain values for a checkpoint; `recorded_config` reads it."""
        return {
            "depth": float(self.depth),
            "width": float(self.width),
            "depthwise": self.depthwise,
            "activation": self.activation,
            "channels": self.channels,
            "backbone": self.backbone,
            "head": self.head,
            "priors": self.priors,
            "selector": self.selector,
        }

    def input(self, *, legacy: bool = False) -> InputConvention:
        """How the network reads pictures; `legacy`: as before YOLOX 0.1.1, where it has three channels."""
        if self.channels == 3:
            return InputConvention.legacy() if legacy else InputConvention()
        return InputConvention(color_order=USUAL_ORDERS[self.channels])

    def output_form(self) -> dict[str, Any]:
        """The fields of `ArtifactInfo` that follow from the architecture."""
        return {"priors": self.priors, "suppression": "not_needed" if self.selector else "none"}


def recorded_config(record: Mapping[Any, Any]) -> ModelConfig | None:
    """The model, without a name, that `ModelConfig.record` described; None for anything else."""
    example = ModelConfig("", 1.0, 1.0).record()
    sound = all(type(record.get(name)) is type(value) for name, value in example.items())
    if not sound or record["activation"] not in ACTIVATIONS:
        return None
    try:
        config = ModelConfig("", **{name: record[name] for name in example})
        config.check()
    except UsageError:
        return None
    return config


def own_config(depth: float, width: float, *, depthwise: bool = False) -> ModelConfig:
    """The model of this depth and width, called `yolox_d0.67_w0.5_dw`; see `zoo.vary` for the rest of it.

    Raises:
        UsageError: no network can have these.
    """
    name = f"yolox_d{depth:.10g}_w{width:.10g}{'_dw' if depthwise else ''}"
    config = ModelConfig(name, depth, width, depthwise)
    config.check()
    return config
