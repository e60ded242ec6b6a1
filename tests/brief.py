"""`yolox-deploy` with benchmarks of a moment, for tests that look at what is measured and not at how long it takes.

Run as a program it is the command line, each protocol shortened.
"""

from __future__ import annotations

import pytest

from yolox_deploy.benchmarks import Protocol
from yolox_deploy.cli import main

MOST = {"seconds": 0.1, "rounds": 8, "openings": 2, "warm_up_ms": 1.0, "warm_up_windows": 1, "settle_ms": 1.0}
"""Setting of a protocol -> what is left of it at most; eight rounds are what statistics need."""


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Shorten every protocol that is made from now on."""
    check = Protocol.__post_init__

    def shortened(protocol: Protocol) -> None:
        check(protocol)
        for name, most in MOST.items():
            object.__setattr__(protocol, name, min(getattr(protocol, name), most))

    patch.setattr(Protocol, "__post_init__", shortened)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        main()
