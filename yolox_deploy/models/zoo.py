"""The models as data: the seven of the zoo, with published figures and official weights, and the roadmap's.

Importing this module costs the standard library only, so the command line can list models without torch.
"""

from __future__ import annotations

from dataclasses import replace

from yolox_deploy.errors import UsageError
from yolox_deploy.models.model_config import ModelConfig, Published

STRIDES = (8, 16, 32)
"""Pixels of the input image between neighbouring anchor points, per output level."""

SIZE_DIVISOR = 32
"""Height and width of an input must divide by the largest stride."""

_RELEASE = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0"
_WEIGHTS_TABLE = "released weights table (official repository, 0.1.1rc0)"
_TABLE_2 = "paper, Table 2; test-dev from Table 6 (earlier weights)"
_TABLE_3 = (
    "paper, Table 3 (earlier weights; M, L and X are named test-dev in Table 6, S appears in Table 3 only)"
)
_TABLE_4 = "paper, Table 4 (earlier weights)"

CLASSIC = (
    ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
    ((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
    ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
)
"""YOLOv3's priors (its paper, section 2.3): w, h in pixels, 3 for each of the strides 8, 16, 32."""


def _release(
    name: str,
    depth: float,
    width: float,
    table: str,
    ap: tuple[float | None, float | None, float | None, float | None],
    costs: tuple[float | None, float, float],
    test_size: int = 640,
    *,
    depthwise: bool = False,
) -> ModelConfig:
    """A CSP model whose official weights file is called like the model.

    `ap` is that of the released weights, val and test-dev, then of the paper's `table`; `costs` are latency,
    parameters and GFLOPs, the same in both.
    """
    published = (Published(_WEIGHTS_TABLE, *ap[:2], *costs), Published(table, *ap[2:], *costs))
    url = f"{_RELEASE}/{name}.pth"
    return ModelConfig(name, depth, width, depthwise, "csp", "silu", test_size, url, published)


_CONFIGS = (
    _release(
        "yolox_nano", 0.33, 0.25, _TABLE_4, (25.8, None, 25.3, None), (None, 0.91, 1.08), 416, depthwise=True
    ),
    _release("yolox_tiny", 0.33, 0.375, _TABLE_4, (32.8, None, 32.8, None), (None, 5.06, 6.45), 416),
    _release("yolox_s", 0.33, 0.50, _TABLE_3, (40.5, 40.5, None, 39.6), (9.8, 9.0, 26.8)),
    _release("yolox_m", 0.67, 0.75, _TABLE_3, (46.9, 47.2, None, 46.4), (12.3, 25.3, 73.8)),
    _release("yolox_l", 1.00, 1.00, _TABLE_3, (49.7, 50.1, None, 50.0), (14.5, 54.2, 155.6)),
    _release("yolox_x", 1.33, 1.25, _TABLE_3, (51.1, 51.5, None, 51.2), (17.3, 99.1, 281.9)),
    ModelConfig(
        "yolox_darknet53",
        depth=1.0,
        width=1.0,
        backbone="darknet53",
        activation="lrelu",
        weights_url=f"{_RELEASE}/yolox_darknet.pth",
        published=(
            Published(_WEIGHTS_TABLE, 47.7, 48.0, 11.1, 63.7, 185.3),
            Published(_TABLE_2, 47.3, 47.4, 11.1, 63.72, 185.3),
        ),
    ),
)

ZOO: dict[str, ModelConfig] = {config.name: config for config in _CONFIGS}
"""Model name -> configuration, smallest first, Darknet-53 last."""

_YOLOX = ZOO["yolox_darknet53"]
_BASE = replace(_YOLOX, weights_url=None, published=())
_DECOUPLED = replace(_BASE, name="decoupled_head", priors=3)
_COUPLED = replace(_DECOUPLED, name="yolov3_baseline", head="coupled")

ROADMAP: dict[str, ModelConfig] = {
    "yolov3_baseline": _COUPLED,
    "decoupled_head": _DECOUPLED,
    "strong_augmentation": _DECOUPLED,
    "anchor_free": _YOLOX,
    "multi_positives": _YOLOX,
    "simota": _YOLOX,
    "nms_free": replace(_BASE, name="nms_free", selector=True),
    "vanilla_coupled": _COUPLED,
    "vanilla_decoupled": _DECOUPLED,
    "end_to_end_coupled": replace(_COUPLED, name="end_to_end_coupled", selector=True),
    "end_to_end_decoupled": replace(_DECOUPLED, name="end_to_end_decoupled", selector=True),
}
"""Row of the paper's Tables 1 and 2 -> its network; rows that differ in training alone share one."""


def check_input_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the input `size` (height, width in pixels) when both sides are positive multiples of 32.

    Raises:
        UsageError: otherwise; names the nearest two sizes that work.
    """
    lower = tuple(max(side // SIZE_DIVISOR * SIZE_DIVISOR, SIZE_DIVISOR) for side in size)
    if lower == tuple(size):
        return size
    upper = tuple(low if low == side else low + SIZE_DIVISOR for low, side in zip(lower, size, strict=True))
    found, below, above = (f"{height}x{width}" for height, width in (size, lower, upper))
    raise UsageError(
        f"the input size {found} (height x width) does not work: both sides must divide by {SIZE_DIVISOR}; "
        f"the nearest sizes are {below} and {above}"
    )


def default_priors(count: int) -> tuple[tuple[tuple[float, float], ...], ...]:
    """The classic priors (anchor boxes), (levels, count, 2) w, h in pixels; `data.priors` fits others to a data set.

    Raises:
        UsageError: `count` is not 3; there are no classic ones then.
    """
    if count != len(CLASSIC[0]):
        raise UsageError(
            f"priors is {count}; expected 1 (anchor-free) or {len(CLASSIC[0])} (anchor-based, as YOLOv3)"
        )
    return CLASSIC
