"""Weights to start from: rows of the class predictors by the names of the classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from yolox_deploy.class_names import CLASS_NAMES
from yolox_deploy.models import build_model, read_checkpoint
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.training.pretrained import find_rows, known_classes, load_pretrained


def saved(path: Path, model: YOLOX, names: tuple[str, ...] | None = None, **entries: object) -> Path:
    named = {} if names is None else {"class_names": list(names)}
    torch.save({"model": model.state_dict(), **named, **entries}, path)
    return path


def rows(model: YOLOX, key: str, before: int = 0) -> Tensor:
    """(priors, classes, …) of a class predictor, without the rows of the box and the objectness."""
    value = model.state_dict()[key]
    return value.reshape(model.head.num_priors, -1, *value.shape[1:])[:, before:]


@pytest.mark.parametrize(
    ("name", "part", "before"),
    [
        ("yolox_d0.1_w0.125", "cls_preds", 0),
        ("decoupled_head@0.0625", "cls_preds", 0),
        ("yolov3_baseline@0.0625", "preds", 5),
    ],
)
def test_rows_follow_the_names(tmp_path: Path, name: str, part: str, before: int) -> None:
    source, model = build_model(name, 4), build_model(name, 3)
    path = saved(tmp_path / "w.pth", source, ("cat", "airplane", "dog", "tv"))
    messages = load_pretrained(model, path, ("TVmonitor", "gnu", "cat"))
    assert messages[0].startswith(f"{len(model.state_dict())} of {len(model.state_dict())} tensors come from")
    assert messages[1:] == [
        "Its predictors of 2 classes are taken over by name: TVmonitor (there tv), cat. New are gnu: their "
        "predictors start at zero, where objectness alone decides."
    ]
    for level in range(3):
        for kind in ("weight", "bias"):
            key = f"head.{part}.{level}.{kind}"
            found, known = rows(model, key, before), rows(source, key, before)
            assert torch.equal(found[:, 0], known[:, 3])
            assert not found[:, 1].any()
            assert torch.equal(found[:, 2], known[:, 0])
            others = model.state_dict()[key].reshape(model.head.num_priors, -1, *found.shape[2:])[:, :before]
            assert torch.equal(
                others, source.state_dict()[key].reshape(*others.shape[:1], -1, *others.shape[2:])[:, :before]
            )
    others = {key: value for key, value in model.state_dict().items() if not key.startswith(f"head.{part}.")}
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in others.items())


def test_a_new_class_is_as_likely_as_not(tmp_path: Path) -> None:
    model = build_model("yolox_d0.1_w0.125", 1)
    load_pretrained(
        model, saved(tmp_path / "w.pth", build_model("yolox_d0.1_w0.125", 4), tuple("abcd")), ["e"]
    )
    with torch.no_grad():
        found = model.eval()(torch.rand(1, 3, 32, 32) * 255)
    assert torch.equal(found[..., 5], torch.full_like(found[..., 5], 0.5))


def test_as_many_classes_in_another_order_are_not_taken_by_their_place(tmp_path: Path) -> None:
    source, model = build_model("yolox_d0.1_w0.125", 3), build_model("yolox_d0.1_w0.125", 3)
    path = saved(tmp_path / "w.pth", source, ("cat", "dog", "cow"))
    said = load_pretrained(model, path, ("dog", "cow", "gnu"))[-1]
    key = "head.cls_preds.0.weight"
    assert torch.equal(rows(model, key)[0, :2], rows(source, key)[0, 1:])
    assert (
        "New are gnu: their predictors start at zero, where objectness alone decides; match_classes=false"
        in said
    )
    load_pretrained(model, path)
    assert torch.equal(rows(model, key), rows(source, key))


def test_the_same_names_need_no_word(tmp_path: Path) -> None:
    source, model = build_model("yolox_d0.1_w0.125", 2), build_model("yolox_d0.1_w0.125", 2)
    path = saved(tmp_path / "w.pth", source, ("cat", "dog"))
    assert len(load_pretrained(model, path, ("cat", "dog"))) == 1
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in model.state_dict().items())


def test_no_common_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", build_model("yolox_d0.1_w0.125", 2), ("cat", "dog"))
    model = build_model("yolox_d0.1_w0.125", 2)
    said = load_pretrained(model, path, ("a", "b"))[-1]
    assert said.startswith("None of its 2 classes has a name of the data set. New are a, b: ")
    assert said.endswith("; match_classes=false takes them in their order.")
    assert not rows(model, "head.cls_preds.1.weight").any()


def test_the_authors_files_name_no_classes(shared: Path) -> None:
    checkpoint = read_checkpoint(shared / "real" / "yolox_nano.pth")
    found, said = find_rows(("aeroplane", "Person", "gnu"), checkpoint)
    assert found == (4, 0, None)
    assert said[0] == "The checkpoint names no classes; its 80 are COCO's, as the authors' have."
    assert known_classes(checkpoint.path, ("aeroplane", "Person", "gnu", "okapi")) == (0.5, False)
    assert known_classes(checkpoint.path, CLASS_NAMES) == (1.0, False)


def test_nameless_files_of_other_trainers(tmp_path: Path) -> None:
    """80 classes are COCO's at a guess; where both sides have as many, their order is no worse a guess."""
    path = saved(tmp_path / "w.pth", build_model("yolox_d0.1_w0.125", 80), epoch=3)
    checkpoint = read_checkpoint(path)
    found, said = find_rows(("car", "person"), checkpoint)
    assert found == (2, 0)
    assert (
        "its 80 are COCO's, not for certain: it predicts 80 classes and names none, so they are called"
        in said[0]
    )
    names = tuple(f"part {number}" for number in range(80))
    found, said = find_rows(names, checkpoint)
    assert tuple(found) == tuple(range(80))
    assert said == [
        "The checkpoint names no classes and has 80 as the data set: they are taken in their order."
    ]


def test_nameless_classes_that_are_not_80(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(saved(tmp_path / "w.pth", build_model("yolox_d0.1_w0.125", 2)))
    found, said = find_rows(("cat", "dog"), checkpoint)
    assert tuple(found) == (0, 1)
    assert "taken in their order" in said[0]
    found, said = find_rows(("cat",), checkpoint)
    assert tuple(found) == (None,)
    assert said[0].startswith(
        "The checkpoint names none of its 2 classes: all 1 of the data set are new. New are cat"
    )


def test_long_lists_are_cut(shared: Path) -> None:
    _, said = find_rows(CLASS_NAMES[::-1][:30], read_checkpoint(shared / "real" / "yolox_nano.pth"))
    assert said[1].endswith("vase, clock, book, refrigerator, sink, toaster and 20 more.")
