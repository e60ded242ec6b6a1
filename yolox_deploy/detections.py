"""What was found in one picture, as a value: it never changes, and every selection from it is one again."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.class_names import MOST_CLASSES, class_ids_of
from yolox_deploy.detection_forms import Detection, Forms
from yolox_deploy.errors import ArtifactError, InputError, UsageError, reason_of, translating
from yolox_deploy.types import as_size, is_finite

__all__ = ["Detection", "Detections"]

Index: TypeAlias = "SupportsIndex | slice | Sequence[int] | Sequence[bool] | NDArray[Any]"


@dataclass(frozen=True, eq=False, repr=False)
class Detections(Forms):
    """The objects found in one image, best first.

    A value: its arrays are read-only, and `==` compares all that it holds. `d[3]`, `d[2:5]`, `d[d.scores > 0.5]` and
    `d[[0, 4]]` give Detections of these objects, best first whatever the order asked for; iterating gives a
    `Detection` each.

    Attributes:
        boxes: (N, 4) float32, x1, y1, x2, y2 in pixels of the source image.
        scores: (N,) float32 in 0-1, descending.
        class_ids: (N,) int64, indices into `class_names`.
        class_names: every class that the model knows.
        track_ids: (N,) int64, who it is on a stream, -1 where that is not confirmed yet; None where nobody tracks.
        image_size: (height, width) of the source image in pixels, None where it is not known.

    Raises:
        ArtifactError: the arrays do not belong together (a corrupt model output dies here).
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    class_names: tuple[str, ...] = ()
    track_ids: NDArray[np.int64] | None = None
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        count = int(np.size(self.scores))
        self._freeze("boxes", (count, 4), np.float32)
        self._freeze("scores", (count,), np.float32)
        self._freeze("class_ids", (count,), np.int64)
        if self.track_ids is not None:
            self._freeze("track_ids", (count,), np.int64)
        with translating(ArtifactError, "detections: class_names is no list of names"):
            object.__setattr__(self, "class_names", tuple(self.class_names))
        if self.image_size is not None:
            object.__setattr__(self, "image_size", as_size(self.image_size))
        if count:
            self._check_values()

    @classmethod
    def empty(cls, class_names: Sequence[str] = (), image_size: tuple[int, int] | None = None) -> Detections:
        """No object found."""
        boxes, scores = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        return cls(boxes, scores, np.zeros(0, np.int64), tuple(class_names), image_size=image_size)

    @classmethod
    def merge(cls, parts: Iterable[Detections]) -> Detections:
        """The objects of several Detections of one picture together, equal scores in the order given.

        Nothing is suppressed. Where some are tracked, those that are not get the track id -1.

        Raises:
            UsageError: class names or sizes of the picture differ, or it is no list of Detections.
        """
        with translating(UsageError, f"merge takes a list of Detections, found {type(parts).__name__}"):
            found = [parts] if isinstance(parts, Detections) else list(parts)
        for part in found:
            if not isinstance(part, Detections):
                raise UsageError(f"merge takes a list of Detections, found {type(part).__name__} in it")
        names = _common("class names", (part.class_names for part in found if part.class_names))
        size = _common("image sizes", (part.image_size for part in found if part.image_size))
        if not found:
            return cls.empty()
        scores = np.concatenate([part.scores for part in found])
        order = np.argsort(-scores, kind="stable")
        tracked = any(part.track_ids is not None for part in found)
        tracks = [np.full(len(part), -1) if part.track_ids is None else part.track_ids for part in found]
        return cls(
            np.concatenate([part.boxes for part in found])[order],
            scores[order],
            np.concatenate([part.class_ids for part in found])[order],
            names or (),
            np.concatenate(tracks)[order] if tracked else None,
            size,
        )

    @classmethod
    def from_dict(
        cls,
        values: Mapping[str, Any],
        class_names: Sequence[str] | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> Detections:
        """What `to_dict` gave, or a line of `predict --save-json x.jsonl`.

        Args:
            values: with the key "detections".
            class_names: of the model; None for the names that stand beside the objects, and `class_3` and so on for
                the others.
            image_size: (height, width) of the picture, which is not in `values`.

        Raises:
            InputError: `values` holds no detections.
        """
        try:
            if "error" in values and "detections" not in values:
                raise InputError(f"no detections, as the picture could not be read: {values['error']}")
            items = sorted(values["detections"], key=lambda item: -item["score"])
            ids = [operator.index(item["class_id"]) for item in items]
            if max(ids, default=0) >= MOST_CLASSES:
                raise ValueError(f"a class id is {max(ids)}")
            named = {item["class_id"]: item["class_name"] for item in items}
            tracks = [operator.index(item.get("track_id", -1)) for item in items]
            tracked = any("track_id" in item for item in items)
            return cls(
                np.array([item["box"] for item in items], np.float32).reshape(len(items), -1 if items else 4),
                np.array([item["score"] for item in items], np.float32),
                np.array(ids, np.int64),
                tuple(class_names or (named.get(i, f"class_{i}") for i in range(max(ids, default=-1) + 1))),
                np.array(tracks, np.int64) if tracked else None,
                image_size,
            )
        except (InputError, MemoryError):
            raise
        except Exception as error:
            found = f"no {error}" if isinstance(error, KeyError) else reason_of(error)
            raise InputError(
                f"no detections: {found}; expected {{'detections': [{{'box', 'score', 'class_id', 'class_name'}}]}}"
            ) from error

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        tracks = itertools.repeat(None) if self.track_ids is None else self.track_ids.tolist()
        columns = (self.boxes.tolist(), self.scores.tolist(), self.class_ids.tolist(), tracks)
        for box, score, class_id, track_id in zip(*columns, strict=False):
            item = Detection(tuple(box), score, class_id, self.class_names[class_id])
            item.track_id = track_id
            yield item

    def __getitem__(self, index: Index) -> Detections:
        chosen = np.sort(np.atleast_1d(np.arange(len(self))[index]))
        if isinstance(index, bool | np.bool_) or chosen.ndim > 1:
            raise IndexError(
                f"the index is {index!r}; expected an integer, a slice, a mask or a list of integers"
            )
        return Detections(
            self.boxes[chosen],
            self.scores[chosen],
            self.class_ids[chosen],
            self.class_names,
            None if self.track_ids is None else self.track_ids[chosen],
            self.image_size,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detections):
            return NotImplemented
        ours, theirs = self._values(), other._values()
        return all(np.array_equal(mine, yours) for mine, yours in zip(ours, theirs, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as of a list: it is compared by what it holds

    def __reduce__(self) -> tuple[Any, ...]:
        return Detections, self._values()  # through the constructor, as NumPy forgets what is read-only

    def __repr__(self) -> str:
        found = []
        for class_id in dict.fromkeys(self.class_ids.tolist()):
            scores = self.scores[self.class_ids == class_id]
            span = "-".join(dict.fromkeys(f"{score:.2f}" for score in (scores[0], scores[-1])))
            found.append(f"{len(scores)} {self.class_names[class_id]} {span}")
        size = "" if self.image_size is None else " in {}x{}".format(*self.image_size)
        return f"Detections({', '.join(found) or 'nothing'}{size})"

    @property
    def xywh(self) -> NDArray[np.float32]:
        """(N, 4) float32: centre x, centre y, width, height in pixels."""
        sizes = self.boxes[:, 2:] - self.boxes[:, :2]
        return np.hstack([self.boxes[:, :2] + sizes / 2, sizes])

    @property
    def normalized(self) -> NDArray[np.float32]:
        """(N, 4) float32: x1, y1, x2, y2 as shares of the picture's width and height, 0-1 within the picture.

        Raises:
            UsageError: `image_size` is not known.
        """
        height, width = self._known_size()
        return np.divide(self.boxes, np.array([width, height, width, height], np.float32))

    def filter(
        self,
        classes: Iterable[str | int] | str | int | None = None,
        conf: float | None = None,
        min_area: float | None = None,
    ) -> Detections:
        """Those objects that meet all that is given.

        Args:
            classes: names or ids of the classes to keep.
            conf: least score, 0-1.
            min_area: least area of a box in square pixels.

        Raises:
            UsageError: an unknown class, or a `conf` that no score can be.
        """
        kept = np.ones(len(self), bool)
        if classes is not None:
            kept &= np.isin(self.class_ids, class_ids_of(classes, self.class_names))
        if conf is not None:
            if not is_finite(conf) or not 0 <= conf <= 1:
                raise UsageError(f"conf is {conf!r}; expected a score, 0 to 1")
            kept &= self.scores >= np.float32(conf)
        if min_area is not None:
            if not is_finite(min_area):
                raise UsageError(f"min_area is {min_area!r}; expected a number of square pixels")
            kept &= (self.boxes[:, 2:] - self.boxes[:, :2]).clip(0).prod(axis=1) >= min_area
        return self[kept]

    def _values(self) -> tuple[Any, ...]:
        return self.boxes, self.scores, self.class_ids, self.class_names, self.track_ids, self.image_size

    def _freeze(self, name: str, shape: tuple[int, ...], dtype: type) -> None:
        """Check one of the arrays, and keep a read-only copy of it."""
        array = getattr(self, name)
        if not isinstance(array, np.ndarray):
            raise ArtifactError(f"detections: {name} is a {type(array).__name__}, expected a NumPy array")
        if array.shape != shape or array.dtype != dtype:
            raise ArtifactError(
                f"detections: {name} is {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}"
            )
        if array.flags.writeable or array.base is not None:  # a view changes with its base
            array = array.copy()
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def _check_values(self) -> None:
        boxes, scores, class_ids = self.boxes, self.scores, self.class_ids
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ArtifactError("detections: boxes or scores are not finite; the model file is broken")
        if (scores[1:] > scores[:-1]).any():
            raise ArtifactError("detections: scores are not in descending order")
        if scores[0] > 1 or scores[-1] < 0:
            raise ArtifactError(f"detections: scores are {scores[-1]:g} to {scores[0]:g}; expected 0 to 1")
        low, high = class_ids.min(), class_ids.max()
        if not 0 <= low <= high < len(self.class_names):
            raise ArtifactError(
                f"detections: class ids are {low} to {high}, with {len(self.class_names)} class names"
            )
        if self.track_ids is not None and self.track_ids.min() < -1:
            raise ArtifactError(f"detections: a track id is {self.track_ids.min()}; expected -1 or more")


def _common(what: str, values: Iterable[Any]) -> Any:
    """The value that all have, None where there is none."""
    different = list(dict.fromkeys(values))
    if len(different) > 1:
        raise UsageError(f"cannot merge detections of different {what}: {different[0]} and {different[1]}")
    return different[0] if different else None
