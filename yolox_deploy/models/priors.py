"""The classic priors (anchor boxes) of an anchor-based head; `data.priors` fits others to a data set."""

from __future__ import annotations

from yolox_deploy.errors import UsageError

CLASSIC = (
    ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
    ((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
    ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
)
"""YOLOv3's priors (its paper, section 2.3): w, h in pixels, 3 for each of the strides 8, 16, 32."""


def default_priors(count: int) -> tuple[tuple[tuple[float, float], ...], ...]:
    """The classic priors, (levels, count, 2) w, h in pixels.

    Raises:
        UsageError: `count` is not 3; there are no classic ones then.
    """
    if count != len(CLASSIC[0]):
        raise UsageError(
            f"priors is {count}; expected 1 (anchor-free) or {len(CLASSIC[0])} (anchor-based, as YOLOv3)"
        )
    return CLASSIC
