"""What the methods of an Exp set and build: followed statement by statement, as far as that can be told unrun."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolox_deploy.migrate.expressions import (
    Scope,
    Unread,
    dotted,
    evaluate,
    is_attribute,
    is_instance,
    shown,
)
from yolox_deploy.migrate.modules import Class, import_into

MOST_STATEMENTS = 20_000


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    path: Path
    line: int


@dataclass(frozen=True)
class Built:
    """A call that was met, such as `YOLOXHead(self.num_classes, act="lrelu")`.

    Attributes:
        name: of what is called, without its module.
        place: where.
        values: of its arguments by their names, by their numbers from 0 without one; an `Unread` for one that
            cannot be told.
    """

    name: str
    place: Place
    values: dict[str | int, Any]


@dataclass
class Followed:
    """What is known after some methods were followed.

    Attributes:
        attributes: of the object, by name; an `Unread` for one that could not be told.
        places: where each was set last.
        unread: attribute, place and reason of what could not be told.
        built: the calls met, in their order.
    """

    attributes: dict[str, Any]
    places: dict[str, Place] = field(default_factory=dict)
    unread: list[tuple[str, Place, str]] = field(default_factory=list)
    built: list[Built] = field(default_factory=list)


class _Returned(Exception):
    """A method ended."""


class Follower:
    """Follows the methods of one object."""

    def __init__(self, chain: list[Class], attributes: Mapping[str, Any]) -> None:
        self.chain, self.found = chain, Followed(dict(attributes))
        self._left, self._running, self._module = MOST_STATEMENTS, set[ast.FunctionDef](), chain[0].module

    def class_body(self, item: Class) -> None:
        """What stands in the class itself: attributes of every object."""
        with self._inside(item):
            scope = Scope(dict(item.module.names), self.found.attributes, dict(item.module.imports))
            for node in item.node.body:
                if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                        if isinstance(target, ast.Name):
                            self._store(target.id, node.value, scope)
                            scope.names[target.id] = self.found.attributes[target.id]

    def method(
        self, name: str, above: int = 0, call: ast.Call | None = None, caller: Scope | None = None
    ) -> bool:
        """Follow the method called `name` of the first class from `above` on that has one; whether there is one."""
        for index, item in enumerate(self.chain[above:], start=above):
            function = item.method(name)
            if function is not None and function not in self._running:
                self._running.add(function)
                with self._inside(item):
                    scope = self._called_with(function, item, call, caller)
                    with suppress(_Returned):
                        self._block(function.body, scope, index)
                self._running.discard(function)
                return True
        return False

    @contextmanager
    def _inside(self, item: Class) -> Iterator[None]:
        before, self._module = self._module, item.module
        yield
        self._module = before

    def _called_with(
        self, function: ast.FunctionDef, item: Class, call: ast.Call | None, caller: Scope | None
    ) -> Scope:
        """The scope of a method that begins: its arguments as given, else their defaults."""
        scope = Scope(dict(item.module.names), self.found.attributes, dict(item.module.imports))
        arguments = [*function.args.posonlyargs, *function.args.args]
        names = [argument.arg for argument in (*arguments, *function.args.kwonlyargs)]
        given: dict[str, Any] = {name: Unread(f"`{name}` is given from outside") for name in names}
        given |= {
            rest.arg: empty for rest, empty in ((function.args.vararg, ()), (function.args.kwarg, {})) if rest
        }
        for argument, default in _defaults(function.args):
            given[argument] = _value_or_unread(default, scope)
        if call is not None and caller is not None:
            named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
            named |= dict(zip(names[1:], call.args, strict=False))
            given |= {name: _value_or_unread(value, caller) for name, value in named.items()}
        scope.instance = names[0] if arguments else None
        scope.names |= given
        return scope

    def _block(self, statements: list[ast.stmt], scope: Scope, index: int) -> None:
        for node in statements:
            self._left -= 1
            if self._left < 0:
                raise _Returned
            self._statement(node, scope, index)

    def _statement(self, node: ast.stmt, scope: Scope, index: int) -> None:
        match node:
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign() if node.value is not None:
                self._note_calls(node.value, scope)
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    self._assign(target, _assigned(node), scope)
            case ast.Import() | ast.ImportFrom():
                import_into(node, scope.imports)
            case ast.Expr(value=ast.Call() as call):
                self._expression(call, scope, index)
            case ast.Return():
                if node.value is not None:
                    self._note_calls(node.value, scope)
                raise _Returned
            case ast.If():
                self._if(node, scope, index)
            case ast.With() | ast.Try():  # what is tried is taken to work
                self._block(node.body, scope, index)
                self._block(node.finalbody if isinstance(node, ast.Try) else [], scope, index)
            case ast.For() | ast.While():
                self._give_up(node.body, scope, "it is set in a loop")

    def _expression(self, call: ast.Call, scope: Scope, index: int) -> None:
        """A call that stands alone: `super().__init__()`, `self.method()`, `setattr(self, NAME, VALUE)`."""
        function = call.func
        if isinstance(function, ast.Attribute) and function.attr == "__init__":
            self.method("__init__", index + 1, call if _is_super(function.value) else None, scope)
        elif isinstance(function, ast.Attribute) and is_instance(function.value, scope):
            if not self.method(function.attr, 0, call, scope):
                self.found.unread.append((f"self.{function.attr}()", self._place(call), f"`{shown(call)}`"))
        elif _sets(call, scope):
            name = _value_or_unread(call.args[1], scope)
            if isinstance(name, str):
                self._store(name, call.args[2], scope)
            else:
                self.found.unread.append(("setattr()", self._place(call), f"`{shown(call)}`"))
        else:
            self._note_calls(call, scope)

    def _if(self, node: ast.If, scope: Scope, index: int) -> None:
        taken = _value_or_unread(node.test, scope)
        if not isinstance(taken, Unread):
            self._block(node.body if taken else node.orelse, scope, index)
            return
        reason = f"it depends on `{shown(node.test)}`"
        for branch in (node.body, node.orelse):
            for statement in branch:
                for value in ast.walk(statement):
                    if isinstance(value, ast.Call):
                        self._note_call(value, scope)
            self._give_up(branch, scope, reason)

    def _give_up(self, statements: list[ast.stmt], scope: Scope, reason: str) -> None:
        """Whatever these statements set is not told."""
        for node in (item for statement in statements for item in ast.walk(statement)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                scope.names[node.id] = Unread(reason)
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and is_attribute(node, scope)
            ):
                self._refuse(node.attr, self._place(node), reason)
            elif isinstance(node, ast.Call) and _sets(node, scope):
                self.found.unread.append(("setattr()", self._place(node), f"`{shown(node)}`"))

    def _assign(self, target: ast.expr, value: ast.expr, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            scope.names[target.id] = _value_or_unread(value, scope)
        elif isinstance(target, ast.Attribute) and is_attribute(target, scope):
            self._store(target.attr, value, scope)
        elif isinstance(target, ast.Tuple | ast.List):
            values = _value_or_unread(value, scope)
            fits = isinstance(values, tuple | list) and len(values) == len(target.elts)
            for number, part in enumerate(target.elts):
                item = ast.Constant(values[number]) if fits else value
                self._assign(part, ast.copy_location(item, value), scope)

    def _store(self, name: str, value: ast.expr, scope: Scope) -> None:
        place = self._place(value)
        found = _value_or_unread(value, scope)
        for sentence in dict.fromkeys(scope.assumed):
            self.found.unread.append((name, place, sentence))
        scope.assumed.clear()
        if isinstance(found, Unread):
            self._refuse(name, place, str(found))
        else:
            self.found.attributes[name] = found
            self.found.places[name] = place

    def _refuse(self, name: str, place: Place, reason: str) -> None:
        """An attribute that cannot be told keeps the value that it had, if any."""
        self.found.unread.append((name, place, reason))
        self.found.attributes.setdefault(name, Unread(f"`{name}` is not known"))
        self.found.places[name] = place

    def _note_calls(self, node: ast.expr, scope: Scope) -> None:
        for call in ast.walk(node):
            if isinstance(call, ast.Call):
                self._note_call(call, scope)

    def _note_call(self, call: ast.Call, scope: Scope) -> None:
        name = dotted(call.func, scope.imports).rpartition(".")[2]
        values: dict[str | int, Any] = dict(enumerate(_value_or_unread(item, scope) for item in call.args))
        values |= {item.arg: _value_or_unread(item.value, scope) for item in call.keywords if item.arg}
        if name:
            self.found.built.append(Built(name, self._place(call), values))

    def _place(self, node: ast.expr) -> Place:
        return Place(self._module.path, node.lineno)


def _defaults(arguments: ast.arguments) -> list[tuple[str, ast.expr]]:
    """The names of arguments that have a default, with it."""
    positional = [*arguments.posonlyargs, *arguments.args]
    last = positional[len(positional) - len(arguments.defaults) :]
    pairs = [
        *zip(last, arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return [(argument.arg, default) for argument, default in pairs if default is not None]


def _assigned(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> ast.expr:
    """What is assigned; of `x += 1` it is `x + 1`."""
    if isinstance(node, ast.AugAssign):
        sum_ = ast.BinOp(ast.parse(ast.unparse(node.target), mode="eval").body, node.op, node.value)
        return ast.copy_location(sum_, node.value)
    assert node.value is not None
    return node.value


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func, {}) == "super"


def _sets(call: ast.Call, scope: Scope) -> bool:
    """Whether it is `setattr(self, NAME, VALUE)`."""
    return dotted(call.func, {}) == "setattr" and len(call.args) == 3 and is_instance(call.args[0], scope)


def _value_or_unread(node: ast.expr, scope: Scope) -> Any:
    try:
        return evaluate(node, scope)
    except Unread as error:
        return error
