"""Small texts that are without end to read."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

DEEP = 100_000


def bomb(chance: random.Random, kind: str) -> tuple[bytes, str]:
    """A small text of a `kind` ("json", "yaml", "toml", "xml", "text") that is without end to read."""
    name = chance.choice(sorted(BOMBS[kind]))
    return BOMBS[kind][name](), name


def _alias_bomb() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join([*lines, "names: *a11", "train: *a11"]).encode()


def _billion_laughs() -> bytes:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    return f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "lol">{entities}]><annotation>&l11;</annotation>'.encode()


BOMBS: Mapping[str, Mapping[str, Callable[[], bytes]]] = {
    "json": {
        "deep lists": lambda: b"[" * DEEP,
        "deep whole lists": lambda: b"[" * DEEP + b"]" * DEEP,
        "deep objects": lambda: b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        "long number": lambda: b"1" * 1_000_000,
        "surrogate": lambda: b'{"a": "\\ud800"}',
    },
    "yaml": {
        "aliases": _alias_bomb,
        "deep lists": lambda: b"names: " + b"[" * DEEP,
        "itself": lambda: b"&a [*a]",
        "python": lambda: b"names: !!python/object/apply:os.system ['true']",
        "merge": lambda: b"a: &a {b: 1, <<: *a}\nnames: [x]",
    },
    "toml": {
        "deep lists": lambda: b"a = " + b"[" * DEEP,
        "deep keys": lambda: b"a" + b".a" * DEEP + b" = 1",
        "long number": lambda: b"a = " + b"1" * 1_000_000,
    },
    "xml": {
        "laughs": _billion_laughs,
        "deep": lambda: b"<a>" * DEEP,
        "deep whole": lambda: b"<a>" * DEEP + b"</a>" * DEEP,
        "external": lambda: (
            b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>'
        ),
        "encoding": lambda: b'<?xml version="1.0" encoding="nonsense"?><annotation/>',
    },
    "text": {
        "long line": lambda: b"x " * 1_000_000,
        "zeros": lambda: b"\0" * 100_000,
        "deep brackets": lambda: b"(" * DEEP,
    },
}
