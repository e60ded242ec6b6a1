"""Parts of a data set as data sets: some pictures, or all pictures with some objects; and their names."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from yolox_deploy.data.dataset import DetectionDataset


def relative_names(dataset: DetectionDataset) -> list[str]:
    """The names of the pictures from the data set's folder, with / between their parts: alike wherever that lies."""
    folder = os.path.abspath(dataset.folder)
    names = (os.fsdecode(name) for name in dataset.file_names.tolist())
    return [
        (os.path.relpath(name, folder) if os.path.isabs(name) else os.path.normpath(name)).replace(
            os.sep, "/"
        )
        for name in names
    ]


def select(dataset: DetectionDataset, pictures: NDArray[np.int64]) -> DetectionDataset:
    """Some pictures of a data set, by index, with their objects."""
    objects, offsets = _taken(dataset.offsets, pictures)
    names = ("image_ids", "file_names", "sizes", "measured")
    return replace(
        _with_objects(dataset, objects),
        **{name: getattr(dataset, name)[pictures] for name in names},
        offsets=offsets,
    )


def without_objects(dataset: DetectionDataset, rows: NDArray[np.int64]) -> DetectionDataset:
    """The data set without some objects, by row."""
    kept = np.delete(np.arange(len(dataset.classes)), rows)
    owners = np.repeat(np.arange(len(dataset)), np.diff(dataset.offsets))[kept]
    counts = np.bincount(owners, minlength=len(dataset))
    return replace(_with_objects(dataset, kept), offsets=_offsets(counts))


def _with_objects(dataset: DetectionDataset, rows: NDArray[np.int64]) -> DetectionDataset:
    """Some objects; the offsets of the pictures are left as they were."""
    rings, ring_offsets = _taken(dataset.ring_offsets, rows)
    points, point_offsets = _taken(dataset.point_offsets, rings)
    names = ("boxes", "areas", "classes", "crowds", "difficult")
    return replace(
        dataset,
        **{name: getattr(dataset, name)[rows] for name in names},
        ring_offsets=ring_offsets,
        point_offsets=point_offsets,
        points=dataset.points[points],
    )


def _taken(
    offsets: NDArray[np.int64], items: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of some items, and the offsets of these items among them."""
    counts = np.diff(offsets)[items]
    ends = _offsets(counts)
    return np.arange(ends[-1]) + np.repeat(offsets[:-1][items] - ends[:-1], counts), ends


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
