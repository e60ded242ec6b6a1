"""The study of fine-tuning: its data sets, one arm of two steps, and its tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from yolox_deploy.benchmarks.studies import finetuning
from yolox_deploy.benchmarks.studies.finetuning import Outcome, charts, run_arm, table
from yolox_deploy.benchmarks.studies.finetuning_data import (
    KNOWN,
    NEW,
    Photographs,
    build,
    covered,
    split_photographs,
)
from yolox_deploy.data.coco_format import read_coco
from yolox_deploy.data.layouts import open_dataset
from yolox_deploy.models import build_model
from yolox_deploy.synthetic import write_scenes

PICTURES = 8


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    """Generated pictures whose six classes are called as three that the study knows and three that it does not."""
    folder = write_scenes(
        tmp_path_factory.mktemp("photographs") / "scenes", train=PICTURES, val=1, size=(96, 128)
    )
    path = folder / "annotations" / "instances_train.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for row, name in zip(content["categories"], ("dog", *KNOWN, "cat", "bird"), strict=True):
        row["name"] = name
    path.write_text(json.dumps(content), encoding="utf-8")
    return Photographs(path, folder / "train")


def test_the_split_shares_out_what_can_be_judged(photographs: Photographs) -> None:
    dataset = read_coco(photographs.annotations, photographs.images)
    train, val = split_photographs(dataset, seed=0)
    assert sorted(train + val) == list(range(PICTURES))
    assert split_photographs(dataset, seed=0) == (train, val) != split_photographs(dataset, seed=1)

    def shown(indices: list[int]) -> int:
        names = ({dataset.class_names[i] for i in dataset.objects(index).classes} for index in indices)
        return sum(bool(found & set(KNOWN)) for found in names)

    assert 0 <= shown(val) - shown(train) <= 1


def test_mixed_pictures_have_both_kinds(tmp_path: Path, photographs: Photographs) -> None:
    folder = build("mixed", tmp_path / "mixed", photographs, seed=0)
    val = open_dataset(folder, "val")
    assert val.class_names == KNOWN + NEW
    assert len(val) == PICTURES // 2
    parts = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("known", "new")}
    counts = {name: len(part["annotations"]) for name, part in parts.items()}
    assert min(counts.values()) > 0
    assert sum(counts.values()) == len(val.boxes)
    assert [row["name"] for row in parts["new"]["categories"]] == list(NEW)


def test_what_a_mask_covers_of_a_box() -> None:
    mask = torch.zeros(10, 10, dtype=torch.bool).numpy()
    mask[2:4, 2:4] = True
    assert covered(mask, (2, 2, 4, 2)) == 0.5
    assert covered(mask, (20, 2, 4, 2)) == 0.0


def test_one_arm(tmp_path: Path, photographs: Photographs) -> None:
    data = build("people", tmp_path / "people", photographs, seed=0)
    weights = tmp_path / "coco.pth"
    torch.save({"model": build_model("yolox_nano").state_dict()}, weights)
    arm = next(iter(finetuning.ARMS))
    shared = {"weights": weights, "imgsz": (64, 64), "multiscale": None, "workers": 0}
    found = run_arm("people", arm, 0, data, tmp_path, shared, steps=2)
    assert found.steps == 2
    assert found.new == -1 < found.known
    assert len(found.curve) > 0
    assert run_arm("people", arm, 0, data, tmp_path, shared, steps=2) == found


def test_tables_and_charts() -> None:
    def outcome(task: str, arm: str, seed: int, final: float) -> Outcome:
        return Outcome(task, arm, seed, 4, final, final, -1, -1, ((1, 0.0), (2, final)), 1.0)

    found = [outcome("people", "a", 0, 0.1), outcome("people", "a", 1, 0.3), outcome("scenes", "b", 0, 0.5)]
    lines = table(found).splitlines()
    assert lines[0] == "| final | people | scenes |"
    assert lines[2] == "| a | 0.200 (0.100–0.300) | – |"
    assert table(found, "known").splitlines()[2] == "| a | – | – |"
    assert charts(found)["people"]["a"] == [(1, 0.0), (2, 0.2)]
