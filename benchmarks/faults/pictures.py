"""Damaged pictures and videos, and headers that claim more than there is."""

from __future__ import annotations

import hashlib
import random
import struct
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolox_deploy.benchmarks.faults.children import Asked, Ended, run_all
from yolox_deploy.benchmarks.faults.model_files import keep
from yolox_deploy.benchmarks.faults.mutations import CUTS, mutate_bytes
from yolox_deploy.benchmarks.faults.outcomes import Outcome, Result
from yolox_deploy.synthetic.drawing import draw_scene

HERE = "yolox_deploy.benchmarks.faults.pictures"
SUFFIXES = (
    *(".jpg", ".png", ".bmp", ".gif", ".tif", ".webp", ".ppm", ".pam", ".avif", ".jp2"),
    *(".exr", ".hdr", ".sr"),
)
VIDEOS: Mapping[str, str] = {".avi": "MJPG", ".mp4": "mp4v", ".mkv": "mp4v", ".mov": "mp4v"}
FRAMES = 24
SIZES = (0, 1, 65_500, 100_000, 2**31 - 1)
HOSTILE_SHARE = 0.1


def run(seed: int, count: int, folder: Path, until: float, first: int = 0) -> Iterator[Outcome]:
    """Damage so many pictures; see `outcomes.Run`."""
    return _run("pictures", write_pictures, "read_picture", seed, count, folder, until, first)


def run_videos(seed: int, count: int, folder: Path, until: float, first: int = 0) -> Iterator[Outcome]:
    """Damage so many videos; see `outcomes.Run`."""
    return _run("videos", write_videos, "read_video", seed, count, folder, until, first)


def _run(
    name: str,
    write: Callable[[Path], list[Path]],
    reader: str,
    seed: int,
    count: int,
    folder: Path,
    until: float,
    first: int,
) -> Iterator[Outcome]:
    paths = write(folder / "whole")
    modules = (HERE, "yolox_deploy.images", "yolox_deploy.sources")
    whole = dict(run_all(modules, ((path, Asked(f"{HERE}:{reader}", {"path": str(path)})) for path in paths)))

    def asked() -> Iterator[tuple[tuple[int, Path, str], Asked]]:
        for number in range(first, first + count):
            if time.monotonic() > until:
                return
            chance = random.Random(f"{seed}/{name}/{number}")
            path = paths[number % len(paths)]
            content, done = path.read_bytes(), ""
            if name == "pictures" and chance.random() < HOSTILE_SHARE:
                damaged, done = claim_size(chance, content)
            if not done:
                damaged, done = mutate_bytes(chance, content, chance.choice(paths).read_bytes())
            case = folder / "cases" / str(number) / f"damaged{path.suffix}"
            case.parent.mkdir(parents=True, exist_ok=True)
            case.write_bytes(damaged)
            yield (number, path, done), Asked(f"{HERE}:{reader}", {"path": str(case)})

    for (number, path, done), ended in run_all(modules, asked()):
        result = ended.result or _judge(ended, whole[path], done)
        detail = f"{path.name}: {done}" + (f": {ended.detail}" if ended.detail else "")
        outcome = Outcome(name, str(number), result, detail, peak=ended.peak)
        yield keep(outcome, folder / "cases" / str(number), folder, seed)


def _judge(ended: Ended, whole: Ended, done: str) -> Result:
    """A file that was cut off has to be refused, to be equal, or to say that it breaks off."""
    if whole.result is not None or ended.answer["pixels"] == whole.answer["pixels"]:
        return Result.right
    if done in CUTS and not ended.answer["told"]:
        return Result.silent
    return Result.changed


def read_picture(path: str) -> dict[str, Any]:
    """In a child: a digest of the pixels."""
    from yolox_deploy.images import load_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = load_image(path)
    return {"pixels": _digest(image), "told": False}


def read_video(path: str) -> dict[str, Any]:
    """In a child: a digest of all frames, and whether a warning came."""
    from yolox_deploy.sources import open_source

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        digests = [_digest(frame.image) for frame in open_source(path)]
    return {"pixels": _digest(np.array(digests)), "told": bool(caught)}


def _digest(values: Any) -> str:
    return f"{values.shape} {hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()}"


def write_pictures(folder: Path) -> list[Path]:
    """A scene in every format and depth that OpenCV writes here."""
    folder.mkdir(parents=True, exist_ok=True)
    image = draw_scene(np.random.default_rng(7), (96, 128)).image
    deep = image.astype(np.uint16) * 257
    alpha = np.dstack([image, image[..., 0]])
    gray = image[..., 1]
    drawn: list[tuple[str, Any]] = [(f"plain{suffix}", image) for suffix in SUFFIXES]
    drawn += [("deep.png", deep), ("deep.tif", deep), ("alpha.png", alpha), ("alpha.webp", alpha)]
    drawn += [
        ("gray.jpg", gray),
        ("gray.png", gray),
        ("gray.pgm", gray),
        ("gray.tif", gray),
        ("gray.pbm", gray),
    ]
    paths = []
    for name, pixels in drawn:
        path = folder / name
        try:
            written = cv2.imencode(
                path.suffix, pixels.astype(np.float32) if path.suffix in (".exr", ".hdr") else pixels
            )
        except cv2.error:
            continue
        if written[0]:
            path.write_bytes(written[1].tobytes())
            paths.append(path)
    progressive = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]
    (folder / "progressive.jpg").write_bytes(progressive.tobytes())
    return [*paths, folder / "progressive.jpg"]


def write_videos(folder: Path) -> list[Path]:
    """A moving scene in each container that OpenCV writes here."""
    folder.mkdir(parents=True, exist_ok=True)
    image = draw_scene(np.random.default_rng(7), (96, 128)).image
    paths = []
    for suffix, code in VIDEOS.items():
        path = folder / f"moving{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 12.0, (128, 96))
        if writer.isOpened():
            for number in range(FRAMES):
                writer.write(np.roll(image, 3 * number, axis=1))
            paths.append(path)
        writer.release()
    return paths


def claim_size(chance: random.Random, content: bytes) -> tuple[bytes, str]:
    """The file with another size in its header, sound otherwise; as it is, and nothing said, where none is known."""
    size = chance.choice(SIZES), chance.choice(SIZES)
    done = f"claims {size[0]}x{size[1]}"
    if content.startswith(b"\x89PNG"):
        body = content[12:16] + struct.pack(">II", *size) + content[24:29]
        return content[:12] + body + struct.pack(">I", zlib.crc32(body)) + content[33:], done
    if content.startswith(b"BM"):
        return content[:18] + struct.pack("<ii", *size) + content[26:], done
    if content.startswith(b"GIF8"):
        return content[:6] + struct.pack("<HH", *(min(side, 65_535) for side in size)) + content[10:], done
    if content[:2] in (b"P4", b"P5", b"P6"):
        return content[:2] + b"\n%d %d\n255\n" % size + content[15:], done
    if content.startswith(b"\xff\xd8"):
        return _claim_jpeg(content, size), done
    if content[8:12] == b"WEBP" and content[12:16] == b"VP8X":
        sides = b"".join(struct.pack("<I", min(side, 2**24) - 1 & 0xFFFFFF)[:3] for side in size)
        return content[:24] + sides + content[30:], done
    return content, ""


def _claim_jpeg(content: bytes, size: tuple[int, int]) -> bytes:
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = content.find(marker)
        if at > 0:
            sides = struct.pack(">HH", *(min(side, 65_500) for side in size))
            return content[: at + 5] + sides + content[at + 9 :]
    return content
