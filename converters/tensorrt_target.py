"""The targets "trt" and "trt-rtx": TensorRT and TensorRT-RTX engines.

TensorRT measures kernels on the GPU that the engine shall run on, so it builds there. TensorRT-RTX builds
anywhere, without a GPU too, for the compute capability named or for all from 8.0 on, and compiles the rest
when the engine is loaded.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolox_deploy.converters.base import Converted, ExportOptions, Source
from yolox_deploy.converters.float16 import cast_file
from yolox_deploy.converters.onnx_nms import add_nms, describe
from yolox_deploy.converters.tensorrt_build import (
    achieved_precision,
    add_profile,
    load_timing_cache,
    parse,
    serialize,
    store_timing_cache,
)
from yolox_deploy.errors import UsageError, require
from yolox_deploy.files import cache_dir
from yolox_deploy.vendors.gpu import Gpu, find_gpu
from yolox_deploy.vendors.tensorrt_sdk import NOT_YET_RUN, Sdk, check_gpu, load_sdk

if TYPE_CHECKING:
    import onnx

PORTABLE = "8.0+"
"""What TensorRT-RTX builds for when no compute capability is named."""


def convert_tensorrt(source: Source, path: Path, options: ExportOptions) -> Converted:
    """Build a TensorRT engine for the GPU of this machine; see `build_engine`."""
    sdk = load_sdk("tensorrt")
    gpu = find_gpu()
    check_gpu(sdk, gpu)
    asked = options.compute_capability
    if asked is not None and asked != gpu.compute_capability:
        raise UsageError(
            f"TensorRT builds for the GPU it runs on, {gpu.name} ({gpu.capability}); compute capability "
            f"{_text(asked)} was asked for. Export on such a machine, or use --to trt-rtx for an RTX card"
        )
    return build_engine(sdk, source, path, options, gpu)


def convert_tensorrt_rtx(source: Source, path: Path, options: ExportOptions) -> Converted:
    """Build a TensorRT-RTX engine, with or without a GPU here; see `build_engine`."""
    return build_engine(load_sdk("tensorrt-rtx"), source, path, options, None)


def build_engine(sdk: Sdk, source: Source, path: Path, options: ExportOptions, gpu: Gpu | None) -> Converted:
    """Build `path` from the source's ONNX file and describe it.

    Args:
        gpu: the one TensorRT measures on; None for TensorRT-RTX.

    Returns:
        The engine, with the precision read back from its network.

    Raises:
        ArtifactError: the graph cannot be parsed, typed or built; with TensorRT's reasons.
        UsageError: options that cannot work.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        typed = write_typed_onnx(source, options, Path(folder))
        typed_onnx = Path(shutil.copyfile(typed, path.with_suffix(".typed.onnx")))
        parsed = parse(sdk, typed)
        precision = achieved_precision(parsed, options.precision)
        config = make_config(sdk, parsed.builder, options)
        profile = add_profile(parsed, config, options.max_batch, source.info.input_size, options.size_range)
        cache_file = None if gpu is None else _timing_cache_file(sdk, gpu)
        cache = None if cache_file is None else load_timing_cache(config, cache_file)
        serialize(sdk, parsed, config, path, options.report)
        if cache_file is not None:
            store_timing_cache(cache, cache_file)
    info = replace(
        source.info,
        format=sdk.flavor,
        precision=precision,
        versions={**source.info.versions, sdk.flavor: sdk.version},
        details={
            **source.info.details,
            "flavor": sdk.flavor,
            "tensorrt": sdk.version,
            "gpu": gpu.name if gpu is not None else None,
            "compute_capability": [_built_for(options, gpu)],
            "layers": parsed.layers,
            "profile": profile,
            "workspace_mib": options.workspace_mib,
            "note": NOT_YET_RUN,
        },
    )
    return Converted(path, describe(info, options), typed_onnx=typed_onnx)


def write_typed_onnx(source: Source, options: ExportOptions, folder: Path) -> Path:
    """The ONNX file whose types are the ones to build: TensorRT takes them as they stand.

    INT8 keeps half precision between its quantised convolutions; float32 there would cost what INT8 saves.
    """
    path = source.onnx
    if options.precision == "int8":
        from yolox_deploy.converters.onnx_int8 import quantize

        path = folder / "quantized.onnx"
        quantize(source.onnx, path, source.info, options, symmetric=True)
    if options.precision != "fp32":
        cast_file(path, folder / "cast.onnx", "bf16" if options.precision == "bf16" else "fp16")
        path = folder / "cast.onnx"
    if options.uint8_input:
        path = _saved(_cast_first(_loaded(path)), folder / "cast_first.onnx")
    if options.nms:
        path = _saved(_loaded(path), folder / "nms.onnx")
        add_nms(path, options)
    return path


def make_config(sdk: Sdk, builder: Any, options: ExportOptions) -> Any:
    """Builder settings: scratch memory, exact float32, and the GPU that TensorRT-RTX builds for.

    Raises:
        UsageError: TensorRT-RTX does not know the compute capability.
    """
    trt, config = sdk.module, builder.create_builder_config()
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    # TF32 would round float32 convolutions to 10 bits: fp32 must mean it, the others have names of their own.
    config.clear_flag(trt.BuilderFlag.TF32)
    if sdk.flavor == "tensorrt-rtx" and options.compute_capability is not None:
        name = "SM{}{}".format(*options.compute_capability)
        known = {key: value for key, value in trt.ComputeCapability.__members__.items() if key[-1].isdigit()}
        if name not in known:
            raise UsageError(
                f"{sdk.title} {sdk.version} cannot build for compute capability "
                f"{_text(options.compute_capability)}; it knows {', '.join(sorted(known))}"
            )
        config.num_compute_capabilities = 1
        config.set_compute_capability(known[name], 0)
    return config


def _built_for(options: ExportOptions, gpu: Gpu | None) -> str:
    if gpu is not None:
        return gpu.capability
    return PORTABLE if options.compute_capability is None else _text(options.compute_capability)


def _timing_cache_file(sdk: Sdk, gpu: Gpu) -> Path:
    return cache_dir() / "tensorrt" / f"timing-{sdk.version}-sm{gpu.capability}.cache"


def _cast_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a uint8 input before it is transposed: TensorRT lets no other operator touch uint8."""
    producer = {name: node for node in model.graph.node for name in node.output}
    inputs = {tensor.name for tensor in model.graph.input}
    for cast in model.graph.node:
        transpose = producer.get(cast.input[0]) if cast.op_type == "Cast" else None
        if transpose is not None and transpose.op_type == "Transpose" and transpose.input[0] in inputs:
            first, second = type(cast)(), type(cast)()
            first.CopyFrom(cast)
            second.CopyFrom(transpose)
            for node, place in ((first, transpose), (second, cast)):
                node.input[0], node.output[0] = place.input[0], place.output[0]
            transpose.CopyFrom(first)
            cast.CopyFrom(second)
    del model.graph.value_info[:]  # names the type that the tensor between them no longer has
    return model


def _loaded(path: Path) -> onnx.ModelProto:
    model: onnx.ModelProto = require("onnx", "export").load(str(path))
    return model


def _saved(model: onnx.ModelProto, path: Path) -> Path:
    require("onnx", "export").save(model, str(path))
    return path


def _text(capability: tuple[int, int]) -> str:
    return "{}.{}".format(*capability)
