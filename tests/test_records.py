"""Records: what is of a type, in words, and what becomes of files that are damaged, foreign or newer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from yolox_deploy.errors import ArtifactError, UsageError
from yolox_deploy.records import FileKind, convert, decode, fits, in_words, load, read, save

Size = tuple[int, int]


@dataclass(frozen=True)
class Part:
    name: str
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.share < 0:
            raise UsageError(f"share is {self.share}; expected 0 or more")


@dataclass(frozen=True)
class Whole:
    rows: tuple[Part, ...]
    size: Size | None = None
    best: Part | None = field(default=None, metadata={"was": "winner"})
    mode: Literal["fast", "slow"] = "fast"
    figures: Mapping[str, float] = field(default_factory=dict)
    first: Part = field(default_factory=lambda: Part("first"), metadata={"exact": True})


KIND = FileKind("make another", "is no whole", error=ArtifactError, schema="test/whole", version=2)
CLOSED = FileKind("make another", beside=("made",))
WHOLE = Whole((Part("a"), Part("b", 0.5)), (3, 4), Part("c"), "slow", {"x": 1.0})
HEADER = {"schema": "test/whole", "schema_version": 2}
LEAST = {"rows": [], "first": {"name": "f"}}


@pytest.mark.parametrize(
    ("value", "hint", "found"),
    [
        (1, int, 1),
        (1, float, 1.0),
        (True, bool, True),
        (None, int | None, None),
        (True, int | bool, True),
        ("x", int | str, "x"),
        (5, Any, 5),
        ("fast", Literal["fast", "slow"], "fast"),
        ([1, 2], Size, (1, 2)),
        ([], tuple[float, ...], ()),
        ([1, 2.5, 3], tuple[float, ...], (1.0, 2.5, 3.0)),
        ([[1, 0.5]], tuple[tuple[int, float], ...], ((1, 0.5),)),
        ({"a": 1}, Mapping[str, float], {"a": 1.0}),
        ({"a": [1]}, Mapping[str, Any], {"a": [1]}),
        ({"name": "a", "unknown": 1}, Part, Part("a")),
        (
            {"rows": [{"name": "a"}], "winner": {"name": "b"}, **LEAST},
            Whole,
            Whole((), None, Part("b"), first=Part("f")),
        ),
    ],
)
def test_values_become_what_their_type_says(value: Any, hint: Any, found: Any) -> None:
    got = convert(value, hint)
    assert got == found
    assert type(got) is type(found)


@pytest.mark.parametrize(
    ("value", "hint", "told"),
    [
        ("x", int, "expected a whole number, found 'x'"),
        (1.0, int, "expected a whole number, found 1.0"),
        (True, int, "expected a whole number, found True"),
        (True, float, "expected a number, found True"),
        (10**400, float, "expected a number, found 1000"),
        (1, bool, "expected true or false, found 1"),
        (1, str | None, "expected a text or none, found 1"),
        (1, Literal[True, "x"], "expected True or x, found 1"),
        (None, Literal["fast", "slow"], "expected fast or slow, found None"),
        ("ab", tuple[str, ...], "expected a list, found 'ab'"),
        ([1], Size, "expected two whole numbers, such as 480,640, found [1]"),
        ([1, 2], tuple[int, int, int], "expected a list of 3, found [1, 2]"),
        ([1, "x"], Size | None, "[1]: expected a whole number, found 'x'"),
        ([], Mapping[str, int], "expected names with values, found []"),
        ([], Part, "expected the fields of Part, found []"),
        ({}, Part, "name: expected a text, found nothing"),
        ({**LEAST, "rows": [{"name": "a"}, {"name": 1}]}, Whole, "rows[1].name: expected a text, found 1"),
        ({**LEAST, "best": {"name": "a", "share": "x"}}, Whole, "best.share: expected a number, found 'x'"),
        ({**LEAST, "figures": {"AP": None}}, Whole, "figures.AP: expected a number, found None"),
        ({**LEAST, "size": 5}, Whole, "size: expected two whole numbers, such as 480,640 or none, found 5"),
        ({"rows": []}, Whole, "first: expected the fields of Part, found nothing"),
        ({**LEAST, "first": {"name": "a", "b": 5}}, Whole, "first.b: expected no such key, found 5"),
    ],
)
def test_what_is_of_another_type_is_told_with_its_place(value: Any, hint: Any, told: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        convert(value, hint)
    assert str(caught.value).startswith(told)
    assert not fits(value, hint)


def test_long_values_are_shortened_in_messages() -> None:
    with pytest.raises(ValueError, match="expected a text") as caught:
        convert([0.5] * 10_000, str)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, float, True),
        (math.nan, float, True),
        ((1, math.nan), tuple[float, float], True),
        ((1, 2), Size, True),
        ([1, 2], Size, False),
        (Path("x"), Path | None, True),
        ("x", Path, False),
        (Part("a"), Part, True),
        ({"name": "a"}, Part, False),
    ],
)
def test_what_fits_as_it_stands(value: Any, hint: Any, expected: bool) -> None:
    assert fits(value, hint) is expected


def test_types_in_words() -> None:
    assert in_words(Size | None) == "two whole numbers, such as 480,640 or none"
    assert in_words(Literal["a", "b"] | None) == "a, b or none"


def test_a_record_is_read_back_equal(tmp_path: Path) -> None:
    file = tmp_path / "new" / "whole.json"
    save(WHOLE, file, KIND, note="beside it")
    assert json.loads(file.read_text()).items() >= {**HEADER, "note": "beside it"}.items()
    assert load(Whole, file, KIND) == WHOLE
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())  # as editors on Windows write it
    assert load(Whole, file, KIND) == WHOLE


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"whole\.json is no whole \(No such file or directory\); make another"),
        (b"{", r"whole\.json is no whole \(Expecting .*\); make another"),
        (b'{"a": "\xff"}', r"whole\.json is no whole"),
        (b"[" * 100_000, r"whole\.json is no whole \(.*\); make another"),
        (b"[]", r"is no whole \(expected names with values, found \[\]\)"),
        (b"{}", r"is no whole \(schema: expected 'test/whole', found nothing\)"),
        ({"schema_version": None}, r"is no whole \(schema_version: expected a whole number, found None\)"),
        (
            {"schema_version": 3},
            r"has schema version 3, .* reads 2; update it with: pip install -U yolox-deploy",
        ),
        ({"rows": 5}, r"whole\.json is damaged \(rows: expected a list, found 5\); make another"),
        ({"rows": [{"name": "a", "share": -1}]}, r"is damaged \(share is -1\.0; expected 0 or more\)"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, content: Any, told: str) -> None:
    file = tmp_path / "whole.json"
    if isinstance(content, dict):
        content = json.dumps({**HEADER, **LEAST, **content}).encode()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ArtifactError, match=told):
        load(Whole, file, KIND)


def test_without_a_header_no_version_is_asked_for() -> None:
    assert decode(Part, {"name": "a", "made": 1}, "here", CLOSED) == Part("a")
    with pytest.raises(ValueError, match=r"here cannot be read \(made: expected a value, found nothing\)"):
        decode(Part, '{"name": "a"}', "here", CLOSED)
    with pytest.raises(ValueError, match="other: expected no such key, found 2"):
        decode(Part, {"name": "a", "made": 1, "other": 2}, "here", CLOSED)


def test_a_missing_file_may_be_told_in_words_of_its_own(tmp_path: Path) -> None:
    kind = FileKind("draw one", missing="no picture at")
    with pytest.raises(
        ValueError, match=r"^no picture at .*none\.json \(No such file or directory\); draw one$"
    ):
        read(tmp_path / "none.json", kind)
