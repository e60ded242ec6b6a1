"""What the Detector adds to a bare backend call, and what the folded stem saves: two ratios, one process.

    python -m yolox_deploy.benchmarks.studies.overhead OURS.onnx [OFFICIAL.onnx]

Protocol: one thread of calls, batch 1, a decoded 640x480 array in, conf 0.3, IoU 0.45, images in turn. The
calls to compare alternate in one process by blocks of ten, so that a drift of the machine hits all of them; the
ratio is the median over the blocks of the ratio of their medians.
Without images of one's own, the package's photographs resized to 640x480 are used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from yolox_deploy.benchmarks.studies.turns import take_turns, timed
from yolox_deploy.detector import Detector
from yolox_deploy.errors import require
from yolox_deploy.files import packaged_photographs
from yolox_deploy.host import no_telemetry
from yolox_deploy.images import load_image
from yolox_deploy.sources import image_paths

BLOCK = 10

Call = Callable[[int], object]


def main(
    ours: Annotated[Path, typer.Argument(help="ONNX file exported by yolox-deploy.")],
    official: Annotated[Path | None, typer.Argument(help="Official ONNX file of the same model.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of pictures.")] = None,
    blocks: Annotated[int, typer.Option(min=5, help="Turns of ten calls each.")] = 60,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Time a bare ONNX Runtime session, the official file's and Detector.predict in turn."""
    paths = image_paths(images) if images else packaged_photographs()
    pictures = [np.asarray(cv2.resize(load_image(path), (640, 480)), np.uint8) for path in paths]
    detector = Detector(ours, conf=0.3, iou=0.45, threads=threads)
    tensors = [detector.prepare(picture).tensor.copy() for picture in pictures]
    calls: dict[str, Call] = {
        "bare": _bare(ours, tensors, threads),
        "predict": lambda i: detector.predict(pictures[i % len(pictures)]),
    }
    if official is not None:
        calls["official bare"] = _bare(official, tensors, threads)
    taken = take_turns({name: _block(call) for name, call in calls.items()}, blocks, warm_up=1)
    medians = {name: np.array(values) for name, values in taken.items()}
    for name, values in medians.items():
        ratio = np.median(values / medians["bare"])
        typer.echo(f"{name:14} {np.median(values):8.3f} ms   {ratio:.3f} x bare")


def _block(call: Call) -> Callable[[int], float]:
    """Median milliseconds of a block of calls.

    The worker threads of one session spin for a while after a call and disturb the next session's, so the first
    call of a block is not counted.
    """
    one = timed(call)
    return lambda block: float(np.median([one(i) for i in range(block * BLOCK, (block + 1) * BLOCK)][1:]))


def _bare(path: Path, tensors: list[NDArray[np.float32]], threads: int) -> Call:
    """ONNX Runtime without this package: the fastest that a caller could write by hand."""
    with no_telemetry():
        ort = require("onnxruntime", "onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda i: session.run(None, {name: tensors[i % len(tensors)]})


if __name__ == "__main__":
    typer.run(main)
