"""Average precision of the weights in training, on the pictures shared out over the processes of the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from yolox_deploy.data.dataset import DetectionDataset
from yolox_deploy.detections import Detections
from yolox_deploy.errors import InputError
from yolox_deploy.evaluation.coco import score
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.postprocess import anchor_grid, split_batch, to_detections
from yolox_deploy.preprocess import fit, letterbox
from yolox_deploy.thresholds import Thresholds
from yolox_deploy.training.augment.geometry import PAD
from yolox_deploy.training.caching import CachedDataset
from yolox_deploy.training.distributed import Job
from yolox_deploy.training.drawings import draw_predictions
from yolox_deploy.training.loader import worker_options
from yolox_deploy.types import Letterboxed

EXAMPLES = 8


class Evaluation(NamedTuple):
    """`figures` are those of `evaluation.coco`; `examples` the first pictures (index) and what was found in them."""

    figures: dict[str, float]
    examples: list[tuple[int, Detections]]


class Picture(NamedTuple):
    """A picture as the network reads it: `image` (3, H, W) uint8, and the way back to the source."""

    number: int
    image: NDArray[np.uint8]
    letterbox: Letterboxed


class LetterboxedPictures(Dataset[Picture | InputError]):
    """The pictures of a data set as the network reads them, or why one cannot be read."""

    def __init__(self, dataset: DetectionDataset, size: tuple[int, int]) -> None:
        self.dataset, self.size = dataset, size

    def __getitem__(self, index: int) -> Picture | InputError:
        try:
            source = self.dataset.load(index)
        except InputError as error:
            return error
        height, width = source.shape[:2]
        if isinstance(self.dataset, CachedDataset):
            height, width = self.dataset.source_size(index, source)
        live_h, live_w, ratio = fit((height, width), self.size)
        if source.shape[:2] == (live_h, live_w):  # as a picture from the cache is, reduced already
            canvas = np.full((*self.size, 3), PAD, np.uint8)
            canvas[:live_h, :live_w] = source
        else:
            canvas, _ = letterbox(source, self.size)
        return Picture(index, canvas.transpose(2, 0, 1), Letterboxed(ratio, height, width))


@torch.no_grad()
def evaluate(
    model: YOLOX, dataset: DetectionDataset, size: tuple[int, int], job: Job, *, batch: int, workers: int
) -> Evaluation:
    """The COCO figures of `model`, which is in evaluation mode, in float32: what an export is compared with.

    Every process evaluates every `job.world`-th picture and all get the same figures.

    Raises:
        InputError: a picture cannot be read; names it.
    """
    loader: DataLoader[Any] = DataLoader(
        LetterboxedPictures(dataset, size),
        batch_size=batch,
        sampler=range(job.rank, len(dataset), job.world),
        collate_fn=list,
        **worker_options(workers),
    )
    rows: list[dict[str, Any]] = []
    examples: list[tuple[int, Detections]] = []
    for pictures in loader:
        for index, found in _detect(model, pictures, dataset.class_names, size, job.device):
            rows += found.to_coco(int(dataset.image_ids[index]), dataset.category_ids)
            if len(examples) < EXAMPLES:
                examples.append((index, found))
    rows = job.gather(rows)
    figures = score(dataset.to_coco(), rows) if job.is_main else {}
    return Evaluation(job.share(figures), examples)


def draw_examples(found: Evaluation, dataset: DetectionDataset, path: Path) -> None:
    """Draw what was found in the first pictures beside the truth; the suffix of `path` names the format."""
    pictures = [(dataset.load(index), detections) for index, detections in found.examples]
    draw_predictions(pictures, path, [dataset.objects(index) for index, _ in found.examples])


def _detect(
    model: YOLOX,
    pictures: list[Picture | InputError],
    class_names: tuple[str, ...],
    size: tuple[int, int],
    device: torch.device,
) -> list[tuple[int, Detections]]:
    """The detections of a batch, in pixels of the source pictures."""
    sound = []
    for picture in pictures:
        if isinstance(picture, InputError):
            raise picture
        sound.append(picture)
    images = torch.from_numpy(np.stack([picture.image for picture in sound])).to(device)
    raw = model(images.to(torch.float32, memory_format=torch.channels_last)).cpu().numpy()
    form = model.config.output_form()
    grid = anchor_grid(size, priors=form["priors"])
    answers = split_batch(raw, form["suppression"], len(sound))
    return [
        (
            picture.number,
            to_detections(
                rows,
                picture.letterbox,
                thresholds=Thresholds.evaluation(),
                suppression=form["suppression"],
                class_names=class_names,
                grid=grid,
            ),
        )
        for picture, rows in zip(sound, answers, strict=True)
    ]
