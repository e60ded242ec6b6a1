"""Python files as syntax trees, their names, and the classes that a class inherits from."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolox_deploy.documents import read
from yolox_deploy.errors import InputError, reason_of
from yolox_deploy.migrate.expressions import Scope, Unread, dotted, evaluate

DEEPEST = 8
"""Files that lead from one to the next, and folders above a file in which its imports are looked for."""

LONGEST_FILE = 1 << 20
"""Bytes of a Python file."""

CURE = "expected an Exp file of YOLOX, such as exps/example/custom/yolox_s.py"


@dataclass(frozen=True)
class Module:
    """One file.

    Attributes:
        path: of the file.
        names: its constants, for a `Scope`.
        imports: of its imported names, where they come from, for a `Scope`.
        classes: at its top level, in their order.
        assumed: the lines of constants that an environment variable would change, and what was taken.
    """

    path: Path
    names: dict[str, Any] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    classes: list[ast.ClassDef] = field(default_factory=list)
    assumed: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Class:
    """A class of an Exp's ancestry and the file that it is in."""

    node: ast.ClassDef
    module: Module

    @property
    def is_authors(self) -> bool:
        """Whether it is the base class in the authors' own files, which every Exp has."""
        return self.module.path.name in ("yolox_base.py", "base_exp.py")

    def method(self, name: str) -> ast.FunctionDef | None:
        """Its own method of that name."""
        found = [item for item in self.node.body if isinstance(item, ast.FunctionDef) and item.name == name]
        return found[-1] if found else None


def read_module(path: Path) -> Module:
    """Read a Python file.

    Raises:
        InputError: there is none, it is no text, or no Python.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; {CURE}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes such as "E:\data": they are the file's affair
            tree = ast.parse(read(path, LONGEST_FILE), filename=str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {CURE}") from error
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise InputError(f"{path}{line} is not Python 3 ({error.msg}); {CURE}") from error
    except Exception as error:  # MemoryError too: so Python's parser says that brackets are nested too deeply
        raise InputError(f"{path} is not Python ({reason_of(error)}); {CURE}") from error
    module = Module(path, {"__file__": str(path.resolve())})
    _collect(tree.body, module)
    return module


def ancestry(found: Class, unknown: list[str], below: tuple[Class, ...] = ()) -> list[Class]:
    """`found` and the classes that it inherits from, as Python looks them up.

    `unknown` is given the names of those whose files are not beside it.
    """
    chain = [found]
    for base in found.node.bases if len(below) < DEEPEST else ():
        parent = _base(base, found)
        if parent is not None:
            chain += [item for item in ancestry(parent, unknown, (*below, found)) if item not in chain]
        elif isinstance(base, ast.Name | ast.Attribute) and dotted(base, {}) != "object":
            unknown.append(dotted(base, found.module.imports))
    return chain


def import_into(node: ast.Import | ast.ImportFrom, imports: dict[str, str]) -> None:
    """Note where the names of an import come from; "..x" is x in the folder above that of the file."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            imports[alias.asname or alias.name] = f"{origin}.{alias.name}"
        elif alias.asname:
            imports[alias.asname] = alias.name
        else:
            imports[alias.name.partition(".")[0]] = alias.name.partition(".")[0]


def _collect(statements: list[ast.stmt], module: Module) -> None:
    for node in statements:
        if isinstance(node, ast.Import | ast.ImportFrom):
            import_into(node, module.imports)
        elif isinstance(node, ast.ClassDef):
            module.classes.append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            scope = Scope(module.names, imports=module.imports)
            value = _told(node.value, scope)
            module.assumed.extend((node.lineno, sentence) for sentence in scope.assumed)
            module.names.update({target.id: value for target in targets if isinstance(target, ast.Name)})
        elif isinstance(node, ast.If | ast.Try):
            _collect(node.body, module)


def _told(node: ast.expr, scope: Scope) -> Any:
    try:
        return evaluate(node, scope)
    except Unread as error:
        return error


def _base(node: ast.expr, child: Class) -> Class | None:
    """The class that stands for a name in `class Exp(NAME)`: above it in the file, or imported."""
    module = child.module
    above = [item for item in module.classes if item.lineno < child.node.lineno]
    local = [item for item in above if isinstance(node, ast.Name) and item.name == node.id]
    if local:
        return Class(local[-1], module)
    name = dotted(node, module.imports)
    return _imported(name, module.path, DEEPEST) if "." in name else None


def _imported(name: str, importer: Path, depth: int) -> Class | None:
    """The class with a dotted name, where its file is in a folder above `importer` or in the current one."""
    origin, _, wanted = name.rpartition(".")
    file = _file_of(origin, importer)
    if file is None or depth == 0:
        return None
    module = read_module(file)
    found = [item for item in module.classes if item.name == wanted]
    if found:
        return Class(found[-1], module)
    further = module.imports.get(wanted, "")
    return _imported(further, file, depth - 1) if "." in further else None


def _file_of(module: str, importer: Path) -> Path | None:
    parents = importer.resolve().parents
    level = len(module) - len(module.lstrip("."))
    folders = [parents[min(level, len(parents)) - 1]] if level else [*parents[:DEEPEST], Path.cwd()]
    for folder in folders:
        place = folder.joinpath(*module.strip(".").split("."))
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None
