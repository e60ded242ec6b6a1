"""The values of Python expressions, told from their syntax tree: nothing of the file is imported, called or run."""

from __future__ import annotations

import ast
import operator
import os.path
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

LARGEST = 4096
"""Items of a list, characters of a text and bits of a number; what is larger is no setting."""

DATA_FOLDER = "datasets"
"""What the authors' `get_yolox_datadir()` gives in the root of their repository."""


class Unread(Exception):
    """An expression whose value cannot be told without running the file; the message says what is in the way."""


_ODD_PERCENT = re.compile(r"%[^sd%]")
_PLAIN_BRACES = re.compile(r"([^{}]|\{\d?\})*")
_SPREAD = ast.Starred(ast.Name("other"))


@dataclass
class Scope:
    """What names mean at one place of a file.

    Attributes:
        names: values by name; an `Unread` stands for one that could not be told.
        attributes: those of the object that is built, by name, likewise.
        imports: where an imported name comes from: "osp" is "os.path".
        instance: what the file calls that object; None outside of methods.
        assumed: is given a sentence for each value that an environment variable would change.
    """

    names: dict[str, Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    instance: str | None = None
    assumed: list[str] = field(default_factory=list)


def evaluate(node: ast.expr, scope: Scope) -> Any:
    """The value of an expression.

    Raises:
        Unread: it cannot be told from the file alone.
    """
    try:
        value = _value(node, scope)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unread(f"`{shown(node)}` cannot be computed ({error})") from error
    if isinstance(value, int) and value.bit_length() > LARGEST:
        raise Unread(f"`{shown(node)}` is too large")
    if isinstance(value, str | bytes | list | tuple | dict | set) and len(value) > LARGEST:
        raise Unread(f"`{shown(node)}` is too long")
    return value


def shown(node: ast.AST) -> str:
    """The text of an expression on one line, shortened."""
    try:
        text = " ".join(ast.unparse(node).split())
    except (ValueError, RecursionError):  # a number of thousands of digits, or a long chain of operators
        return "..."
    return text if len(text) <= 60 else f"{text[:57]}..."


def dotted(node: ast.expr, imports: Mapping[str, str]) -> str:
    """`osp.join` as "os.path.join", by what was imported; "" for what is no name."""
    if isinstance(node, ast.Name):
        return imports.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        root = dotted(node.value, imports)
        return root and f"{root}.{node.attr}"
    return ""


def is_attribute(node: ast.AST, scope: Scope) -> bool:
    """Whether it is `self.NAME`."""
    return isinstance(node, ast.Attribute) and is_instance(node.value, scope)


def is_instance(node: ast.AST, scope: Scope) -> bool:
    """Whether it is `self`."""
    return isinstance(node, ast.Name) and scope.instance is not None and node.id == scope.instance


def _value(node: ast.expr, scope: Scope) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Tuple() | ast.List() | ast.Set():
            items = [evaluate(item, scope) for item in node.elts]
            return {ast.Tuple: tuple, ast.List: list, ast.Set: set}[type(node)](items)
        case ast.Dict():
            keys = [evaluate(key or _SPREAD, scope) for key in node.keys]  # {**other} is not read
            return dict(zip(keys, (evaluate(value, scope) for value in node.values), strict=True))
        case ast.Name():
            return _looked_up(node.id, scope.names)
        case ast.Attribute():
            return _attribute(node, scope)
        case ast.Subscript():
            return evaluate(node.value, scope)[_index(node.slice, scope)]
        case ast.JoinedStr():
            return "".join(_piece(piece, scope) for piece in node.values)
        case ast.UnaryOp():
            return _UNARY[type(node.op)](evaluate(node.operand, scope))
        case ast.BinOp():
            return _binary(node.op, evaluate(node.left, scope), evaluate(node.right, scope))
        case ast.BoolOp() | ast.Compare() | ast.IfExp():
            return _decided(node, scope)
        case ast.Call():
            return _called(node, scope)
    raise Unread(f"`{shown(node)}` is not read")


def _looked_up(name: str, values: Mapping[str, Any]) -> Any:
    value = values.get(name, Unread(f"`{name}` is not known"))
    if isinstance(value, Unread):
        raise value
    return value


def _attribute(node: ast.Attribute, scope: Scope) -> Any:
    if is_instance(node.value, scope):
        known = scope.attributes
        return known if node.attr == "__dict__" else _looked_up(node.attr, known)
    if isinstance(node.value, ast.Name) and node.value.id not in scope.names:
        raise Unread(f"`{shown(node)}` is not read")
    value = evaluate(node.value, scope)
    if isinstance(value, PurePath) and node.attr in ("parent", "parents", "name", "stem", "suffix"):
        return getattr(value, node.attr)
    raise Unread(f"`{shown(node)}` is not read")


def _index(node: ast.expr, scope: Scope) -> Any:
    if not isinstance(node, ast.Slice):
        return evaluate(node, scope)
    return slice(*(part and evaluate(part, scope) for part in (node.lower, node.upper, node.step)))


def _piece(node: ast.expr, scope: Scope) -> str:
    """A part of an f-string; formats such as `{x:>9}` are not read."""
    if not isinstance(node, ast.FormattedValue):
        return str(evaluate(node, scope))
    value = evaluate(node.value, scope)
    if node.format_spec is not None or not isinstance(value, str | int | float | PurePath):
        raise Unread(f"`{shown(node)}` is not read")
    return str(value)


_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARED: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}


