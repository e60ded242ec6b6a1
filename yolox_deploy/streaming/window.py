"""A window with the stream in it, where there is a screen; several sources side by side."""

from __future__ import annotations

import math
import subprocess
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_deploy.errors import UsageError
from yolox_deploy.preprocess import letterbox

CLOSING_KEYS = frozenset((ord("q"), 27))
"""q and Escape."""
_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.destroyAllWindows()"
PROBE_SECONDS = 30
SCREEN_WIDTH = 1920


class LiveWindow:
    """Shows pictures until it is closed: by q, Escape, its own button, or the end of its `with` block.

    To be used in the main thread.

    Raises:
        UsageError: no window can be opened here.
    """

    def __init__(self, title: str) -> None:
        check_display()
        self.title, self.closed, self._shown = title, False, False
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)

    def show(self, image: NDArray[np.uint8]) -> None:
        """Show an (H, W, 3) uint8 BGR picture."""
        if self.closed:
            return
        cv2.imshow(self.title, image)
        self.pump()
        if not self._shown:  # a window that shows nothing yet keeps the size it has
            cv2.resizeWindow(self.title, image.shape[1], image.shape[0])
            self._shown = True

    def pump(self) -> None:
        """Let the window react; to be called several times a second."""
        pressed = cv2.waitKey(1) & 0xFF in CLOSING_KEYS
        self.closed = self.closed or pressed or cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) < 1

    def __enter__(self) -> LiveWindow:
        return self

    def __exit__(self, *_: object) -> None:
        cv2.destroyAllWindows()


def check_display() -> None:
    """Raise UsageError where no window can be opened.

    A process of its own tries, because Qt ends the process that asks for a window where there is no screen.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
    )
    if done.returncode == 0:
        return
    if "not implemented" in done.stderr:
        raise UsageError(
            "--show: this OpenCV has no windows (opencv-python-headless); write a video with --out, or: "
            "pip uninstall opencv-python-headless && pip install --force-reinstall opencv-python"
        )
    raise UsageError(
        "--show: there is no screen (is DISPLAY set?); write a video with --out video.mp4 instead"
    )


class Mosaic:
    """The latest pictures of several sources side by side, each letterboxed into a cell; one alone stays as it is.

    The cells have the shape of the first picture, made smaller where they would be wider than a screen together.

    Args:
        count: of the sources.
    """

    def __init__(self, count: int) -> None:
        self._count, self._columns = count, math.ceil(math.sqrt(count))
        self._canvas: NDArray[np.uint8] | None = None
        self._cell = (0, 0)

    def with_picture(self, number: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """All the pictures, with an (H, W, 3) uint8 BGR picture of the source of this number as its latest.

        The array is the mosaic's own: the next call writes into it.
        """
        if self._count == 1:
            return picture
        if self._canvas is None:
            ratio = min(1.0, SCREEN_WIDTH / (self._columns * picture.shape[1]))
            self._cell = max(1, round(picture.shape[0] * ratio)), max(1, round(picture.shape[1] * ratio))
            rows = math.ceil(self._count / self._columns)
            self._canvas = np.zeros((rows * self._cell[0], self._columns * self._cell[1], 3), np.uint8)
        row, column = divmod(number, self._columns)
        top, left = row * self._cell[0], column * self._cell[1]
        fitted, _ = letterbox(picture, self._cell)
        self._canvas[top : top + self._cell[0], left : left + self._cell[1]] = fitted
        return self._canvas
