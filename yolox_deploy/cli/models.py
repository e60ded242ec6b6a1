"""`yolox-deploy models`: the zoo, counted and as published."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from yolox_deploy.cli import options
from yolox_deploy.cli.common import console, print_json, print_table
from yolox_deploy.errors import MissingExtraError, require


def models_command(as_json: options.AsJson = False) -> None:
    """List the models. Parameters and GFLOPs are counted here, AP and V100 latency as published."""
    from yolox_deploy.models.zoo import ZOO

    counted = _count_all(list(ZOO))
    if as_json:
        print_json([{**asdict(config), **counted.get(name, {})} for name, config in ZOO.items()])
        return
    rows = []
    for name, config in ZOO.items():
        figures = config.published[0]
        own = counted.get(name, {})
        rows.append(
            (
                name,
                config.test_size,
                f"{own['parameters'] / 1e6:.2f}" if own else None,
                f"{own['gflops']:.2f}" if own else None,
                figures.gflops,
                figures.ap_val,
                figures.ap_test_dev,
                figures.latency_ms,
            )
        )
    columns = ("model", "size", "params M", "GFLOPs", "published", "AP val", "AP test-dev", "V100 ms")
    print_table(columns, rows)
    out = console()
    out.print(
        "params and GFLOPs: counted here, convolutions as 2 × multiply-accumulate (see docs/models.md)."
    )
    out.print("published: GFLOPs, COCO AP and V100 FP16 batch-1 latency without post-processing, from the")
    out.print("released weights table; the paper's own tables (earlier weights) are in --json with sources.")
    out.print(f"weights: {config.weights_url} and likewise; fetched by `yolox-deploy export MODEL`.")


def _count_all(names: list[str]) -> dict[str, dict[str, Any]]:
    """Our own count of each model, or nothing where torch is not installed."""
    try:
        require("torch", "export")
    except MissingExtraError as error:
        console().print(f"not counted: {error}")
        return {}
    from yolox_deploy.models.complexity import count

    return {name: asdict(count(name)) for name in names}
