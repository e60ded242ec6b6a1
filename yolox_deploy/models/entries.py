"""What a checkpoint tells beside its weights: the model, the classes, the size; by our trainer and by others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from yolox_deploy.errors import CheckpointError, UsageError
from yolox_deploy.models.model_config import ModelConfig, recorded_config
from yolox_deploy.models.naming import get_config, named
from yolox_deploy.models.zoo import SIZE_DIVISOR


def told_configs(entries: Mapping[Any, Any]) -> Iterator[ModelConfig]:
    """The models that the file says it is of: as our trainer writes it, and as it did in 0.1.0 by name alone."""
    record, name = entries.get("architecture"), entries.get("model_name")
    recorded = recorded_config(record) if isinstance(record, dict) else None
    with suppress(UsageError):
        by_name = get_config(name) if isinstance(name, str) else None
        if by_name is not None and (recorded is None or by_name.record() == recorded.record()):
            yield by_name
            return
    with suppress(UsageError):
        if recorded is not None:
            yield named(recorded)


def find_class_names(
    entries: Mapping[Any, Any], num_classes: int | None, path: Path
) -> tuple[str, ...] | None:
    names = _texts(entries.get("class_names"))
    if names is None:
        return _mmdetection_names(entries, num_classes)
    if num_classes is not None and len(names) != num_classes:
        raise CheckpointError(f"{path} names {len(names)} classes but its weights predict {num_classes}")
    return names


def _mmdetection_names(entries: Mapping[Any, Any], num_classes: int | None) -> tuple[str, ...] | None:
    """The names among mmdetection's facts on the data set, where they are as many as the classes."""
    meta = entries.get("meta")
    facts = meta if isinstance(meta, dict) else {}
    inner = facts.get("dataset_meta")
    found = [
        _texts(table.get(key))
        for table in (inner if isinstance(inner, dict) else {}, facts)
        for key in ("classes", "CLASSES")
    ]
    return next((names for names in found if names is not None and len(names) == num_classes), None)


def _texts(names: object) -> tuple[str, ...] | None:
    sound = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if sound and isinstance(names, list | tuple) else None


def find_input_size(entries: Mapping[Any, Any]) -> tuple[int, int] | None:
    """`imgsz` among the settings of a training run; whatever else a foreign file keeps there is not ours."""
    settings = entries.get("config")
    size = settings.get("imgsz") if isinstance(settings, dict) else None
    if not isinstance(size, list | tuple) or len(size) != 2:
        return None
    sound = all(isinstance(side, int) and side > 0 and side % SIZE_DIVISOR == 0 for side in size)
    return (size[0], size[1]) if sound else None