def _binary(op: ast.operator, left: Any, right: Any) -> Any:
    """Arithmetic on numbers, sums of texts and lists, `Path / name`; nothing whose result could grow without end."""
    numbers = all(isinstance(side, int | float) for side in (left, right))
    joined = isinstance(op, ast.Add) and type(left) is type(right) and isinstance(left, str | list | tuple)
    path = isinstance(op, ast.Div) and isinstance(left, PurePath)
    filled = isinstance(op, ast.Mod) and isinstance(left, str) and not _ODD_PERCENT.search(left)
    if not (numbers or joined or path or filled) or (isinstance(op, ast.Pow) and abs(right) > 64):
        raise TypeError("only arithmetic, sums of texts and paths are read")
    return _BINARY[type(op)](left, right)


def _decided(node: ast.BoolOp | ast.Compare | ast.IfExp, scope: Scope) -> Any:
    if isinstance(node, ast.IfExp):
        return evaluate(node.body if evaluate(node.test, scope) else node.orelse, scope)
    if isinstance(node, ast.Compare):
        sides = [evaluate(side, scope) for side in (node.left, *node.comparators)]
        pairs = zip(node.ops, sides, sides[1:], strict=False)
        return all(_COMPARED[type(op)](left, right) for op, left, right in pairs)
    value = None
    for part in node.values:
        value = evaluate(part, scope)
        if bool(value) is isinstance(node.op, ast.Or):
            break
    return value


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{kind.__name__: kind for kind in (bool, float, int, list, str, tuple)},
    **{function.__name__: function for function in (abs, len, max, min, round, sorted, sum)},
    **{
        f"os.path.{name}": getattr(os.path, name)
        for name in ("basename", "dirname", "join", "split", "splitext")
    },
    # A path stays as it was written: that of this machine is not that of the machine it was written for.
    **{f"os.path.{name}": str for name in ("abspath", "expanduser", "normpath", "realpath")},
    "os.getcwd": lambda: "",
    "pathlib.Path": PurePath,
    "pathlib.PurePath": PurePath,
}
_METHODS: dict[type, tuple[str, ...]] = {
    str: (
        "endswith",
        "join",
        "lower",
        "lstrip",
        "replace",
        "rsplit",
        "rstrip",
        "split",
        "startswith",
        "strip",
        "upper",
    ),
    dict: ("get", "keys", "values"),
    PurePath: ("as_posix", "joinpath", "with_name", "with_suffix"),
}


def _called(node: ast.Call, scope: Scope) -> Any:
    name = dotted(node.func, scope.imports)
    if name in ("getattr", "hasattr") and node.args and is_instance(node.args[0], scope):
        return _asked(name, node, scope)
    if name in ("os.environ.get", "os.getenv"):
        return _of_environment(node, scope)
    if name.rpartition(".")[2] == "get_yolox_datadir":
        return DATA_FOLDER
    function = _FUNCTIONS.get(name) or _method(node, scope)
    if node.keywords:
        raise Unread(f"`{shown(node)}` is not read")
    return function(*(evaluate(argument, scope) for argument in node.args))


def _asked(name: str, node: ast.Call, scope: Scope) -> Any:
    """`getattr(self, NAME, DEFAULT)` and `hasattr(self, NAME)`."""
    attribute, *default = (evaluate(argument, scope) for argument in node.args[1:])
    if name == "hasattr":
        return attribute in scope.attributes
    if attribute not in scope.attributes and default:
        return default[0]
    return _looked_up(attribute, scope.attributes)


def _of_environment(node: ast.Call, scope: Scope) -> Any:
    """The default of an environment variable: the file alone does not tell more."""
    variable, *default = (evaluate(argument, scope) for argument in node.args)
    if not default:
        raise Unread(f"the environment variable {variable} says it")
    scope.assumed.append(f"the environment variable {variable} may say otherwise")
    return default[0]


def _method(node: ast.Call, scope: Scope) -> Callable[..., Any]:
    if not isinstance(node.func, ast.Attribute):
        raise Unread(f"`{shown(node)}` is not read")
    value, name = evaluate(node.func.value, scope), node.func.attr
    if isinstance(value, PurePath) and name in ("absolute", "expanduser", "resolve"):
        return lambda: value
    if isinstance(value, str) and name == "format" and _PLAIN_BRACES.fullmatch(value):
        return value.format
    if not any(isinstance(value, kind) and name in names for kind, names in _METHODS.items()):
        raise Unread(f"`{shown(node)}` is not read")
    method: Callable[..., Any] = getattr(value, name)
    return method
