"""Which boxes of a stream are the same object: identities over time, and the trails they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolox_deploy._lazy import lazy_face

if TYPE_CHECKING:
    from yolox_deploy.tracking.association import Association, TrackConfig
    from yolox_deploy.tracking.bytetrack import ByteTrack
    from yolox_deploy.tracking.tracker import Tracker
    from yolox_deploy.tracking.trails import Trails

__all__ = ["Association", "ByteTrack", "TrackConfig", "Tracker", "Trails"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "association": ("Association", "TrackConfig"),
        "bytetrack": ("ByteTrack",),
        "tracker": ("Tracker",),
        "trails": ("Trails",),
    },
)
