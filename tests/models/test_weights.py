"""Weights fetched from a real server on this machine: resumed, restarted, refused, and offline."""

from __future__ import annotations

import hashlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from yolox_deploy.errors import ArtifactError
from yolox_deploy.files import cache_dir, is_offline
from yolox_deploy.models import get_config, weights
from yolox_deploy.models.weights import download, fetch_weights

CONTENT = bytes(range(256)) * 4000  # about 1 MB
NANO = get_config("yolox_nano")
FILE = "yolox_nano.pth"


@dataclass
class Server:
    """What the server does, and what it was asked for."""

    address: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    sends_length: bool = True
    cut_at: int | None = None
    status: int | None = None
    stalls: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self) -> str:
        return f"{self.address}/{FILE}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def do_GET(self) -> None:
        state, wanted = self.state, self.headers.get("Range")
        state.asked.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
        if state.status is not None:
            self.send_error(state.status)
            return
        if start >= len(state.content):
            self.send_error(416)
            return
        body = state.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
        if state.sends_length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body if state.cut_at is None else body[: state.cut_at])
        while state.stalls:
            time.sleep(0.01)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    handler = type("BoundHandler", (Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        state.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("YOLOX_DEPLOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("YOLOX_DEPLOY_OFFLINE", raising=False)
    monkeypatch.delenv("YOLOX_DEPLOY_WEIGHTS_URL", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def mirror(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("YOLOX_DEPLOY_WEIGHTS_URL", server.address + "/")
    return server


def test_the_cache_is_the_users_own_unless_it_is_moved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("YOLOX_DEPLOY_CACHE")
    assert cache_dir().name == "yolox-deploy"
    assert not cache_dir().is_relative_to(Path(weights.__file__).parent)


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_offline_switch(monkeypatch: pytest.MonkeyPatch, value: str, offline: bool) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_OFFLINE", value)
    assert is_offline() is offline


def test_weights_are_fetched_once_then_come_from_the_cache(mirror: Server, own_cache: Path) -> None:
    path = fetch_weights(NANO)
    assert path == own_cache / "weights" / FILE
    assert path.read_bytes() == CONTENT
    assert fetch_weights(NANO) == path
    assert mirror.asked == [(f"/{FILE}", None)]
    assert sorted(p.name for p in path.parent.iterdir()) == [FILE, f"{FILE}.sha256"]
    assert path.with_name(f"{FILE}.sha256").read_text() == hashlib.sha256(CONTENT).hexdigest()


def test_what_is_cached_works_offline(mirror: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch_weights(NANO)
    monkeypatch.setenv("YOLOX_DEPLOY_OFFLINE", "1")
    assert fetch_weights(NANO) == path


def test_offline_opens_no_socket_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*arguments: object, **options: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setenv("YOLOX_DEPLOY_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", no_socket)
    monkeypatch.setattr(socket, "create_connection", no_socket)
    with pytest.raises(ArtifactError, match=r"YOLOX_DEPLOY_OFFLINE is set; fetch https://.*--weights FILE"):
        fetch_weights(NANO)


@pytest.mark.parametrize("damage", [b"", b"something else"])
def test_a_damaged_cache_is_noticed(mirror: Server, damage: bytes) -> None:
    path = fetch_weights(NANO)
    path.write_bytes(damage)
    with pytest.raises(ArtifactError, match=r"is damaged.*delete it and try again"):
        fetch_weights(NANO)
    path.unlink()
    assert fetch_weights(NANO).read_bytes() == CONTENT


def test_a_file_without_its_digest_is_fetched_again(mirror: Server, own_cache: Path) -> None:
    """A process that was killed between the two must not make an unchecked file pass for good."""
    (own_cache / "weights").mkdir(parents=True)
    (own_cache / "weights" / FILE).write_bytes(b"half a file")
    assert fetch_weights(NANO).read_bytes() == CONTENT


def test_a_cut_connection_keeps_what_came_and_the_next_try_goes_on(mirror: Server, own_cache: Path) -> None:
    mirror.cut_at = 300_000
    with pytest.raises(ArtifactError, match=r"ended at 300000 of 1024000 bytes.*Try again to go on"):
        fetch_weights(NANO)
    folder = own_cache / "weights"
    assert [path.name for path in folder.iterdir()] == [f"{FILE}.part"]
    mirror.cut_at = None
    assert fetch_weights(NANO).read_bytes() == CONTENT
    assert mirror.asked[1:] == [(f"/{FILE}", "bytes=300000-")]
    assert not list(folder.glob("*.part"))


def test_a_server_without_ranges_starts_afresh(server: Server, tmp_path: Path) -> None:
    target = tmp_path / FILE
    target.with_name(f"{FILE}.part").write_bytes(b"of another file " * 1000)
    server.ranges = False
    download(server.url(), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) + 7])
def test_a_part_that_reaches_the_end_or_beyond_starts_afresh(
    server: Server, tmp_path: Path, length: int
) -> None:
    target = tmp_path / FILE
    target.with_name(f"{FILE}.part").write_bytes(b"x" * length)
    download(server.url(), target)
    assert target.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [f"bytes={length}-", None]


def test_a_server_that_names_no_length(server: Server, tmp_path: Path) -> None:
    server.sends_length = False
    download(server.url(), tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_an_error_of_the_server_is_named(server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(ArtifactError, match=f"could not fetch http://.*the server answered {status}"):
        download(server.url(), tmp_path / FILE)
    assert list(tmp_path.iterdir()) == []


def test_no_server_at_all(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(ArtifactError, match=r"could not fetch .*refused"):
        download(f"http://127.0.0.1:{port}/{FILE}", tmp_path / FILE)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "TIMEOUT_SECONDS", 0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ArtifactError, match=r"could not fetch .*timed out"),
    ):
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/{FILE}", tmp_path / FILE)


@pytest.mark.parametrize("mirror_value", ["/some/folder", "example.org/weights"])
def test_a_mirror_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, mirror_value: str) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_WEIGHTS_URL", mirror_value)
    with pytest.raises(ArtifactError, match=r"no address.*YOLOX_DEPLOY_WEIGHTS_URL"):
        fetch_weights(NANO)


def test_a_model_without_published_weights_says_so() -> None:
    with pytest.raises(ArtifactError, match="has no published weights; pass --weights FILE"):
        fetch_weights(replace(NANO, weights_url=None))


def test_a_file_that_was_put_there_by_hand_works_offline(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOX_DEPLOY_OFFLINE", "1")
    path = own_cache / "weights" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch_weights(NANO) == path
    path.write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="is damaged"):
        fetch_weights(NANO)


def test_two_that_fetch_the_same_file_do_not_write_into_each_other(server: Server, tmp_path: Path) -> None:
    target = tmp_path / FILE
    target.with_name(f"{FILE}.part").write_bytes(CONTENT[:300_000])
    both = threading.Barrier(2)
    real = weights._copy

    def together(*arguments: Any) -> None:
        both.wait(10)
        real(*arguments)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(weights, "_copy", together)
        for done in [pool.submit(download, server.url(), target) for _ in range(2)]:
            done.result(20)
    assert target.read_bytes() == CONTENT
    assert sorted(wanted or "" for _, wanted in server.asked) == ["", "bytes=300000-"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_download_that_was_killed_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / FILE
    code = (
        "import sys; from pathlib import Path; from yolox_deploy.models.weights import download; "
        "download(sys.argv[1], Path(sys.argv[2]))"
    )
    server.stalls, server.cut_at = True, 700_000
    process = subprocess.Popen([sys.executable, "-c", code, server.url(), str(target)])
    try:
        until = time.monotonic() + 30
        while (
            not any(file.stat().st_size > 0 for file in target.parent.glob(".*")) and time.monotonic() < until
        ):
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.stalls, server.cut_at = False, None
    (left,) = target.parent.iterdir()
    size = left.stat().st_size
    download(server.url(), target)
    assert size > 0
    assert server.asked[-1] == (f"/{FILE}", f"bytes={size}-")
    assert [(file.name, file.read_bytes()) for file in target.parent.iterdir()] == [(FILE, CONTENT)]
