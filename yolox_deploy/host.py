"""Keeps vendors' libraries from reporting usage while yolox-deploy works with them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ENVIRONMENT = threading.RLock()  # os.environ belongs to the whole process


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Import or call OpenVINO and NNCF inside this: nothing is sent, and no client id is written.

    openvino-telemetry reports by default, at import already. Its `opt_in_out` command writes to the user's
    home and reports the refusal; what it also honours is `CI=true`, so that is what it sees meanwhile.
    """
    with _ENVIRONMENT:
        before = os.environ.get("CI")
        os.environ["CI"] = "true"
        try:
            yield
        finally:
            if before is None:
                del os.environ["CI"]
            else:
                os.environ["CI"] = before
