"""The parameters of NCNN's layers, told by number: which there are, what kind each is, and from where to where it goes.

NCNN takes what a layer does not know without a word, the first 15 characters of a number alone, and in some versions
a whole number for the bits of a fraction. So parameters are read here, refused where they are none, and spelled again.
Numbers and defaults are those of ncnn's docs/developer-guide/operators.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Value = int | float | tuple[int, ...] | tuple[float, ...] | str
Values = Mapping[int, Value]
"""The value of each parameter of a layer, defaults included."""

WHOLE = re.compile(r"[-+]?[0-9]{1,10}", re.ASCII)
FRACTION = re.compile(r"[-+]?[0-9]{1,10}(?:\.[0-9]{0,10})?(?:[eE][-+]?[0-9]{1,2})?", re.ASCII)
LONGEST = 15
"""Characters of a number that NCNN reads; it takes the rest for the next parameter."""
LARGEST_FLOAT = 3.5e38
ARRAY = -23300
"""An array with the number n is written as the key -23300 - n."""
SIDE = 1 << 20
"""More than any side of a map."""
COUNT = (1 << 31) - 1
SPARE, SAME_UPPER, SAME_LOWER = -233, -233, -234
"""What NCNN takes for "not given", and the two ways to pad so that the size stays."""


class Misfit(ValueError):
    """What is wrong with one layer; whoever knows the file and the layer's name tells people."""


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`; another parameter's value where `default` is None."""

    default: int | None
    low: int
    high: int
    like: int = 0
    also: tuple[int, ...] = ()


@dataclass(frozen=True)
class Fraction:
    default: float


@dataclass(frozen=True)
class Array:
    """Numbers, whole ones or fractions."""

    whole: bool


@dataclass(frozen=True)
class Text:
    """An expression on the shapes of blobs."""


Kind = Whole | Fraction | Array | Text
FLAG = Whole(0, 0, 1)
OFF = Whole(0, 0, 0)
AXIS = Whole(0, -4, 3)


def _side(default: int | None, like: int = 0, low: int = 1, *also: int) -> Whole:
    return Whole(default, low, 255, like, also)


SHAPE: dict[int, Kind] = {key: Whole(0, 0, COUNT) for key in (0, 1, 11, 2)}
CONVOLUTION: dict[int, Kind] = {
    0: Whole(0, 1, SIDE),
    1: _side(0),
    11: _side(None, 1),
    2: _side(1),
    12: _side(None, 2),
    3: _side(1),
    13: _side(None, 3),
    4: _side(0, 0, 0, SAME_UPPER, SAME_LOWER),
    15: _side(None, 4, 0, SAME_UPPER, SAME_LOWER),
    14: _side(None, 4, 0, SAME_UPPER, SAME_LOWER),
    16: _side(None, 14, 0, SAME_UPPER, SAME_LOWER),
    5: FLAG,
    6: Whole(0, 1, COUNT),
    8: OFF,
    9: Whole(0, 0, 6),
    10: Array(whole=False),
    18: Fraction(0.0),
    19: OFF,
}
POOLING: dict[int, Kind] = {
    0: FLAG,
    1: _side(0, 0, 0),
    11: _side(None, 1, 0),
    2: _side(1),
    12: _side(None, 2),
    3: _side(0, 0, 0),
    14: _side(None, 3, 0),
    13: _side(None, 3, 0),
    15: _side(None, 13, 0),
    4: FLAG,
    5: Whole(0, 0, 3),
    6: FLAG,
    7: FLAG,
    8: Whole(0, 1, SIDE, also=(SPARE,)),
    18: Whole(None, 1, SIDE, 8, also=(SPARE,)),
}
CROP: dict[int, Kind] = {
    **{key: Whole(0, 0, SIDE) for key in (0, 1, 13, 2, 6, 7, 15, 8)},
    **{key: Whole(0, 0, SIDE, also=(SPARE,)) for key in (3, 4, 14, 5)},
    **{key: Array(whole=True) for key in (9, 10, 11)},
    **{key: Text() for key in (19, 20, 21)},
}
KNOWN: dict[str, dict[int, Kind]] = {
    "BinaryOp": {0: Whole(0, 0, 18), 1: FLAG, 2: Fraction(0.0)},
    "Concat": {0: AXIS},
    "Convolution": CONVOLUTION,
    "ConvolutionDepthWise": {**CONVOLUTION, 7: Whole(1, 1, SIDE)},
    "Crop": CROP,
    "Input": SHAPE,
    "Interp": {
        0: Whole(0, 0, 3),
        1: Fraction(1.0),
        2: Fraction(1.0),
        3: Whole(0, 0, SIDE),
        4: Whole(0, 0, SIDE),
        5: FLAG,
        6: FLAG,
        9: Text(),
    },
    "MemoryData": {**SHAPE, 21: Whole(1, 0, 1)},
    "Permute": {0: Whole(0, 0, 23)},
    "Pooling": POOLING,
    "ReLU": {0: Fraction(0.0)},
    "Reorg": {0: Whole(1, 1, 64), 1: FLAG},
    "Reshape": {
        **{key: Whole(SPARE, -1, COUNT, also=(SPARE,)) for key in (0, 1, 11, 2)},
        3: OFF,
        6: Text(),
        12: Whole(233, 233, 233),
        13: Whole(233, 233, 233),
    },
    "Sigmoid": {},
    "Slice": {0: Array(whole=True), 1: AXIS, 2: Array(whole=True)},
    "Softmax": {0: AXIS, 1: FLAG},
    "Split": {},
    "Swish": {},
    "UnaryOp": {0: Whole(0, 0, 19)},
}
"""The parameters of the layers that YOLOX files consist of."""
KEYS = {
    kind: {str(ARRAY - key if isinstance(option, Array) else key): key for key, option in known.items()}
    for kind, known in KNOWN.items()
}
"""How they are written."""
PLAIN = {
    kind: {str(key) for key, option in known.items() if isinstance(option, Whole)}
    for kind, known in KNOWN.items()
}
HINTS = {"-23330", "31"}
"""What any layer may carry and NCNN does without: shapes that were found before, and ways that it should not take."""
OLD_HINTS = {"Convolution": {"17"}, "ConvolutionDepthWise": {"17"}}
"""The same of older versions: which way to compute a convolution."""


def spell(kind: str, parameters: Mapping[str, str]) -> Mapping[str, str]:
    """The parameters as every version of NCNN reads them, without hints: a wrong one on shapes would be believed."""
    if parameters.keys() <= PLAIN.get(kind, set()):
        return parameters
    gone = HINTS | OLD_HINTS.get(kind, set())
    other = {str(key): option for key, option in KNOWN.get(kind, {}).items()}
    spelled = {}
    for key, text in parameters.items():
        if isinstance(other.get(key), Array):
            items = text.rstrip(",").split(",")
            spelled[str(ARRAY - int(key))] = ",".join((str(len(items)), *items))
        elif key not in gone:
            is_whole = isinstance(other.get(key), Fraction) and WHOLE.fullmatch(text)
            spelled[key] = f"{text}.0" if is_whole else text
    return spelled


def read_values(kind: str, parameters: Mapping[str, str]) -> Values:
    """The parameters of a layer of a `KNOWN` type, as `spell` gives them, as values.

    Raises:
        Misfit: one is unknown to the type, is no number or is out of its range.
    """
    known, keys = KNOWN[kind], KEYS[kind]
    values: dict[int, Value] = {}
    for key, text in parameters.items():
        number = keys.get(key)
        if number is None:
            raise Misfit(f"parameter {key} is none of a {kind}'s")
        values[number] = _read(key, text, known[number])
    for number in known.keys() - values.keys() if len(values) < len(known) else ():
        values[number] = _default(known[number], known, values)
    return values


def _read(key: str, text: str, kind: Kind) -> Value:
    if isinstance(kind, Whole):
        value = whole(key, text)
        if not kind.low <= value <= kind.high and value not in kind.also:
            raise Misfit(f"parameter {key} is {value}; expected {kind.low} to {kind.high}")
        return value
    if isinstance(kind, Fraction):
        return fraction(key, text)
    if isinstance(kind, Text):
        if not re.fullmatch(r'"[\w@(),.+*/<>=\[\]-]{1,200}"', text, re.ASCII):
            raise Misfit(f"parameter {key} is {text[:40]!r}; expected an expression in quotes")
        return text
    count, *items = text.split(",")
    if not WHOLE.fullmatch(count) or int(count) != len(items):
        raise Misfit(f"parameter {key} is {text[:40]!r}; expected a count and that many numbers")
    return tuple(whole(key, item) if kind.whole else fraction(key, item) for item in items)


def _default(kind: Kind, known: Mapping[int, Kind], values: Values) -> Value:
    if isinstance(kind, Whole):
        if kind.default is not None:
            return kind.default
        return values[kind.like] if kind.like in values else _default(known[kind.like], known, values)
    if isinstance(kind, Fraction):
        return kind.default
    return () if isinstance(kind, Array) else ""


def whole(key: str, text: str) -> int:
    """A whole number.

    Raises:
        Misfit: it is none, or more than NCNN holds.
    """
    if text.isdigit() and text.isascii() and len(text) < 10:
        return int(text)
    if not WHOLE.fullmatch(text) or not -COUNT <= int(text) <= COUNT:
        raise Misfit(f"parameter {key} is {text[:40]!r}; expected an integer")
    return int(text)


def fraction(key: str, text: str) -> float:
    """A finite number.

    Raises:
        Misfit: it is none, or longer than NCNN reads.
    """
    spelled = FRACTION.fullmatch(text) and len(text) <= LONGEST
    if not spelled or abs(float(text)) > LARGEST_FLOAT:
        raise Misfit(f"parameter {key} is {text[:40]!r}; expected a number such as 1.5 or 1.500000e+00")
    return float(text)
