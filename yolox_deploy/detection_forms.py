"""What was found in one picture, in other forms: texts, tables, pictures, and the values of other libraries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import UsageError, require

if TYPE_CHECKING:
    import pandas
    import supervision

    from yolox_deploy.images import ImageSource


class _Detection(NamedTuple):
    box: tuple[float, float, float, float]
    score: float
    class_id: int
    class_name: str


class Detection(_Detection):
    """One object: `box` is x1, y1, x2, y2 in pixels of the source image.

    A tuple of box, score, class id and class name; `track_id` stands beside it, None where nobody tracks.
    """

    track_id: int | None = None

    def __repr__(self) -> str:
        track = "" if self.track_id is None else f", track_id={self.track_id}"
        return f"{super().__repr__()[:-1]}{track})"


class Forms:
    """The part of `Detections` that makes something else of them; its attributes are described there."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    track_ids: NDArray[np.int64] | None
    image_size: tuple[int, int] | None

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[Detection]: ...

    def crops(self, image: ImageSource) -> list[NDArray[np.uint8]]:
        """The part of `image` below each box, (h, w, 3) uint8 BGR: every pixel that a box touches, at least one.

        They are copies, in the order of the boxes.

        Args:
            image: the picture, as `Detector.predict` takes it.

        Raises:
            InputError: the image cannot be read.
            UsageError: it is of another size than `image_size`.
        """
        picture = self._picture(image)
        height, width = picture.shape[:2]
        most = np.array([width, height])
        starts = np.clip(np.floor(self.boxes[:, :2]), 0, most - 1).astype(int)
        ends = np.clip(np.ceil(self.boxes[:, 2:]), starts + 1, most).astype(int)
        return [
            picture[y1:y2, x1:x2].copy()
            for (x1, y1), (x2, y2) in zip(starts.tolist(), ends.tolist(), strict=True)
        ]

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """`{"detections": [{"box": [x1, y1, x2, y2], "score", "class_id", "class_name"}, ...]}`.

        Where objects are tracked each has a "track_id" too.
        """
        rows = [{**item._asdict(), "box": list(item.box)} for item in self]
        for row, track_id in zip(
            rows, [] if self.track_ids is None else self.track_ids.tolist(), strict=False
        ):
            row["track_id"] = track_id
        return {"detections": rows}

    def to_json(self) -> str:
        """`to_dict()` as a JSON text."""
        return json.dumps(self.to_dict())

    def to_coco(self, image_id: int, category_ids: Sequence[int | None]) -> list[dict[str, Any]]:
        """COCO result rows: bbox is x, y, width, height; `category_ids[class_id]` names the category.

        Objects of a class whose category is None are left out.
        """
        rows: list[dict[str, Any]] = []
        for item in self:
            x1, y1, x2, y2 = item.box
            category = category_ids[item.class_id]
            if category is None:
                continue
            bbox = [x1, y1, x2 - x1, y2 - y1]
            rows.append(
                {"image_id": image_id, "category_id": int(category), "bbox": bbox, "score": item.score}
            )
        return rows

    def to_yolo_txt(self, *, scores: bool = False) -> str:
        """A line each: class id, then centre x, centre y, width and height as shares of the picture, 0-1.

        Boxes are clipped to the picture.

        Args:
            scores: the score ends the line, as tools that compare predictions want it; labels have none.

        Raises:
            UsageError: `image_size` is not known.
        """
        height, width = self._known_size()
        corners = (self.boxes.astype(float) / (width, height, width, height)).clip(0, 1)
        starts, ends = corners[:, :2], corners[:, 2:]
        columns = [(starts + ends) / 2, ends - starts, self.scores[:, None]]
        lines = [
            f"{class_id} {' '.join(f'{number:.6f}' for number in numbers)}\n"
            for class_id, numbers in zip(
                self.class_ids.tolist(), np.hstack(columns[: 2 + scores]).tolist(), strict=True
            )
        ]
        return "".join(lines)

    def to_dataframe(self) -> pandas.DataFrame:
        """A row each: x1, y1, x2, y2, score, class_id, class_name, and track_id where objects are tracked.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        columns = {
            **dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T, strict=True)),
            "score": self.scores,
            "class_id": self.class_ids,
            "class_name": [item.class_name for item in self],
            **({} if self.track_ids is None else {"track_id": self.track_ids}),
        }
        frame: pandas.DataFrame = require("pandas", "pandas").DataFrame(columns)
        return frame

    def to_supervision(self) -> supervision.Detections:
        """The same as `supervision.Detections`: copies, with `track_ids` as its `tracker_id`.

        For supervision's annotators, zones, sinks and `InferenceSlicer`, and for the package `trackers`. Its pictures
        are BGR, too. Known to work with supervision 0.22 to 0.31.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        detections: supervision.Detections = require("supervision", "supervision").Detections(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=self.class_ids.copy(),
            tracker_id=None if self.track_ids is None else self.track_ids.copy(),
            data={"class_name": np.array([item.class_name for item in self], dtype=str)},
        )
        return detections

    def plot(self, image: ImageSource) -> NDArray[np.uint8]:
        """A copy of the picture, (H, W, 3) uint8 BGR, with boxes, class names and scores drawn on it.

        A tracked object has the colour of its identity and its number before its name, `#7 person 0.91`; what is not
        confirmed yet is grey.

        Args:
            image: the picture, as `Detector.predict` takes it.

        Raises:
            InputError: the image cannot be read.
            UsageError: it is of another size than `image_size`.
        """
        from yolox_deploy.drawing import class_color, draw, track_color

        texts = [f"{item.class_name} {item.score:.2f}" for item in self]
        colours = [class_color(item.class_id) for item in self]
        if self.track_ids is not None:
            tracks = self.track_ids.tolist()
            texts = [text if i < 0 else f"#{i} {text}" for text, i in zip(texts, tracks, strict=True)]
            colours = [track_color(i) for i in tracks]
        return draw(self._picture(image), self.boxes, texts, colours)

    def save(self, path: str | Path, image: ImageSource) -> None:
        """Draw on a copy of `image`, as `plot` does, and write it; the suffix of `path` names the format.

        Its folder is made where it is missing, and nobody sees half a file.

        Raises:
            InputError: the image cannot be read, or OpenCV cannot write such a file.
            OSError: the disk refuses it.
            UsageError: it is of another size than `image_size`.
        """
        from yolox_deploy.drawing import write_picture

        write_picture(Path(path), self.plot(image))

    def _known_size(self) -> tuple[int, int]:
        if self.image_size is None:
            raise UsageError(
                "the size of the picture is not known: build these Detections with image_size=(height, width)"
            )
        return self.image_size

    def _picture(self, image: ImageSource) -> NDArray[np.uint8]:
        from yolox_deploy.images import load_image

        picture = load_image(image)
        if self.image_size not in (None, picture.shape[:2]):
            raise UsageError(
                "the picture is {}x{}, and these objects were found in one of {}x{} (height x width); pass that one "
                "in its full size".format(*picture.shape[:2], *self._known_size())
            )
        return picture
