"""The checksum in an ONNX file of ours, by which one that was damaged is refused.

It is the SHA-256 of the whole file but for the entry of the metadata that holds it: of the graph, the weights and our
description. Writing the same content again, as ONNX's own library does, keeps it. Files of others have none.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from yolox_deploy.errors import ArtifactError
from yolox_deploy.protobuf import Field, delimited, fields

KEY = "yolox_deploy_sha256"
"""Of the checksum's entry, beside our description in the metadata."""
SEALED = "sealed"
"""Stands in a description whose file has a checksum: one that is missing was damaged too."""
UNCHECKED = "unchecked"
_MARKS = (KEY.encode(), f'"{SEALED}": true'.encode())
_END = 1 << 16
"""Bytes at the end of a file in which our description and the checksum stand."""
_METADATA = 14
"""Number of the field of an ONNX model that holds an entry of its metadata; in it 1 is the key, 2 the text."""


class _Entry(NamedTuple):
    """An entry of the metadata, and the bytes of the file that it takes."""

    key: bytes
    text: bytes
    begin: int
    end: int


def seal_onnx(path: Path) -> None:
    """Append the checksum to an ONNX file whose description says `SEALED`."""
    content = _content(path)
    entry = delimited(1, KEY.encode()) + delimited(2, _digest(content, ()).encode())
    del content
    with path.open("ab") as file:
        file.write(delimited(_METADATA, entry))


def check_onnx(path: Path, content: bytes | None = None) -> str:
    """Compare an ONNX file with its checksum: "sha256" where they agree, `UNCHECKED` where there is none.

    Args:
        content: of a file in memory, whose name alone is `path`.

    Raises:
        ArtifactError: they do not agree, or the one that the description tells of is missing.
    """
    view = memoryview(content) if content is not None else _content(path)
    end = bytes(view[-_END:])
    try:
        entries = list(_entries(view))
    except ValueError as error:
        if not any(mark in end for mark in _MARKS):
            return UNCHECKED  # whoever runs it says in its own words what is wrong with it
        raise ArtifactError(f"{path} is damaged ({error}): copy or download it again") from error
    recorded = [entry for entry in entries if entry.key == KEY.encode()]
    told = [end, *(entry.text for entry in entries)]
    if not recorded and not any(mark in text for mark in _MARKS for text in told):
        return UNCHECKED
    found = _digest(view, recorded)
    if [entry.text for entry in recorded] != [found.encode()]:
        named = ", ".join(f"{entry.text[:12].decode(errors='replace')}…" for entry in recorded) or "none"
        raise ArtifactError(
            f"{path} was damaged or changed after its export: its SHA-256 is {found[:12]}…, inside it stands {named}. "
            "Copy it again or export it again; where a tool changed it on purpose, keep it as it is now with: "
            f"yolox-deploy inspect {path} --save"
        )
    return "sha256"


def _content(path: Path) -> memoryview:
    """The bytes of a file, of which no more are read than are looked at."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _entries(view: memoryview) -> Iterator[_Entry]:
    """The metadata of a model; ValueError where the file is cut off or no protobuf."""
    for field in fields(view):
        if field.number == _METADATA and isinstance(field.value, memoryview):
            texts = _texts(field)
            yield _Entry(texts.get(1, b""), texts.get(2, b""), field.begin, field.end)


def _texts(field: Field) -> dict[int, bytes]:
    return {part.number: bytes(part.value) for part in fields(field.value) if not isinstance(part.value, int)}


def _digest(view: memoryview, left_out: list[_Entry] | tuple[()]) -> str:
    """The SHA-256 of a file without these entries."""
    digest, begin = hashlib.sha256(), 0
    for entry in left_out:
        digest.update(view[begin : entry.begin])
        begin = entry.end
    digest.update(view[begin:])
    return digest.hexdigest()
