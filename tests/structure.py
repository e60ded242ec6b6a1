"""The structure of the house, counted from its source: rooms and lines, circles, imports that climb, open names.

    python tests/structure.py [ROOT] [--json]

A room is a module or a package right under `yolox_deploy`. Names are written without that prefix; `yolox_deploy`
alone is the package's face. Every `import` counts, also inside a function or for types only, and `from P import m`
is an import of the module `P.m`. Faces of rooms are seen through: a module's import of a face it lives behind does
not count; a lazy face (`__getattr__`) does not depend on the modules it lists for type checkers, and who takes a
name from it imports the module that defines the name. The face of `yolox_deploy` is a room like any other, because
everything lives behind it. A module that is loaded by a string is not seen.

Exit code 1 where there is a circle, a pair of rooms that import each other, or a room that has no layer.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTINGS = Path(__file__).resolve().parents[1] / "pyproject.toml"
FACE = "yolox_deploy"
TOP_FOLDERS = ("converters", "runtimes", "benchmarks")  # installed as yolox_deploy.converters and so on
FLAT = f"{FACE} (root)"  # its face and the rooms that are one module, as one row


def read_floors() -> dict[str, int]:
    """The floor of each room, from the ground up, as import-linter's layers of this repository have it."""
    contracts = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return {room: floor for floor, rooms in enumerate(reversed(layers)) for room in re.findall(r"\w+", rooms)}


def room_of(name: str) -> str:
    return name.partition(".")[0]


@dataclass(frozen=True)
class Module:
    name: str
    is_face: bool
    lines: int
    tree: ast.Module

    @property
    def room(self) -> str:
        return room_of(self.name)


@dataclass(frozen=True)
class Structure:
    rooms: dict[str, dict[str, int]]
    circles_of_modules: list[list[str]]
    circles_of_rooms: list[list[str]]
    mutual_rooms: list[tuple[str, str]]
    climbs: list[tuple[str, str]]
    unplaced: list[str]

    @property
    def is_sound(self) -> bool:
        return not (self.circles_of_modules or self.circles_of_rooms or self.mutual_rooms or self.unplaced)


def read_modules(root: Path) -> dict[str, Module]:
    """The modules below `root` by name. `rglob` follows no links to folders, so none is read twice."""
    modules = {}
    for folder in (FACE, *TOP_FOLDERS):
        base = root / FACE if folder == FACE else root
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            is_face = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_face else parts) or FACE
            source = path.read_text(encoding="utf-8")
            modules[name] = Module(name, is_face, source.count("\n"), ast.parse(source, str(path)))
    return modules


def lives_behind(name: str, package: str) -> bool:
    return name.startswith(f"{package}.")


def imports_below(top: ast.AST, modules: dict[str, Module]) -> Iterator[tuple[ast.AST, str, str]]:
    """(statement, module of ours, name taken from it or "") for each import below `top`."""
    for node in ast.walk(top):
        taken: list[tuple[str, str]] = []
        if isinstance(node, ast.Import):
            taken = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            taken = [(node.module or "", alias.name) for alias in node.names]
        for source, name in taken:
            if source != FACE and not lives_behind(source, FACE):
                continue
            target = source.removeprefix(f"{FACE}.")
            below = name if target == FACE else f"{target}.{name}"
            if below in modules:
                yield node, below, ""
            elif target in modules:
                yield node, target, name


def lazy_blocks(module: Module) -> list[ast.If]:
    """The `if TYPE_CHECKING:` blocks where this is the lazy face of a room."""
    body = module.tree.body
    is_lazy = any(
        "__getattr__" in ast.unparse(node).partition("\n")[0]
        for node in body
        if isinstance(node, ast.FunctionDef | ast.Assign)
    )
    if not (module.is_face and is_lazy) or module.name == FACE:
        return []
    return [node for node in body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]


