"""The tree of errors is the one that its docstring draws, and each import guard names a real extra."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from yolox_deploy import errors
from yolox_deploy.errors import (
    InputError,
    MissingExtraError,
    UsageError,
    YoloxDeployError,
    require,
    translating,
)

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [*ROOT.glob("yolox_deploy/**/*.py"), *ROOT.glob("converters/*.py"), *ROOT.glob("runtimes/*.py")]


def drawn_tree() -> dict[str, tuple[str | None, int]]:
    """Class name -> (name of the parent, exit code), as the docstring of the module draws it."""
    tree: dict[str, tuple[str | None, int]] = {}
    parents: list[tuple[int, str]] = []
    for line in str(errors.__doc__).splitlines():
        match = re.match(r"([ │├└─]+)([A-Z]\w+) +(?:exit code )?(\d)\b", line)
        if match is None:
            continue
        depth = len(match[1])
        while parents and parents[-1][0] >= depth:
            parents.pop()
        tree[match[2]] = (parents[-1][1] if parents else None, int(match[3]))
        parents.append((depth, match[2]))
    return tree


def test_the_docstring_draws_the_classes_that_exist() -> None:
    classes = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, YoloxDeployError)
    }
    expected = {
        name: (None if kind is YoloxDeployError else kind.__bases__[0].__name__, kind.exit_code)
        for name, kind in classes.items()
    }
    assert drawn_tree() == expected


def test_each_error_says_when_it_is_raised() -> None:
    for name in drawn_tree():
        assert inspect.getdoc(getattr(errors, name))


@pytest.mark.parametrize(
    ("name", "standard"), [("UsageError", ValueError), ("MissingExtraError", ImportError)]
)
def test_errors_are_also_python_s_own_kind(name: str, standard: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), standard)


def test_require_returns_the_module() -> None:
    assert require("json.decoder", "export").__name__ == "json.decoder"


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part", "json.no_such_part"])
def test_require_names_the_package_the_extra_and_the_command(module: str) -> None:
    with pytest.raises(MissingExtraError) as caught:
        require(module, "openvino")
    assert module.split(".")[0] in str(caught.value)
    assert "pip install 'yolox-deploy[openvino]'" in str(caught.value)
    assert isinstance(caught.value.__cause__, ImportError)


def declared_extras() -> set[str]:
    """The optional dependencies of pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    return set(re.findall(r"^([\w-]+) = \[", section, re.MULTILINE))


def named_extras() -> set[str]:
    """The extras that the code tells people to install."""
    texts = [path.read_text(encoding="utf-8") for path in SOURCES if ".venv" not in path.parts]
    pattern = r"""require\(\s*"[\w.]+",\s*"([\w-]+)"|yolox-deploy\[([\w,-]+)\]"""
    return {
        extra
        for text in texts
        for match in re.finditer(pattern, text)
        for extra in (match[1] or match[2]).split(",")
    }


def test_each_extra_that_a_message_names_exists() -> None:
    named = named_extras()
    assert {"export", "onnxruntime", "eval"} <= named
    unknown = named - declared_extras()
    assert not unknown, f"no such extra in pyproject.toml: {sorted(unknown)}"


def test_the_extras_of_the_runtimes_exist() -> None:
    from yolox_deploy.runtimes.registry import BUILT_IN

    for entry in BUILT_IN:
        assert entry.extra in declared_extras(), f"{entry.name} names the extra {entry.extra!r}"


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (KeyError("width"), "KeyError: 'width'"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (OverflowError("int too large\nto convert"), "int too large"),
        (PermissionError(13, "Permission denied", "file"), "Permission denied"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_what_content_of_strangers_raises_becomes_ours(raised: Exception, reason: str) -> None:
    with (
        pytest.raises(InputError) as caught,
        translating(InputError, "data.yaml is damaged", "copy it again"),
    ):
        raise raised
    assert str(caught.value) == f"data.yaml is damaged ({reason}); copy it again"
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("passed", [UsageError("ours"), MemoryError(), KeyboardInterrupt()])
def test_our_own_errors_and_those_of_the_machine_pass(passed: BaseException) -> None:
    with pytest.raises(type(passed)) as caught, translating(InputError, "data.yaml is damaged"):
        raise passed
    assert caught.value is passed
