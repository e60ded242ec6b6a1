"""The one class people use: an image goes in, boxes in that image's pixels come out."""

from __future__ import annotations

import dataclasses
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.detections import Detections
from yolox_deploy.detector_info import DetectorInfo, Prepared, StreamResult
from yolox_deploy.errors import RuntimeFailure, UsageError, check_kind
from yolox_deploy.foreign.conventions import describe, stated_size
from yolox_deploy.images import ImageSource, load_image, several
from yolox_deploy.models.published import model_path
from yolox_deploy.outputs import row_reader
from yolox_deploy.picture_headers import most_pixels
from yolox_deploy.postprocess import anchor_grid, to_detections
from yolox_deploy.preprocess import Preprocessor
from yolox_deploy.runtimes.registry import Content, open_runtime
from yolox_deploy.sources import open_source
from yolox_deploy.thresholds import ThresholdFields, Thresholds, apply_graph_thresholds, check_graph
from yolox_deploy.tiles import Tiling
from yolox_deploy.tuned import tuned_opening
from yolox_deploy.types import Letterboxed

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from yolox_deploy.tracking.association import TrackConfig

FREE_BATCH = 16
"""Images at a time where a file's batch is free and no backend limits it: a tensor of 79 MB at 640x640."""

COMPARE = (
    ". To compare with what else is possible, and to keep it: yolox-deploy inspect {path} --images DIR --save"
)


