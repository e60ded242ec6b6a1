"""What others write: prefixes, other keys, averaged weights, mmdetection's names; and what is no YOLOX."""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.conftest import drawn_model
from yolox_deploy.errors import CheckpointError
from yolox_deploy.models import build_model, load_checkpoint, read_checkpoint
from yolox_deploy.models.yolox import YOLOX

Weights = dict[str, Tensor]
NAME = "yolox_nano@0.125"
MMENGINE = {"mmengine_version": "0.10.7", "epoch": 300}


@pytest.fixture(scope="module")
def narrow() -> YOLOX:
    """A narrow YOLOX-Nano of 3 classes, whose weights depend on their names."""
    return drawn_model(NAME, 3)


def under(prefix: str, weights: Mapping[str, Tensor]) -> Weights:
    return {prefix + key: value for key, value in weights.items()}


def raw(weights: Mapping[str, Tensor]) -> Weights:
    """Other weights of the same network: what a file holds beside the averaged ones."""
    return {key: value + 1 for key, value in weights.items()}


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


FORMS: dict[str, Callable[[Weights], Any]] = {
    "DDP": lambda w: under("module.", w),
    "DDP under model": lambda w: {"model": under("module.", w), "start_epoch": 3},
    "wrapped twice": lambda w: under("module.model.", w),
    "averaged": lambda w: under("ema.", w),
    "Lightning": lambda w: {
        "state_dict": {**under("model.", w), "criterion.weight": torch.ones(2)},
        "epoch": 2,
        "optimizer_states": [],
    },
    "Lightning, averaged": lambda w: {
        "state_dict": {**under("model.", raw(w)), **under("ema_model.module.", w)},
        "hyper_parameters": {"lr": 0.1},
    },
    "beside averaged": lambda w: {"model": raw(w), "ema": w},
    "averaged module": lambda w: {"model": raw(w), "ema": {"module": w, "updates": 7}},
    "timm": lambda w: {"state_dict": raw(w), "state_dict_ema": w},
    "mmengine": lambda w: {
        "meta": MMENGINE,
        "state_dict": w,
        "ema_state_dict": {**under("module.", raw(w)), "steps": torch.tensor(9)},
    },
    "averaged by torch": lambda w: {"model": {"n_averaged": torch.tensor(9), **under("module.", w)}},
    "amid other entries": lambda w: {**w, "epoch": 3, "best_ap": 0.25},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_weights_are_found_and_said(form: str, narrow: YOLOX, tmp_path: Path) -> None:
    path = saved(tmp_path / "other.pth", FORMS[form](narrow.state_dict()))
    model = build_model(NAME, 3)
    checkpoint = load_checkpoint(model, path)
    assert checkpoint.model_name == "yolox_d0.33_w0.125_dw"
    assert checkpoint.num_classes == 3
    assert all(torch.equal(tensor, model.state_dict()[key]) for key, tensor in narrow.state_dict().items())
    assert bool(checkpoint.notes) == (form != "amid other entries")


def test_what_the_notes_say(narrow: YOLOX, tmp_path: Path) -> None:
    content = FORMS["Lightning"](narrow.state_dict())
    assert read_checkpoint(saved(tmp_path / "lightning.pth", content)).notes == (
        "the weights are those under 'state_dict'",
        "'model.' was taken off all names",
        "left out, as no part of the network: 1 (criterion.weight)",
    )


@pytest.mark.parametrize("content", [lambda w: w, lambda w: {"model": w, "start_epoch": 300, "best_ap": 0.2}])
def test_the_authors_own_form_needs_no_words(
    narrow: YOLOX, tmp_path: Path, content: Callable[[Weights], Any]
) -> None:
    assert read_checkpoint(saved(tmp_path / "plain.pth", content(narrow.state_dict()))).notes == ()


def test_a_prefix_of_some_keys_alone_stays(narrow: YOLOX, tmp_path: Path) -> None:
    weights = {
        ("module." + key if key.startswith("backbone.") else key): value
        for key, value in narrow.state_dict().items()
    }
    with pytest.raises(CheckpointError, match=r"foreign: \d+ \(module\.backbone\."):
        load_checkpoint(build_model(NAME, 3), saved(tmp_path / "half.pth", weights))


def test_several_networks_are_ambiguous(narrow: YOLOX, tmp_path: Path) -> None:
    weights = {**under("student.", narrow.state_dict()), **under("teacher.", narrow.state_dict())}
    with pytest.raises(CheckpointError, match=r"several networks: 'student\.', 'teacher\.'; save the one"):
        read_checkpoint(saved(tmp_path / "two.pth", weights))


def convolution(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """A convolution of mmdetection with BatchNorm: (its name, ours) of each tensor."""
    tensors = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    for tensor in (*tensors, "bn.num_batches_tracked"):
        yield f"{theirs}.{tensor}", f"{ours}.{tensor}"


def separable(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    yield from convolution(f"{theirs}.depthwise_conv", f"{ours}.dconv")
    yield from convolution(f"{theirs}.pointwise_conv", f"{ours}.pconv")


def cross_stage(theirs: str, ours: str, bottlenecks: int) -> Iterator[tuple[str, str]]:
    yield from convolution(f"{theirs}.main_conv", f"{ours}.conv1")
    yield from convolution(f"{theirs}.short_conv", f"{ours}.conv2")
    yield from convolution(f"{theirs}.final_conv", f"{ours}.conv3")
    for block in range(bottlenecks):
        yield from convolution(f"{theirs}.blocks.{block}.conv1", f"{ours}.m.{block}.conv1")
        yield from separable(f"{theirs}.blocks.{block}.conv2", f"{ours}.m.{block}.conv2")


def mmdetection_names() -> Iterator[tuple[str, str]]:
    """All names of its YOLOX-Nano beside ours, as its modules are built: CSPDarknet, YOLOXPAFPN, YOLOXHead."""
    yield from convolution("backbone.stem.conv", "backbone.backbone.stem.conv")
    for stage, bottlenecks in enumerate((1, 3, 3, 1), start=1):
        theirs, ours = f"backbone.stage{stage}", f"backbone.backbone.dark{stage + 1}"
        yield from separable(f"{theirs}.0", f"{ours}.0")
        if stage == 4:
            yield from convolution(f"{theirs}.1.conv1", f"{ours}.1.conv1")
            yield from convolution(f"{theirs}.1.conv2", f"{ours}.1.conv2")
        last = 2 if stage == 4 else 1
        yield from cross_stage(f"{theirs}.{last}", f"{ours}.{last}", bottlenecks)
    yield from convolution("neck.reduce_layers.0", "backbone.lateral_conv0")
    yield from convolution("neck.reduce_layers.1", "backbone.reduce_conv1")
    yield from cross_stage("neck.top_down_blocks.0", "backbone.C3_p4", 1)
    yield from cross_stage("neck.top_down_blocks.1", "backbone.C3_p3", 1)
    yield from separable("neck.downsamples.0", "backbone.bu_conv2")
    yield from separable("neck.downsamples.1", "backbone.bu_conv1")
    yield from cross_stage("neck.bottom_up_blocks.0", "backbone.C3_n3", 1)
    yield from cross_stage("neck.bottom_up_blocks.1", "backbone.C3_n4", 1)
    for level in range(3):
        yield from convolution(f"neck.out_convs.{level}", f"head.stems.{level}")
        for tower in ("cls_convs", "reg_convs"):
            for layer in range(2):
                theirs = f"bbox_head.multi_level_{tower}.{level}.{layer}"
                yield from separable(theirs, f"head.{tower}.{level}.{layer}")
        for what in ("cls", "reg", "obj"):
            for tensor in ("weight", "bias"):
                theirs = f"bbox_head.multi_level_conv_{what}.{level}.{tensor}"
                yield theirs, f"head.{what}_preds.{level}.{tensor}"


def test_mmdetections_names_are_translated(narrow: YOLOX, tmp_path: Path) -> None:
    names, weights = dict(mmdetection_names()), narrow.state_dict()
    assert sorted(names.values()) == sorted(weights)
    renamed = {theirs: weights[ours] for theirs, ours in names.items()}
    copies = {"ema_" + key.replace(".", "_"): value + 1 for key, value in renamed.items()}
    content = {
        "meta": {"CLASSES": ("cat", "dog", "bird"), "epoch": 300},
        "state_dict": OrderedDict({**renamed, **copies}),
    }
    path = saved(tmp_path / "mmdetection.pth", content)
    model = build_model(NAME, 3)
    checkpoint = load_checkpoint(model, path)
    assert checkpoint.class_names == ("cat", "dog", "bird")
    assert checkpoint.notes[-1] == "mmdetection's names of the layers were translated"
    image = torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        assert torch.equal(model.eval()(image), narrow.eval()(image))


def test_mmengines_logs_are_left_out(narrow: YOLOX, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint of a run has them; its pickle names mmengine's class, NumPy arrays and `getattr`."""
    module = types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self) -> None:
            self.values = np.arange(3.0)

        def mean(self) -> float:
            return float(self.values.mean())

        def __getstate__(self) -> dict[str, Any]:
            return {**self.__dict__, "methods": {"mean": self.mean.__func__}}  # type: ignore[attr-defined]

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = module.__name__, "HistoryBuffer"
    HistoryBuffer.mean.__qualname__ = "HistoryBuffer.mean"
    HistoryBuffer.mean.__module__ = module.__name__
    module.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    hub = {"log_scalars": OrderedDict(loss=HistoryBuffer()), "runtime_info": {"iter": 3}}
    content = {"meta": MMENGINE, "message_hub": hub, "state_dict": narrow.state_dict()}
    path = saved(tmp_path / "epoch_300.pth", content)
    monkeypatch.undo()
    assert read_checkpoint(path).num_classes == 3


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (("model.0.conv.weight", "model.24.m.0.weight"), "a YOLO of Ultralytics"),
        (("model.22.cv2.0.0.conv.weight", "model.22.dfl.conv.weight"), "a YOLO of Ultralytics"),
        (("backbone.body.conv1.weight", "roi_heads.box_head.fc6.weight"), "a detector of torchvision"),
        (("backbone.conv1.weight", "bbox_head.fc_cls.weight"), "another detector of mmdetection"),
        (("fc.weight",), "its names are not YOLOX's: expected backbone.backbone.stem"),
    ],
)
def test_other_networks_are_called_by_name(tmp_path: Path, keys: tuple[str, ...], what: str) -> None:
    path = saved(tmp_path / "other.pth", {"state_dict": {key: torch.zeros(2) for key in keys}})
    with pytest.raises(CheckpointError, match=what):
        load_checkpoint(build_model(NAME, 3), path)


def test_the_nearest_model_is_named_where_a_layer_differs(narrow: YOLOX, tmp_path: Path) -> None:
    weights = {**narrow.state_dict(), "head.reg_preds.0.bias": torch.zeros(8)}
    with pytest.raises(
        CheckpointError, match=r"yolox_d0.33_w0.125_dw, which differs in 1 \(head.reg_preds.0.b"
    ):
        load_checkpoint(build_model(NAME, 3), saved(tmp_path / "odd.pth", weights))
