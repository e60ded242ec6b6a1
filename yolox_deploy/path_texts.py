"""What messages say of texts that were given as paths and name no file: a picture in base64 is not repeated."""

from __future__ import annotations

import re

_LONGEST = 80
_BASE64 = re.compile(r"[\w+/-][\w+/=\s-]*", re.ASCII)
_PICTURES = ("/9j/", "_9j_", "iVBORw0KGgo", "R0lGOD", "UklGR")
"""How JPEG, PNG, GIF and WebP begin in base64."""


def short(text: object) -> str:
    """`text` in at most 80 characters: its beginning and its end."""
    shown = str(text)
    if len(shown) <= _LONGEST:
        return shown
    return f"{shown[:29]}…{shown[30 - _LONGEST :]}"


def is_base64(text: str) -> bool:
    """Whether a text that names no file looks like encoded bytes: it begins as a picture does, or is one long word."""
    long_word = len(text) > 255 and text.count("/") * 16 < len(text)
    return (long_word or text.startswith(_PICTURES)) and _BASE64.fullmatch(text) is not None


def not_a_path(path: object) -> str | None:
    """What a text that names no file is instead, and what to do; None where it may well be a path."""
    text = str(path)
    if re.match(r"data:[\w/+.;=-]*,", text):
        return (
            f"a data URL of {len(text)} characters; decode it: "
            "base64.b64decode(text.partition(',')[2]), and pass the bytes"
        )
    if is_base64(text):
        return (
            f"a text of {len(text)} characters that looks like base64; decode it: base64.b64decode(text), "
            "and pass the bytes"
        )
    if re.match(r"[A-Za-z]{2,}:/", text):  # a Path has one slash only
        return (
            f"the address {short(text)}; fetch it, and pass the bytes: urllib.request.urlopen(address).read()"
        )
    return None
