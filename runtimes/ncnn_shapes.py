"""What shape each of NCNN's layers makes of the shapes it is given, and what it can be given at all.

A shape is (width,), (height, width), (channels, height, width) or (channels, depth, height, width), the outermost side
first as in NumPy; axes count in the same order. Each rule is NCNN's own (its src/layer), with the checks that it lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from yolox_deploy.runtimes.ncnn_parameters import SAME_LOWER, SAME_UPPER, SPARE, Misfit, Values

Shape = tuple[int, ...]
Rule = Callable[[Values, Sequence[Shape], int], Sequence[Shape]]
"""From parameters, shapes of the inputs and the number of outputs to the shapes of these."""

ACTIVATIONS = {2: 1, 3: 2, 6: 2}
"""How many numbers an activation inside a convolution needs; the others need none."""
NEAREST, BILINEAR, BICUBIC = 1, 2, 3
LEAST_SIDE = {NEAREST: 1, BILINEAR: 2, BICUBIC: 4}
"""The smallest map that a way to resize can read."""
NAMES = (0, 1, 11, 2)
"""Parameters for width, height, depth and channels."""
SIDES: Mapping[int, tuple[int, ...]] = {0: (), 1: (0,), 2: (1, 0), 3: (3, 1, 0), 4: (3, 2, 1, 0)}
"""Which of `NAMES` a shape of so many sides has."""
MOST_VALUES = 1 << 29
"""Values of one blob: 2 GiB, and what NCNN still counts."""
ORDERS = {2: ((0, 1), (1, 0)), 3: ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))}
"""Permute's orders by the number of dimensions: which side comes where."""


class Unfollowed(Exception):
    """The layer's shapes depend on what is not followed here."""


