"""Pictures with annotations as a command or a function is given them, opened as one kind of value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yolox_deploy.errors import UsageError, require

if TYPE_CHECKING:
    from yolox_deploy.data.dataset import DetectionDataset
    from yolox_deploy.data.split_names import Split


def annotated(
    images: str | Path | None,
    annotations: str | Path | None,
    data: str | Path | None = None,
    split: Split = "val",
) -> DetectionDataset | None:
    """The data set of `data`, or of a COCO file and the folder of its pictures; None where neither is given.

    Args:
        images: folder of pictures; alone it says nothing of what is in them.
        annotations: COCO `instances` JSON of these pictures.
        data: folder of a COCO, VOC or YOLO data set, or its `data.yaml`.
        split: of `data`.

    Raises:
        UsageError: annotations without pictures, both ways at once, or no such split.
        InputError: it cannot be read, or pictures are missing.
        MissingExtraError: faster-coco-eval, which AP is computed by, is not installed.
    """
    if data is None and annotations is None:
        return None
    if data is not None and (images is not None or annotations is not None):
        raise UsageError(
            "--data names a whole data set: give it alone, or --images DIR with --annotations FILE"
        )
    if data is None and images is not None and Path(images).is_file():
        from yolox_deploy.paths import is_video
        from yolox_deploy.sources import a_video

        found = (
            a_video(Path(images)) if is_video(Path(images)) else "a file; expected the folder of the pictures"
        )
        raise UsageError(f"--images {images} is {found}")
    if data is None and (images is None or not Path(images).is_dir()):
        raise UsageError("annotations need the folder of pictures that they describe: add --images DIR")
    require("faster_coco_eval", "eval")
    if data is not None:
        from yolox_deploy.data.layouts import open_dataset

        return open_dataset(data, split)
    from yolox_deploy.data.coco_format import read_coco

    assert images is not None
    assert annotations is not None
    return read_coco(annotations, images)


def picture_paths(dataset: DetectionDataset, most: int | None = None) -> tuple[Path, ...]:
    """Where the pictures lie; of more than `most` so many, evenly spread."""
    count = len(dataset) if most is None else min(most, len(dataset))
    return tuple(dataset.path(index * len(dataset) // count) for index in range(count))
