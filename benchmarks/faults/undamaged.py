"""The undamaged descriptions and data sets, written in a child before the cases of a kind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np

from yolox_deploy.benchmarks.faults.readers import PREDICT, SIDE, command

HERE = "yolox_deploy.benchmarks.faults.undamaged"
EXP = """import os
from yolox.exp import Exp as MyExp


class Exp(MyExp):
    def __init__(self):
        super().__init__()
        self.depth = 0.33
        self.width = 0.25
        self.input_size = (416, 416)
        self.test_size = (416, 416)
        self.num_classes = 3
        self.max_epoch = 300 // 2
        self.basic_lr_per_img = 0.01 / 64.0
        self.exp_name = os.path.split(os.path.realpath(__file__))[1].split(".")[0]
        self.data_dir = "datasets/mine"
        self.train_ann = "train.json"
"""
SETTINGS = """model = "yolox_nano"
data = "datasets/mine"
epochs = 50
batch = 8
imgsz = [64, 96]
multiscale = [64, 128]
learning_rate = 0.001
optimizer = "sgd"
patience = 3
scale_rate = true

[augmentation]
mosaic = 0.5
mixup_scale = [0.5, 1.5]
max_objects = 50
"""


def write_data_sets(folder: str) -> None:
    """In a child: write the undamaged data sets and a model to evaluate."""
    from yolox_deploy.data import convert
    from yolox_deploy.exporter import export
    from yolox_deploy.files import embedded_checkpoint
    from yolox_deploy.synthetic import write_scenes

    whole = Path(folder)
    write_scenes(whole / "coco", train=3, val=2, size=(96, 128))
    for form in ("yolo", "voc"):
        convert(whole / "coco", form, whole / form)
    export("yolox_nano", weights=embedded_checkpoint(), imgsz=SIDE, out=whole / "nano.onnx", verify=False)


def write_descriptions(folder: str) -> None:
    """In a child: write the undamaged descriptions."""
    from yolox_deploy.tuned import TunedOpening, write_tuned

    whole = Path(folder)
    write_data_sets(folder)
    texts = whole / "texts"
    texts.mkdir()
    (texts / "settings.toml").write_text(SETTINGS)
    (texts / "exp.py").write_text(EXP)
    (texts / "names.txt").write_text("ball\ncup\nbox\n")
    sides = [[[8.0, 8.0], [12.0, 9.0], [16.0, 20.0]]] * 3
    (texts / "priors.json").write_text(json.dumps({"priors": sides, "imgsz": [SIDE, SIDE], "boxes": 9}))
    _write_stream(texts / "stream.jsonl")
    tuned, predicted = whole / "tuned", whole / "predicted"
    tuned.mkdir()
    shutil.copyfile(whole / "nano.onnx", tuned / "nano.onnx")
    os.environ["YOLOX_DEPLOY_CACHE"] = str(tuned / "cache")
    write_tuned(tuned / "nano.onnx", TunedOpening(str(tuned / "nano.onnx"), "onnxruntime", threads=1))
    predicted.mkdir()
    shutil.copyfile(tuned / "nano.onnx", predicted / "nano.onnx")
    shutil.copytree(whole / "coco" / "val", predicted / "pictures")
    _write_sequences(whole / "sequences")
    if code := command(PREDICT, predicted):
        raise ValueError(f"predict ended with {code}")


def _write_stream(path: Path) -> None:
    from yolox_deploy.detections import Detections
    from yolox_deploy.streaming.events import StreamEvent
    from yolox_deploy.streaming.record import StreamRecord

    names = ("ball", "cup")
    box, score, class_id = np.array([[1, 2, 30, 40]], np.float32), np.array([0.5], np.float32), np.array([1])
    found = Detections(box, score, class_id, names, image_size=(96, 128))
    events = tuple(StreamEvent(n, n / 10, n / 10 + 0.01, n / 10 + 0.02, found) for n in range(4))
    StreamRecord("street.mp4", 10.0, 4, 0, "newest", {"model": "yolox_nano"}, names, events).save(path)


def _write_sequences(folder: Path) -> None:
    folder.mkdir()
    images = [
        {"id": n, "file_name": f"{n}.jpg", "width": 128, "height": 96, "sid": n // 2, "fid": n % 2}
        for n in range(4)
    ]
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [1, 2, 30, 40], "area": 1200, "iscrowd": 0}
        for n in range(4)
    ]
    document = {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": 1, "name": "ball"}],
        "sequences": ["a", "b"],
        "seq_dirs": ["a", "b"],
        "fps": 30,
    }
    (folder / "annotations.json").write_text(json.dumps(document))
