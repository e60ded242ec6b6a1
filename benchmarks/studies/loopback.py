"""A camera that can be unplugged: pictures as MJPEG over HTTP on this machine's loopback address."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BOUNDARY = "frame"


class LoopbackCamera:
    """Serves `picture(0)`, `picture(1)`, … at `rate` to whoever opens `address`, until it is closed.

    Each client gets pictures from the first on. A context manager.

    Args:
        picture: by number, an encoded JPEG; called from the threads of the clients.
        rate: pictures a second.
        count: pictures a connection; None for no end.
    """

    def __init__(self, picture: Callable[[int], bytes], *, rate: float, count: int | None = None) -> None:
        self.plugged = threading.Event()
        self.plugged.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(picture, rate, count, self.plugged))
        self._server.daemon_threads = False  # closing waits for them
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="loopback camera"
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Where OpenCV and browsers find it."""
        return f"http://127.0.0.1:{self._server.server_port}/stream.mjpg"

    def unplug(self) -> None:
        """Drop every connection, and answer new ones with 503 until `plug`."""
        self.plugged.clear()

    def plug(self) -> None:
        """Serve again."""
        self.plugged.set()

    def close(self) -> None:
        """Drop every connection and free the port."""
        self.plugged.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> LoopbackCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _handler(
    picture: Callable[[int], bytes], rate: float, count: int | None, plugged: threading.Event
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if not plugged.is_set():
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.end_headers()
            try:
                self._send_pictures()
            except (BrokenPipeError, ConnectionResetError):
                return  # the client left

        def _send_pictures(self) -> None:
            start, number = time.monotonic(), 0
            while plugged.is_set() and (count is None or number < count):
                data = picture(number)
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                number += 1
                time.sleep(max(0.0, start + number / rate - time.monotonic()))

    return Handler
