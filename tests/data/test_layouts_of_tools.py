"""Every layout that labelling tools leave opens as it is and converts to every format and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data import layouts_of_tools as tools
from yolox_deploy.data import DetectionDataset, check_splits, open_dataset
from yolox_deploy.data.conversion import FORMATS, convert
from yolox_deploy.data.opening import open_splits

every_layout = pytest.mark.parametrize("layout", tools.LAYOUTS)


@pytest.fixture(scope="module")
def shots(shared: Path) -> tools.Shots:
    return tools.take_shots(shared / "real/coco_mini")


@pytest.fixture(scope="module")
def folders(shots: tools.Shots, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each layout."""
    root = tmp_path_factory.mktemp("layouts")
    for name, build in tools.LAYOUTS.items():
        build(root / name, shots)
    return {name: root / name for name in tools.LAYOUTS}


def content(*splits: DetectionDataset) -> dict[str, list[tuple[object, ...]]]:
    """Objects by picture: class name, box in thousandths of a pixel, crowd."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for data in splits:
        for index in range(len(data)):
            assert data.path(index).is_file()
            rows = range(int(data.offsets[index]), int(data.offsets[index + 1]))
            objects = [
                (
                    data.class_names[data.classes[row]],
                    *np.round(data.boxes[row], 3).tolist(),
                    bool(data.crowds[row]),
                )
                for row in rows
            ]
            assert data.path(index).name not in found
            found[data.path(index).name] = sorted(objects)
    return found


def ids(data: DetectionDataset) -> dict[str, int]:
    return {data.path(index).name: int(data.image_ids[index]) for index in range(len(data))}


@every_layout
def test_it_opens_as_it_is(folders: dict[str, Path], shots: tools.Shots, layout: str) -> None:
    train, val = open_splits(folders[layout])
    crowds = layout in tools.WITH_CROWDS
    expected = {
        shot.name: sorted(
            (name, *np.round(box, 3).tolist(), crowd) for name, box, crowd in shot.objects if crowds >= crowd
        )
        for shot in shots
    }
    assert content(train, val) == expected
    assert train.class_names == val.class_names
    assert set(train.class_names) >= {name for objects in expected.values() for name, *_ in objects}
    reports = check_splits(train, val)
    assert not [problem for report in reports for problem in report.problems if problem.severity == "error"]
    assert len(val) == (2 if layout in tools.WHOLE else 4)
    notes = [str(problem) for problem in train.problems if problem.kind == "made_split"]
    assert [note.partition(": no split")[0] for note in notes] == (
        ["note: 2 of 12 pictures, chosen by seed 0, are for validation"] if layout in tools.WHOLE else []
    )
    # One after the other, they are the same.
    alone = [content(open_dataset(folders[layout], split)) for split in ("train", "val")]
    assert alone == [content(train), content(val)]


@pytest.mark.parametrize("to", FORMATS)
@every_layout
def test_it_converts_without_loss(folders: dict[str, Path], tmp_path: Path, layout: str, to: str) -> None:
    before = open_splits(folders[layout])
    reports = convert(folders[layout], to, tmp_path / "out")
    assert [report.pictures for report in reports.values()] == [len(data) for data in before]
    after = open_splits(tmp_path / "out")
    for old, new in zip(before, after, strict=True):
        assert content(new) == content(old)
        assert not {problem.kind for problem in new.problems} - {problem.kind for problem in old.problems}
        assert new.class_names == old.class_names
        assert ids(new) == ids(old)
        assert new.category_ids == old.category_ids


def test_the_page_has_a_row_for_each() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/training.md").read_text(encoding="utf-8")
    table = page.partition("| tool, layout |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert sorted(rows) == sorted(tools.LAYOUTS)