def read_imports(modules: dict[str, Module]) -> dict[str, set[str]]:
    """The modules that each module imports, as this file's first lines say."""
    listings: set[tuple[ast.AST, str]] = set()
    listed: dict[tuple[str, str], tuple[str, str]] = {}
    for face in modules.values():
        for block in lazy_blocks(face):
            for node, target, name in imports_below(block, modules):
                if lives_behind(target, face.name):
                    listings.add((node, target))
                    listed[face.name, name] = (target, name)
    imports: dict[str, set[str]] = {name: set() for name in modules}
    for module in modules.values():
        for node, target, name in imports_below(module.tree, modules):
            if (node, target) in listings or lives_behind(module.name, target):
                continue
            while (target, name) in listed:
                target, name = listed[target, name]
            imports[module.name].add(target)
    return imports


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of two and more whose members all reach one another."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph[waiting.pop()] - found
            found |= new
            waiting += new
        reached[start] = found
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def open_names(module: Module) -> tuple[set[str], set[str]]:
    """(functions and classes, constants) at module level, without an underscore before them or their module."""
    if any(part.startswith("_") for part in module.name.split(".")):
        return set(), set()
    body = module.tree.body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = {node.name for node in body if isinstance(node, kinds)}
    targets: list[ast.expr] = [
        target for node in body if isinstance(node, ast.Assign) for target in node.targets
    ]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    stored = {ast.unparse(name) for target in targets for name in getattr(target, "elts", [target])}
    constants = {name for name in stored if name.isidentifier()}
    return {name for name in defined if name[0] != "_"}, {name for name in constants if name[0] != "_"}


def declared_names(module: Module) -> set[str]:
    """The names in its `__all__`, which must be written out."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def count_room(inside: list[Module]) -> dict[str, int]:
    opened = [open_names(module) for module in inside]
    return {
        "modules": len(inside),
        "lines": sum(module.lines for module in inside),
        "definitions": sum(len(definitions) for definitions, _ in opened),
        "constants": sum(len(constants) for _, constants in opened),
        "declared": len({name for module in inside for name in declared_names(module)}),
    }


def apart(name: str, other: str, packages: set[str]) -> tuple[str, str] | None:
    """The two rooms, or packages of one room, that an import goes between; None where it stays inside one."""
    ones, others = name.split("."), other.split(".")
    depth = next((i for i, (a, b) in enumerate(zip(ones, others, strict=False)) if a != b), None)
    if depth is None:
        return None
    pair = ".".join(ones[: depth + 1]), ".".join(others[: depth + 1])
    return pair if depth == 0 or packages.issuperset(pair) else None


def count(root: Path) -> Structure:
    modules = read_modules(root)
    imports = read_imports(modules)
    edges = sorted((name, other) for name, others in imports.items() for other in others)
    packages = {module.name for module in modules.values() if module.is_face} - {FACE}
    between: dict[str, set[str]] = {module.room: set() for module in modules.values()}
    between |= {name: set() for name in packages}
    for pair in filter(None, (apart(name, other, packages) for name, other in edges)):
        between[pair[0]].add(pair[1])
    rooms: dict[str, list[Module]] = {}
    for module in modules.values():
        rooms.setdefault(module.room if module.room in packages else FLAT, []).append(module)
    floors = read_floors() | {FACE: len(modules)}
    return Structure(
        rooms={room: count_room(inside) for room, inside in sorted(rooms.items())},
        circles_of_modules=circles(imports),
        circles_of_rooms=circles(between),
        mutual_rooms=sorted((a, b) for a in between for b in between[a] if a < b and a in between[b]),
        climbs=[(a, b) for a, b in edges if floors.get(room_of(a), 0) < floors.get(room_of(b), 0)],
        unplaced=sorted({module.room for module in modules.values()} - floors.keys()),
    )


def describe(structure: Structure) -> str:
    columns = ("modules", "lines", "definitions", "constants", "declared")
    total = {column: sum(room[column] for room in structure.rooms.values()) for column in columns}
    lines = [f"{'room':<22}" + "".join(f"{column:>13}" for column in columns)]
    for room, figures in {**structure.rooms, "total": total}.items():
        lines.append(f"{room:<22}" + "".join(f"{figures[column]:>13,}" for column in columns))
    names = total["definitions"] + total["constants"]
    lines += ["", f"open names: {names:,}, declared in an __all__: {total['declared']:,}"]
    lists = {
        "circles of modules": [" ".join(circle) for circle in structure.circles_of_modules],
        "circles of rooms": [" ".join(circle) for circle in structure.circles_of_rooms],
        "rooms that import each other": [" <-> ".join(pair) for pair in structure.mutual_rooms],
        "imports that climb": [" -> ".join(pair) for pair in structure.climbs],
        "rooms without a layer (give them one in pyproject.toml)": structure.unplaced,
    }
    for title, found in lists.items():
        lines += [f"{title}: {len(found)}", *(f"  {line}" for line in found)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not (asked.root / FACE).is_dir():
        parser.error(f"{asked.root} has no folder {FACE}; give the root of a checkout")
    structure = count(asked.root)
    print(json.dumps(asdict(structure), indent=2) if asked.json else describe(structure))
    return 0 if structure.is_sound else 1


if __name__ == "__main__":
    try:
        found = main()
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough; Python would write the rest once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        found = 0
    sys.exit(found)
