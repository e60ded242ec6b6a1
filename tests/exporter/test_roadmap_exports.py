"""Models of the roadmap, exported: the detections of PyTorch, and no NMS where none is needed."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from yolox_deploy import Detections, Detector, export
from yolox_deploy.artifact import ArtifactInfo, sidecar_path
from yolox_deploy.converters import Converted, ExportOptions, ncnn_target, onnx_target, openvino_target
from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.exporter.pipeline import store_info
from yolox_deploy.models import build_model, get_config
from yolox_deploy.models.fusion import fuse
from yolox_deploy.models.yolox import YOLOX
from yolox_deploy.postprocess import anchor_grid, decode

SIZE = (64, 96)
NAMES = ("a", "b", "c")
BOX_TOLERANCE, SCORE_TOLERANCE = 0.05, 1e-4
MODELS = ("yolov3_baseline@0.25", "decoupled_head@0.25", "nms_free@0.25")


def drawn(name: str) -> YOLOX:
    """A model whose activations are of order 1 and whose scores differ from place to place, some of them high."""
    torch.manual_seed(0)
    model = build_model(name, len(NAMES)).requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            module.weight.mul_(3)
            module.bias.fill_(1.0)
    for predictor in model.head.box_predictors():
        predictor.bias.view(model.config.priors, -1)[:, :4] = 0.0
    model(torch.rand(4, 3, *SIZE) * 255)
    return model.eval()


@pytest.fixture(scope="module", params=MODELS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("roadmap") / f"{request.param}.pth"
    torch.save({"model": drawn(request.param).state_dict(), "class_names": list(NAMES)}, path)
    return path


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def detect(path: Path, picture: np.ndarray, **options: object) -> Detections:
    with Detector(path, conf=0.3, threads=1, **options) as detector:
        return detector.predict(picture)


def converted_all(checkpoint: Path) -> list[Converted]:
    """ONNX, OpenVINO and NCNN files from one graph, in the folder of the checkpoint."""
    name, folder = checkpoint.name.removesuffix(".pth"), checkpoint.parent
    module = build_model(name, len(NAMES))
    module.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    info = ArtifactInfo(name, NAMES, SIZE, **module.config.output_form())
    options = ExportOptions()
    source = onnx_target.make_source(fuse(module), info, options, folder)
    files = [
        onnx_target.convert(source, folder / "model.onnx", options),
        openvino_target.convert(source, folder / "model.xml", options),
        ncnn_target.convert(source, folder / "model.ncnn.param", options),
    ]
    for converted in files:
        store_info(converted)
    return files


def test_every_format_gives_the_detections_of_pytorch(
    checkpoint: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = get_config(checkpoint.name.removesuffix(".pth"))
    if config.selector:

        def refuse(*_: object) -> None:
            raise AssertionError("non-maximum suppression was called")

        monkeypatch.setattr("yolox_deploy.postprocess.nms", refuse)
    expected = detect(checkpoint, picture, runtime_options={"imgsz": SIZE})
    assert len(expected) > 5
    for file in converted_all(checkpoint):
        assert (file.info.priors, file.info.suppression) == tuple(config.output_form().values())
        found = detect(file.path, picture)
        assert len(found) == len(expected), file.path.name
        # Paired, not in order: scores that are equal but for rounding change places.
        boxes = np.abs(found.boxes[:, None] - expected.boxes).max(axis=2) / BOX_TOLERANCE
        scores = np.abs(found.scores[:, None] - expected.scores) / SCORE_TOLERANCE
        other = np.where(found.class_ids[:, None] == expected.class_ids, 0.0, np.inf)
        distance = np.maximum(boxes, scores) + other
        assert distance.min(axis=0).max() < 1, file.path.name
        assert distance.min(axis=1).max() < 1, file.path.name


def test_export_proves_an_nms_free_model_with_decoding_in_the_graph(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    torch.save({"model": drawn("end_to_end_coupled@0.0625").state_dict()}, weights)
    options = {"weights": weights, "imgsz": SIZE, "class_names": NAMES, "out": tmp_path / "model.xml"}
    with pytest.raises(UsageError, match="needs no suppression"):
        export(None, "openvino", nms=True, **options)
    artifact = export(None, "openvino", decode=True, **options)
    assert artifact.parity["passed"]
    assert artifact.info.model == "end_to_end_coupled@0.0625"
    info = ArtifactInfo.from_json(sidecar_path(artifact.path).read_text())
    assert (info.priors, info.suppression, info.boxes) == (3, "not_needed", "decoded")


def test_priors_repeat_the_points_of_each_level() -> None:
    one, three = anchor_grid((64, 96)), anchor_grid((64, 96), priors=3)
    sizes = [one.strides.tolist().count(stride) for stride in (8, 16, 32)]
    starts = np.cumsum([0, *sizes])
    order = np.concatenate([np.tile(np.arange(a, b), 3) for a, b in itertools.pairwise(starts)])
    np.testing.assert_array_equal(three.offsets, one.offsets[order])
    np.testing.assert_array_equal(three.strides, one.strides[order])
    raw = np.random.default_rng(0).normal(size=(1, len(one), 6))
    np.testing.assert_array_equal(decode(raw[:, order], (64, 96), 3), decode(raw, (64, 96))[:, order])


def test_a_description_without_priors_is_anchor_free() -> None:
    info = ArtifactInfo("toy", NAMES, SIZE)
    old = info.to_json().replace('"priors": 1,', "")
    assert "priors" not in old
    assert ArtifactInfo.from_json(old) == info
    with pytest.raises(ArtifactError, match="priors is 0"):
        ArtifactInfo("toy", NAMES, SIZE, priors=0)
