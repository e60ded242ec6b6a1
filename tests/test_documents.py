"""Texts of strangers: values or ValueError, soon, whatever they hold."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolox_deploy.documents import parse_json, parse_toml, parse_xml, parse_yaml, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _bomb(line: str) -> str:
    return "a0: &a0 {x: 1}\n" + "".join(
        f"a{level}: &a{level} {line.format(', '.join([f'*a{level - 1}'] * 9))}\n" for level in range(1, 12)
    )


HOSTILE: list[tuple[Callable[..., Any], str | bytes, str]] = [
    (parse_json, "[" * 100_000, "nested too deeply"),
    (parse_json, '{"a":' * 101 + "1" + "}" * 101, "nested too deeply"),
    (parse_json, "[NaN]", "NaN; expected a finite"),
    (parse_json, "[-Infinity]", "Infinity; expected a finite"),
    (parse_json, "[1E+999]", "expected a finite"),
    (parse_json, "1" * 350 + ".5", "expected a finite"),
    (parse_json, "9" * 3000, "3000 digits"),
    (parse_json, "9" * 30_000, "digits"),
    (parse_json, '{"a": 1, "a": 2}', "'a' stands twice"),
    (parse_json, b'"\xff\xfe\xfa"', "decode"),
    (parse_json, "", "Expecting value"),
    (parse_yaml, _bomb("[{}]"), "unfolds to more than 200,000"),
    (parse_yaml, _bomb("{{<<: [{}]}}"), "unfolds to more than 200,000"),
    (parse_yaml, "a: &a [*a]", "inside of what it means"),
    (parse_yaml, "[" * 10_000, "nested too deeply"),
    (parse_yaml, "- " * 10_000, "nested too deeply"),
    (parse_yaml, "a: .inf", "expected a finite"),
    (parse_yaml, "9" * 1000, "1000 digits"),
    (parse_yaml, "a: 1\nb: 2\na: 3", "'a' stands twice"),
    (parse_yaml, "a: 2020-13-45", "month"),
    (parse_yaml, "!!python/object:os.system x", "constructor"),
    (parse_yaml, "!!int ''", "IndexError"),
    (parse_yaml, b"a: \xe9", "unexpected end of data"),
    (parse_toml, "a = " + "[" * 10_000, "nested too deeply"),
    (parse_toml, ".".join("a" * 20_000) + " = 1", "nested too deeply"),
    (parse_toml, "a = {b = '\"', " + " . ".join("a" * 20_000) + " = '\"'}", "nested too deeply"),
    (parse_toml, "a = inf", "expected a finite"),
    (parse_toml, "a = 0x" + "f" * 1000, "digits"),
    (parse_toml, "a = " + "9" * 10_000, "digits"),
    (parse_toml, "a = 1\na = 2", "overwrite"),
    (parse_toml, b"a = '\xff'", "decode"),
    (parse_xml, "<a>" * 10_000, "nested too deeply"),
    (parse_xml, "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "DOCTYPE"),
    (parse_xml, b"<?xml version='1.0' encoding='nine'?><a/>", "unknown encoding: nine"),
    (parse_xml, b"<?xml version='1.0' encoding='gb2312'?><a/>", "multi-byte"),
    (parse_xml, "<a>\ud800</a>", "surrogates"),
    (parse_xml, "<a><b></a>", "mismatched tag"),
    (parse_xml, "", "no element"),
]


@pytest.mark.parametrize(("parse", "content", "said"), HOSTILE)
def test_a_hostile_text_raises_value_error_and_says_why(
    parse: Callable[..., Any], content: str | bytes, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse(content)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("parse", [parse_json, parse_yaml, parse_toml, parse_xml])
def test_a_text_over_its_bound_is_not_parsed(parse: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"larger than 9\.54e-06 MB"):
        parse(b"<a></a>    ", size=10)


@given(VALUES)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_values_come_back_from_json(value: Any) -> None:
    text = json.dumps(value)
    assert parse_json(text) == value
    assert parse_json(text.encode("utf-16")) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value


def test_brackets_in_texts_have_no_depth() -> None:
    value = {"a\\": '[{"' * 300, "b": ["\\" * 3 + '"[[' * 200]}
    assert parse_json(json.dumps(value)) == value
    assert parse_json("[" * 100 + "]" * 100)
    assert parse_json('{"a": 1, "a": 2}', strict=False) == {"a": 2}
    assert parse_json("[1e999]", strict=False) == [float("inf")]


def test_the_usual_of_each_form_is_read() -> None:
    assert parse_yaml("a: &a {x: 1, y: 2.5}\nb:\n  <<: *a\n  x: 3\nc: *a") == {
        "a": {"x": 1, "y": 2.5},
        "b": {"x": 3, "y": 2.5},
        "c": {"x": 1, "y": 2.5},
    }
    assert parse_toml(b'\xef\xbb\xbfa.b = [1, 1.5] # ...\nc = """\n' + b"... " * 200 + b'"""\n')["a"] == {
        "b": [1, 1.5]
    }
    root = parse_xml(
        "<?xml version='1.0' encoding='latin-1'?><a n='1'>\xe9<b xmlns='u'>t</b></a>".encode("latin-1")
    )
    assert (root.text, root.attrib, root.findtext("{u}b")) == ("é", {"n": "1"}, "t")


def test_no_more_of_a_file_is_read_than_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"x" * 100)
    assert read(file, 100) == b"x" * 100
    with pytest.raises(ValueError, match="larger"):
        read(file, 99)


def test_a_file_that_never_ends_is_left_at_its_bound() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("this system has no /dev/zero")
    with pytest.raises(ValueError, match="larger than 3 MB"):
        read(Path("/dev/zero"), 3 << 20)


def test_a_pipe_or_device_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    (tmp_path / "b.txt").symlink_to("/dev/zero")
    for name in ("a.txt", "b.txt"):
        with pytest.raises(ValueError, match="a pipe or a device"):
            read(tmp_path / name)


def test_a_named_pipe_of_the_shell_is_read() -> None:
    ends = os.pipe()
    os.write(ends[1], b"[1]")
    os.close(ends[1])
    try:
        assert read(Path(f"/dev/fd/{ends[0]}"), 10) == b"[1]"
    finally:
        os.close(ends[0])


def test_no_other_module_parses_what_strangers_wrote() -> None:
    """What is named here reads what this program wrote itself, a moment before."""
    root = Path(__file__).parents[1]
    own = {
        *("config.py", "documents.py", "finetuning.py", "peak.py", "predict_resume.py", "prelabels.py"),
        *("rows.py", "startup.py", "stream_cameras.py", "ncnn_child.py"),
    }
    faults = root / "benchmarks" / "faults"  # which damages files, and reads what its children answer
    parsers = re.compile(
        r"json\.loads?\(|yaml\.safe_load|ElementTree\.(parse|fromstring)|(tomllib|toml)\.loads?\("
    )
    rooms = [root / room for room in ("yolox_deploy", "converters", "runtimes", "benchmarks")]
    files = {
        file.resolve()
        for room in rooms
        for file in room.rglob("*.py")
        if faults not in file.resolve().parents
    }
    found = {file.name for file in files if parsers.search(file.read_text(encoding="utf-8"))}
    assert found <= own