class Detector:
    """Detects objects with an exported model. May be called from several threads.

    Args:
        model: path to a model file, whose suffix names the backend; a name of the zoo for the authors' ONNX file,
            fetched once; or the bytes of a model file, with its `format`, from which no file is written.
        backend: a backend's name, where another than the suffix's default is wanted; "auto" for the backend,
            file, precision and threads that `yolox-deploy tune` found fastest for this model on this machine.
        device: "auto", "cpu", "cuda:0", …; what was obtained is in `info.device`.
        conf: least score (objectness x class probability) that is kept, 0-1.
        iou: two boxes that overlap by more than this are one object, 0-1. A file exported with `nms=True` has
            both in its graph: left at their defaults they give way to it, and what it cannot give is an error.
        class_agnostic: let boxes of different classes suppress each other.
        max_detections: the best so many are kept; None keeps all.
        threads: CPU threads of one inference.
        multi_label: give an anchor point every class that reaches `conf`, not only its best one.
        classes: names or ids of the classes that are kept; None keeps all. It costs less than to filter the result,
            which has the same boxes, but `max_detections` counts these classes alone, and where `class_agnostic`, boxes
            of other classes suppress nothing.
        tiles: side in pixels, or (height, width), of the tiles that a larger picture is cut into, for small objects;
            the whole picture is looked at too, and an object is found once. None cuts nothing.
        overlap: least share of a tile's side that its neighbour has too, 0-0.9. An object that is no larger than what
            they share is whole in one of them.
        override: conventions of a foreign file, stated instead of recognised, by the names in docs/files.md
            (`{"input": InputConvention.legacy(), "boxes": "corners", "output.logits": True}`); `input_size` for a file
            that leaves its height and width free, a checkpoint too.
        runtime_options: settings of the backend (its `options_type`).
        format: suffix of a model given as bytes, such as ".onnx".
        max_pixels: that a picture may have which is decoded; None for what the environment's
            `YOLOX_DEPLOY_MAX_PIXELS` says, or 200 million.

    Raises:
        ArtifactError: the file is missing, damaged, or no detector that this machine can run.
        MissingExtraError: the backend is not installed.
        UsageError: an argument that cannot work, or that the file's own suppression cannot honour.
    """

    def __init__(
        self,
        model: str | Path | Content,
        *,
        backend: str | None = None,
        device: str = "auto",
        conf: float = 0.25,
        iou: float = 0.45,
        class_agnostic: bool = False,
        max_detections: int | None = 300,
        threads: int | None = None,
        multi_label: bool = False,
        classes: Iterable[str | int] | str | int | None = None,
        tiles: int | tuple[int, int] | None = None,
        overlap: float = 0.2,
        override: Mapping[str, Any] | None = None,
        runtime_options: Mapping[str, Any] | None = None,
        format: str | None = None,
        max_pixels: int | None = None,
    ) -> None:
        pixels = most_pixels(max_pixels)
        asked = Thresholds(conf, iou, class_agnostic, max_detections, multi_label, classes, tiles, overlap)
        for name, table in (("override", override), ("runtime_options", runtime_options)):
            check_kind(name, table, (Mapping, type(None)), "a dictionary, or None")
        check_kind("backend", backend, (str, type(None)), "the name of a backend, or None")
        override = override or {}
        options = {"device": device, "threads": threads, "imgsz": stated_size(override)}
        options |= {str(name): value for name, value in (runtime_options or {}).items()}
        if not isinstance(model, Content):
            model = model_path(model)
        if backend == "auto":
            if isinstance(model, Content):
                raise UsageError(
                    "backend='auto' is for a file that was tuned; name a backend for a model in memory"
                )
            model, backend, options = tuned_opening(model, options)
        self._runtime = open_runtime(model, backend, format=format, **options)
        try:
            described = describe(self._runtime, override)
            self._runtime.content = None  # described, so nobody needs it twice
            self._artifact = described.info
            self._notes = (*self._runtime.loaded.notes, *described.notes)
            hint = COMPARE.format(path=self._runtime.path) if described.notes else ""
            self._read = row_reader(self._artifact, [spec.name for spec in self._runtime.outputs])
            self._graph_nms = self._artifact.graph_nms
            if self._graph_nms:
                asked = apply_graph_thresholds(asked, self._graph_nms)
                check_graph(asked, self._graph_nms, self._runtime.path)
            self.thresholds = asked.with_ids(self._artifact.class_names)
        except BaseException:
            self._runtime.close()
            raise
        self._input = self._runtime.inputs[0]
        grid = anchor_grid(self._artifact.input_size, priors=self._artifact.priors)
        self._to_detections = partial(
            to_detections,
            suppression=self._artifact.suppression,
            class_names=self._artifact.class_names,
            grid=grid if self._artifact.boxes == "raw" else None,
        )
        channels = self._artifact.input.picture_channels
        self._load = partial(load_image, channels=channels, max_pixels=pixels)
        for note in self._notes:
            warnings.warn(f"{self._runtime.path}: {note}{hint}", stacklevel=2)
        self._local = threading.local()  # a canvas and a tensor each thread

    @property
    def info(self) -> DetectorInfo:
        """The model's conventions and what the backend obtained on this machine."""
        loaded = self._runtime.loaded
        return DetectorInfo(
            path=str(self._runtime.path),
            backend=self._runtime.name,
            device=loaded.device,
            precision=loaded.precision,
            artifact=self._artifact,
            details=loaded.details,
            notes=self._notes,
            checked=self._runtime.checked,
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""
        return self._artifact.class_names

    def predict(self, image: ImageSource, **thresholds: Unpack[ThresholdFields]) -> Detections:
        """Detect the objects in one image.

        Args:
            image: H×W×3 uint8 BGR array (H×W×4 for a model that takes a fourth channel), path, encoded bytes, open
                binary file (`io.BytesIO` too) or PIL image.
            thresholds: `conf`, `iou`, `class_agnostic`, `max_detections`, `multi_label`, `classes`, `tiles` or
                `overlap` of this call alone.

        Returns:
            Boxes in pixels of this image, clipped to it, best first.

        Raises:
            InputError: the image cannot be read.
            ClosedError: after `close()`.
            UsageError: a threshold that cannot work, or that the file's own suppression cannot honour.
        """
        return self._predict(image, self._asked(thresholds))

    def predict_batch(
        self, images: Iterable[ImageSource], **thresholds: Unpack[ThresholdFields]
    ) -> list[Detections]:
        """Detect in several images, as many at a time as the model's batch takes (16, where it is free).

        `images` is read as it is needed, so a generator of any length works.

        Raises:
            UsageError: `images` is a single picture. Else as `predict`.
        """
        asked, pictures = self._asked(thresholds), map(self._load, several(images))
        if asked.tiles is not None:
            return list(self._predict_tiled(pictures, asked))
        return [self._found(rows, letterbox, asked) for rows, letterbox in self._answers(pictures)]

    def stream(
        self, source: str | int | Path | Iterable[str | int | Path], **thresholds: Unpack[ThresholdFields]
    ) -> Iterator[StreamResult]:
        """Detect in each frame of a folder with those below it, glob, video, camera number, stream address or a list
        of these, one by one.

        A video yields every frame; a live source yields its newest frame and drops the others. Of several live sources
        each yields its newest in turn, and `frame.name` tells which it is; see also `streaming.watch`.
        """
        asked = self._asked(thresholds)
        for frame in open_source(source, channels=self._artifact.input.picture_channels):
            yield StreamResult(frame, self._predict(frame.image, asked))

    def track(
        self,
        source: str | int | Path,
        *,
        config: TrackConfig | None = None,
        **thresholds: Unpack[ThresholdFields],
    ) -> Iterator[StreamResult]:
        """`stream` with identities: `detections.track_ids` tell which objects of the frames are the same one.

        Args:
            source: as `stream` takes it, but one; its frames' own times count, so that dropped ones do no harm. Of a
                folder of videos each is followed by itself, and no identity is used twice.
            config: how boxes are linked over time, see `yolox_deploy.tracking.TrackConfig`.
            thresholds: as of `predict`.

        Raises:
            MissingExtraError: the extra `track` is not installed.
            UsageError: a list of sources, whose objects would be mixed.
        """
        if not isinstance(source, str | int | Path):
            raise UsageError(
                f"track follows the objects of one source, found {type(source)}; of several, each has a Tracker of its "
                "own: streaming.watch(detector, sources, tracker=lambda: Tracker(detector))"
            )
        from yolox_deploy.tracking.tracker import Tracker

        tracker = Tracker(self, config=config, **thresholds)
        frames = open_source(source, channels=self._artifact.input.picture_channels)
        return (StreamResult(*found) for found in tracker.update_all(frames))

    def warmup(self, iterations: int = 3) -> None:
        """Run the network on a grey image, so that the first real one does not pay for set-up.

        With `tiles` it is one that is cut, so that batches of tiles are run too.
        """
        check_kind("iterations", iterations, int, "a whole number")
        convention, asked = self._artifact.input, self.thresholds
        height, width = (
            self._artifact.input_size if asked.tiles is None else np.multiply(2, asked.tile_size())
        )
        grey = np.full((height, width, convention.picture_channels), convention.pad_value, np.uint8)
        for _ in range(iterations):
            self.predict(grey)

    def last_device_ms(self) -> float | None:
        """Milliseconds that the latest network call took on its device; None where the backend cannot tell."""
        return self._runtime.last_device_ms()

    def close(self) -> None:
        """Free the model; calling it twice is harmless."""
        self._runtime.close()

    def __enter__(self) -> Detector:
        self._runtime.__enter__()  # refuses a closed one
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self, image: NDArray[np.uint8]) -> Prepared:
        """Letterbox one uint8 BGR image as `predict` takes it; the tensor is this thread's own until its next call."""
        return Prepared(*self._preprocessor()(image))

    def run(self, tensor: NDArray[Any]) -> Sequence[NDArray[np.float32]]:
        """The network alone: input tensor to one output array an image."""
        if not isinstance(tensor, np.ndarray) or tensor.ndim != len(self._input.shape):
            raise UsageError(f"run takes a tensor as `prepare` makes it, found {type(tensor).__name__}")
        batch = self._artifact.batch
        if batch is not None and len(tensor) < batch:
            tensor = np.concatenate([tensor, np.repeat(tensor[-1:], batch - len(tensor), axis=0)])
        return self._read(self._runtime.infer({self._input.name: tensor}), len(tensor))

    def finish(
        self, predictions: NDArray[np.float32], prepared: Prepared, **thresholds: Unpack[ThresholdFields]
    ) -> Detections:
        """One image's output, as `run` gives it, to detections in the source image's pixels.

        These three steps take an image as it is: `tiles` are cut by `predict` and what is built on it.
        """
        if not isinstance(predictions, np.ndarray) or predictions.ndim != 2:
            raise UsageError(
                f"finish takes an image's rows as `run` gives them, found {type(predictions).__name__}"
            )
        check_kind("prepared", prepared, Prepared, "what `prepare` gave")
        return self._found(predictions, prepared.letterbox, self._asked(thresholds))

    def _predict(self, image: ImageSource, asked: Thresholds) -> Detections:
        if asked.tiles is not None:
            (found,) = self._predict_tiled([self._load(image)], asked)
            return found
        prepared = self.prepare(self._load(image))
        return self._found(self.run(prepared.tensor)[0], prepared.letterbox, asked)

    def _found(
        self, predictions: NDArray[np.float32], letterbox: Letterboxed, asked: Thresholds
    ) -> Detections:
        if self._artifact.suppression != "in_graph" and np.isnan(predictions[:, 4:6].sum()):
            raise RuntimeFailure(
                f"{self._runtime.path} answers NaN, as half precision that overflows does; export it in fp32"
            )
        return self._to_detections(predictions, letterbox, thresholds=asked)

    def _asked(self, fields: ThresholdFields) -> Thresholds:
        """This detector's thresholds with some fields changed."""
        if not fields:
            return self.thresholds
        asked = self.thresholds.changed(fields)
        if self._graph_nms:
            check_graph(asked, self._graph_nms, self._runtime.path)
        return asked.with_ids(self.class_names)

    def _answers(
        self, images: Iterable[NDArray[np.uint8]]
    ) -> Iterator[tuple[NDArray[np.float32], Letterboxed]]:
        """What the network answers to each image, and the way back to it; as many at a time as the batch takes."""
        size = self._artifact.batch or self._runtime.loaded.max_batch or FREE_BATCH
        waiting = iter(images)
        while chunk := list(islice(waiting, size)):
            if len(chunk) == 1:
                tensor, letterbox = self.prepare(chunk[0])
                letterboxes = [letterbox]
            else:
                tensor, letterboxes = self._preprocessor().stack(chunk)
            answers = self.run(tensor)[: len(chunk)]  # the rest answers the padding of a fixed batch
            yield from zip(answers, letterboxes, strict=True)

    def _predict_tiled(self, images: Iterable[NDArray[np.uint8]], asked: Thresholds) -> Iterator[Detections]:
        """What is in each image; a batch takes tiles of several."""
        tilings: deque[Tiling] = deque()

        def tiles() -> Iterator[NDArray[np.uint8]]:
            for image in images:
                tilings.append(Tiling.of((image.shape[0], image.shape[1]), asked))
                yield from tilings[-1].cut(image)

        answers = self._answers(tiles())
        for first in answers:
            tiling = tilings.popleft()
            # A tile has no limit of its own: its best may be what its neighbour has found too.
            each = asked if len(tiling) == 1 else dataclasses.replace(asked, max_detections=None)
            own = chain([first], islice(answers, len(tiling) - 1))
            yield tiling.merge([self._found(rows, letterbox, each) for rows, letterbox in own], asked)

    def _preprocessor(self) -> Preprocessor:
        """This thread's own: it keeps a canvas and a tensor between calls."""
        if not hasattr(self._local, "preprocessor"):
            self._local.preprocessor = Preprocessor(self._artifact.input_size, self._artifact.input)
        preprocessor: Preprocessor = self._local.preprocessor
        return preprocessor
