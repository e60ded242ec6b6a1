"""The official weights and ONNX files, fetched into the cache folder once.

`YOLOX_DEPLOY_OFFLINE=1` forbids every connection, and `YOLOX_DEPLOY_WEIGHTS_URL` names a mirror: the address of a
folder that holds the official file names.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from yolox_deploy import temporaries
from yolox_deploy.errors import ArtifactError
from yolox_deploy.files import cache_dir, is_offline, make_cache, naming, replacing, sha256, write_text
from yolox_deploy.models.model_config import ModelConfig

TIMEOUT_SECONDS = 30
BLOCK_BYTES = 1 << 18


def fetch_weights(config: ModelConfig) -> Path:
    """The official checkpoint of a zoo model, from the cache or fetched into it; see `_fetch`.

    Raises:
        ArtifactError: none is published, or it cannot be had.
    """
    if config.weights_url is None:
        raise ArtifactError(f"{config.name} has no published weights; pass --weights FILE")
    return _fetch(config.weights_url)


def fetch_onnx(config: ModelConfig) -> Path:
    """The authors' ONNX file of a zoo model, which lies beside its checkpoint; from the cache or fetched into it.

    Raises:
        ArtifactError: none is published, or it cannot be had.
    """
    if config.weights_url is None:
        raise ArtifactError(
            f"{config.name} has no published model file; make one of your own weights: yolox-deploy export "
            f"{config.name} --weights FILE"
        )
    return _fetch(config.weights_url.removesuffix(".pth") + ".onnx")


def _fetch(official: str) -> Path:
    """What lies at an official address, or in the mirror that stands in for it, from the cache or fetched into it.

    An interrupted download goes on where it stopped. The SHA-256 is recorded on arrival and checked at every
    later use, so a damaged cache is noticed. Offline, a file that somebody put there is taken as it is.

    Raises:
        ArtifactError: offline, unreachable, cut short, or the cached file is not the one that arrived.
    """
    url = _mirrored(official)
    target = cache_dir() / "weights" / url.rsplit("/", 1)[-1]
    digest_file = target.with_name(target.name + ".sha256")
    if target.is_file() and digest_file.is_file():
        if sha256(target) != digest_file.read_text(encoding="ascii").strip():
            raise ArtifactError(f"{target} is damaged (its SHA-256 changed); delete it and try again")
        return target
    if is_offline() and target.is_file():
        with suppress(OSError):  # a cache for all users may be theirs to read only
            write_text(digest_file, sha256(target))
        return target
    if is_offline():
        raise ArtifactError(
            f"{target.name} is not in {target.parent} and YOLOX_DEPLOY_OFFLINE is set; "
            f"fetch {url} elsewhere and {_instead(url)}"
        )
    download(url, target)
    write_text(digest_file, sha256(target))
    return target


def download(url: str, target: Path) -> None:
    """Fetch `url` to `target` with a progress bar: into a file of this thread first, renamed when whole.

    A download that stops leaves `TARGET.part`, one that is killed its temporary file, and whoever comes first takes
    that over; another process that fetches the same file meanwhile starts afresh.

    Raises:
        ArtifactError: it cannot be reached or ends early (what arrived is kept for the next try).
    """
    if "://" not in url:
        raise ArtifactError(f"{url!r} is no address; expected https://... (see YOLOX_DEPLOY_WEIGHTS_URL)")
    with naming(target):
        make_cache(target.parent)
    left = target.with_name(target.name + ".part")
    if not left.exists():
        for killed in temporaries.left_of(target)[:1]:
            with suppress(OSError):
                killed.replace(left)
    try:
        with replacing(target, keep=left) as part:
            with suppress(FileNotFoundError):
                left.replace(part)
            _receive(url, part)
    except urllib.error.HTTPError as error:
        said = f"the server answered {error.code} {error.reason}"
        raise _unreachable(url, said, again=error.code >= 500) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(url, str(getattr(error, "reason", error)) or type(error).__name__) from error


def _receive(url: str, part: Path) -> None:
    have = part.stat().st_size if part.is_file() else 0
    try:
        response = _request(url, have)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # what is here already reaches the end or beyond: start afresh
            raise
        have, response = 0, _request(url, 0)
    with response:
        resumed = response.status == 206
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        with part.open("ab" if resumed else "wb") as file:
            _copy(response, file, url, have, total)
    if total is not None and part.stat().st_size != total:
        raise _unreachable(url, f"the connection ended at {part.stat().st_size} of {total} bytes")


def _request(url: str, start: int) -> HTTPResponse:
    headers = {"User-Agent": "yolox-deploy", **({"Range": f"bytes={start}-"} if start else {})}
    request = urllib.request.Request(url, headers=headers)
    response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    return response


def _copy(response: HTTPResponse, file: BinaryIO, url: str, have: int, total: int | None) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(f"fetching {url.rsplit('/', 1)[-1]}", total=total, completed=have)
        while block := response.read(BLOCK_BYTES):
            file.write(block)
            progress.advance(task, len(block))


def _mirrored(url: str) -> str:
    mirror = os.environ.get("YOLOX_DEPLOY_WEIGHTS_URL")
    return f"{mirror.rstrip('/')}/{url.rsplit('/', 1)[-1]}" if mirror else url


def _unreachable(url: str, reason: str, *, again: bool = True) -> ArtifactError:
    cure = (
        "Try again to go on where it stopped" if again else "Look at YOLOX_DEPLOY_WEIGHTS_URL, if that is set"
    )
    return ArtifactError(f"could not fetch {url}: {reason}. {cure}, or fetch it by hand and {_instead(url)}")


def _instead(url: str) -> str:
    return "pass --weights FILE" if url.endswith(".pth") else "give its path in place of the name"
