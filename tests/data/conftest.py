"""Pictures and annotation files written for the tests of data sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def write_picture() -> Write:
    """Writes a picture of `size` (height, width) to a path, whose folders are made."""

    def write(path: Path, size: tuple[int, int] = (60, 80)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = np.linspace(0, 255, size[0] * size[1]).reshape(size)
        assert cv2.imwrite(str(path), cv2.merge([shade.astype(np.uint8)] * 3))
        return path

    return write


@pytest.fixture(scope="session")
def write_text() -> Write:
    """Writes text, or anything else as JSON, to a path, whose folders are made."""

    def write(path: Path, content: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


@pytest.fixture
def coco_content() -> dict[str, Any]:
    """Two pictures of 80x60 with three objects, of which one is a crowd; category 7 stands before 3."""
    mask = [[10, 10, 30, 10, 30, 40], [10, 10, 12, 12]]
    runs = {"counts": [4800], "size": [60, 80]}
    rows = [
        (7, 5, [10.25, 10, 20, 30], {"area": 300, "segmentation": mask}),
        (3, 5, [0, 0, 80, 60], {"area": 4000, "iscrowd": 1, "segmentation": runs}),
        (3, 9, [70, 50, 20, 20], {}),
    ]
    return {
        "images": [
            {"id": 9, "file_name": "nine.jpg", "height": 60, "width": 80},
            {"id": 5, "file_name": "five.jpg", "height": 60, "width": 80},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": key, "category_id": category, "image_id": image, "bbox": box, **more}
            for key, (category, image, box, more) in enumerate(rows, start=1)
        ],
    }