def same(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    return [inputs[0]] * outputs


def constant(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    width, height, depth, channels = (_number(values, key) for key in (0, 1, 11, 2))
    shape: Shape = (channels, depth, height, width)
    if depth == 0:
        shape = (channels, height, width) if channels else (height, width) if height else (width,)
    if min(shape) < 1:
        raise Misfit(f"its constant is {_x(shape)}; expected a size for each of its sides")
    return (shape,)


def convolution(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    channels, height, width = _map(inputs[0])
    made, count, group = (_number(values, key) for key in (0, 6, 7))
    group = group or 1
    kernel = _number(values, 11), _number(values, 1)
    if channels % group or made % group:
        raise Misfit(
            f"it parts {channels} channels into {made} in {group} groups; expected groups of one size"
        )
    expected = made * channels // group * kernel[0] * kernel[1]
    if count != expected:
        raise Misfit(
            f"it has {count:,} weights; expected {expected:,} from {channels} channels to {made} in {group} "
            f"group{'s' * (group > 1)} by a kernel of {kernel[0]}x{kernel[1]} (height x width)"
        )
    needed, numbers = ACTIVATIONS.get(_number(values, 9), 0), values[10]
    if not isinstance(numbers, tuple) or len(numbers) < needed:
        raise Misfit(f"its activation {values[9]} has the numbers {numbers}; expected {needed}")
    pads = [_number(values, key) for key in (14, 16, 4, 15)]  # top, bottom, left, right
    steps = _number(values, 13), _number(values, 3)
    reach = tuple(_number(values, key) * (side - 1) + 1 for key, side in zip((12, 2), kernel, strict=True))
    if set(pads) in ({SAME_UPPER}, {SAME_LOWER}):
        return ((made, *_kept(height, width, reach, steps)),)
    return ((made, *_windows(inputs[0], reach, steps, pads)),)


def pooling(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    channels, height, width = _map(inputs[0])
    if values[4]:
        return ((channels,),)
    if values[7]:
        sides = zip((18, 8), (height, width), strict=True)
        made = [side if values[key] == SPARE else _number(values, key) for key, side in sides]
        if not all(0 < side <= most for side, most in zip(made, (height, width), strict=True)):
            raise Misfit(f"it pools {height}x{width} to {made[0]}x{made[1]}")
        return ((channels, *made),)
    kernel, steps = (_number(values, 11), _number(values, 1)), (_number(values, 12), _number(values, 2))
    pads = [_number(values, key) for key in (13, 15, 3, 14)]
    if values[5] in (2, 3):
        return ((channels, *_kept(height, width, kernel, steps)),)
    return ((channels, *_windows(inputs[0], kernel, steps, pads, ceil=values[5] == 0)),)


def _windows(
    shape: Shape, reach: Sequence[int], steps: Sequence[int], pads: Sequence[int], ceil: bool = False
) -> list[int]:
    """How many windows there are down and across.

    Raises:
        Misfit: there is none, some see nothing but padding, or the padded map is too large.
    """
    made, values = [], shape[0]
    for side, window, step, before, after in zip(shape[1:], reach, steps, pads[::2], pads[1::2], strict=True):
        padded = side + before + after
        if window < 1 or not 0 <= min(before, after) <= max(before, after) < window:
            raise Misfit(
                f"its padding is {', '.join(map(str, pads))} (top, bottom, left, right) and its window "
                f"{_x(reach)} (height x width); expected a padding from 0 to less than the window"
            )
        if padded < max(window, step):
            raise Misfit(
                f"its window {_x(reach)} in steps of {_x(steps)} (height x width) is beyond a map of "
                f"{_x(shape[1:])} with the padding {', '.join(map(str, pads))}"
            )
        values *= padded
        made.append((-(-(padded - window) // step) if ceil else (padded - window) // step) + 1)
    if values > MOST_VALUES:
        raise Misfit(f"its padded map has {values:,} values; expected {MOST_VALUES:,} at most")
    return made


def _kept(height: int, width: int, reach: Sequence[int], steps: Sequence[int]) -> list[int]:
    """The sides where the padding keeps them, but for the steps.

    Raises:
        Misfit: NCNN would pad one side and cut the other.
    """
    made = [-(-side // step) for side, step in zip((height, width), steps, strict=True)]
    pads = [
        window + (count - 1) * step - side
        for window, count, step, side in zip(reach, made, steps, (height, width), strict=True)
    ]
    if min(pads) < 0 < max(pads) or min(reach) < 1 or max(pads) >= max(reach):
        raise Misfit(f"its window {_x(reach)} in steps of {_x(steps)} cannot keep a size of {height}x{width}")
    return made


def interp(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    if values[5] or values[9] or len(inputs) > 1:
        raise Unfollowed
    channels, height, width = _map(inputs[0])
    made = [_number(values, 3), _number(values, 4)]
    if 0 in made:
        scales = [float(values[key]) for key in (1, 2)]  # type: ignore[arg-type]
        if any(made) or not all(1 / 64 <= scale <= 64 for scale in scales):
            raise Misfit(
                f"it resizes to {made[0]}x{made[1]} or by {scales[0]} and {scales[1]}; expected both sides, or two "
                "scales from 1/64 to 64"
            )
        made = [int(side * scale) for side, scale in zip((height, width), scales, strict=True)]
    if tuple(made) == (height, width):
        return inputs
    least = LEAST_SIDE.get(_number(values, 0))
    if least is None:
        raise Misfit("its way to resize is 0; expected 1 (nearest), 2 (bilinear) or 3 (bicubic)")
    if min(height, width) < least or min(made) < (2 if values[6] else 1):
        raise Misfit(f"it cannot resize {height}x{width} to {made[0]}x{made[1]} in the way {values[0]}")
    return ((channels, *made),)


def concat(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    first = inputs[0]
    axis = _axis(values[0], len(first))
    others = [shape[:axis] + shape[axis + 1 :] for shape in inputs]
    if any(len(shape) != len(first) for shape in inputs) or len(set(others)) != 1:
        found = ", ".join(_x(shape) for shape in inputs)
        raise Misfit(f"it joins {found} along axis {axis}; expected the same sizes but there")
    return ((*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :]),)


def slice_(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    (shape,), axis = inputs, _axis(values[1], len(inputs[0]))
    side, parts = shape[axis], _whole(values, 0)
    if values[2]:
        begins = [index + side * (index < 0) for index in _whole(values, 2)]
        parts = tuple(end - begin for begin, end in zip((0, *begins), (*begins, side), strict=True))
    if len(parts) != outputs:
        raise Misfit(f"it has {outputs} outputs and {len(parts)} sizes for them")
    made, taken = [], 0
    for index, part in enumerate(parts):
        made.append((side - taken) // (outputs - index) if part == SPARE else part)
        taken += made[-1]
    if min(made) < 1 or taken > side:
        raise Misfit(f"it parts a side of {side} into {', '.join(map(str, made))}")
    return [(*shape[:axis], part, *shape[axis + 1 :]) for part in made]


def crop(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    begins, ends, axes = (_whole(values, key) for key in (9, 10, 11))
    if len(inputs) > 1 or not begins or not ends or any(values[key] for key in (19, 20, 21)):
        raise Unfollowed
    (shape,) = inputs
    sides, axes = list(shape), axes or tuple(range(len(shape)))
    if not len(begins) == len(ends) == len(axes):
        raise Misfit(f"it crops with {len(begins)} beginnings, {len(ends)} ends and {len(axes)} axes")
    for begin, end, place in zip(begins, ends, axes, strict=True):
        side = shape[_axis(place, len(shape))]
        first = 0 if begin == SPARE else begin + side * (begin < 0)
        last = side if end == SPARE else min(side, end + side * (end <= 0))
        if not 0 <= first < last:
            raise Misfit(f"it crops {begin} to {end} of a side of {side}")
        sides[_axis(place, len(shape))] = last - first
    if len({_axis(place, len(shape)) for place in axes}) != len(axes):
        raise Misfit(f"it crops the axes {axes}, one of them twice")
    return (tuple(sides),)


def reshape(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    if values[6] or len(inputs) > 1:
        raise Unfollowed
    (shape,) = inputs
    named = [_number(values, key) for key in NAMES]
    dimensions = 4 - (named[2] == SPARE) - (named[3] == SPARE) - (named[1] == SPARE) - (named[0] == SPARE)
    places = SIDES[dimensions]
    if not places or any(named[place] == SPARE for place in places):
        raise Misfit("it names sides with one missing between; expected them from the width on")
    has = dict(zip(SIDES[len(shape)], shape, strict=True))
    made = [named[place] or has.get(place, 1) for place in places]
    total = math.prod(shape)
    if made.count(-1) == 1:
        others = -math.prod(made)
        made = [total // others if side == -1 else side for side in made]
    if min(made) < 1 or math.prod(made) != total:
        raise Misfit(f"it makes {_x(made)} of {_x(shape)}, which has {total:,} values")
    return (tuple(made),)


def permute(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    (shape,), order = inputs, _number(values, 0)
    if len(shape) == 4:
        raise Unfollowed
    orders = ORDERS.get(len(shape), ((0,),))
    if order >= len(orders):
        raise Misfit(f"its order is {order}; expected 0 to {len(orders) - 1} for {len(shape)} sides")
    return (tuple(shape[place] for place in orders[order]),)


def reorg(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    (channels, height, width), step = _map(inputs[0]), _number(values, 0)
    if height % step or width % step:
        raise Misfit(f"it takes every {step}th pixel of {height}x{width}, which does not divide")
    return ((channels * step * step, height // step, width // step),)


def softmax(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    _axis(values[0], len(inputs[0]))
    return inputs


def binary(values: Values, inputs: Sequence[Shape], outputs: int) -> Sequence[Shape]:
    if (len(inputs) == 1) != (values[1] == 1):
        raise Misfit(f"it has {len(inputs)} inputs and {'a' if values[1] else 'no'} number beside them")
    if len(inputs) == 1 or inputs[0] == inputs[1]:
        return inputs[:1]
    most = max(map(len, inputs))
    one, other = (_spread(shape, next(s for s in inputs if len(s) == most)) for shape in inputs)
    if any(a != b and 1 not in (a, b) for a, b in zip(one, other, strict=True)):
        found = " and ".join(_x(shape) for shape in inputs)
        raise Misfit(f"it computes with {found}, which do not fit each other")
    return (tuple(map(max, one, other)),)


def _spread(shape: Shape, over: Shape) -> Shape:
    """`shape` with as many sides as `over`: a row stands for the outermost side where it is as long, else innermost."""
    missing = len(over) - len(shape)
    if len(shape) == 1 and missing and shape[0] != over[0]:
        return (1,) * missing + shape
    return shape + (1,) * missing


def _x(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))


def _map(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise Misfit(f"it is given {_x(shape)}; expected channels, height and width")
    return shape[0], shape[1], shape[2]


def _axis(value: object, sides: int) -> int:
    if not isinstance(value, int) or not -sides <= value < sides:
        raise Misfit(f"its axis is {value}; expected one of {sides}")
    return value % sides


def _number(values: Values, key: int) -> int:
    value = values.get(key, 0)
    assert isinstance(value, int)
    return value


def _whole(values: Values, key: int) -> tuple[int, ...]:
    numbers = values[key]
    assert isinstance(numbers, tuple)
    return tuple(int(number) for number in numbers)


ANY = 1 << 20
RULES: Mapping[str, tuple[Rule, range, range]] = {
    "BinaryOp": (binary, range(1, 3), range(1, 2)),
    "Concat": (concat, range(1, ANY), range(1, 2)),
    "Convolution": (convolution, range(1, 2), range(1, 2)),
    "ConvolutionDepthWise": (convolution, range(1, 2), range(1, 2)),
    "Crop": (crop, range(1, 3), range(1, 2)),
    "Interp": (interp, range(1, 3), range(1, 2)),
    "MemoryData": (constant, range(1), range(1, 2)),
    "Permute": (permute, range(1, 2), range(1, 2)),
    "Pooling": (pooling, range(1, 2), range(1, 2)),
    "ReLU": (same, range(1, 2), range(1, 2)),
    "Reorg": (reorg, range(1, 2), range(1, 2)),
    "Reshape": (reshape, range(1, ANY), range(1, 2)),
    "Sigmoid": (same, range(1, 2), range(1, 2)),
    "Slice": (slice_, range(1, 2), range(1, ANY)),
    "Softmax": (softmax, range(1, 2), range(1, 2)),
    "Split": (same, range(1, 2), range(1, ANY)),
    "Swish": (same, range(1, 2), range(1, 2)),
    "UnaryOp": (same, range(1, 2), range(1, 2)),
}
"""Rule, number of inputs and number of outputs of each type of layer but Input."""
