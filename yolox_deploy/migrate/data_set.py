"""The data set that an Exp trains on, in the settings that name it here."""

from __future__ import annotations

import os.path
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

from yolox_deploy.data.coco_layouts import USUAL, coco_files
from yolox_deploy.data.split_names import Split
from yolox_deploy.migrate.exp_file import Exp
from yolox_deploy.migrate.expressions import DATA_FOLDER, Unread
from yolox_deploy.migrate.leftovers import Leftover
from yolox_deploy.migrate.statements import Built

COCO_FOLDER = f"{DATA_FOLDER}/COCO"
VOC_FOLDER = f"{DATA_FOLDER}/VOCdevkit"
VOC_SETS = ([("2007", "trainval"), ("2012", "trainval")], [("2007", "test")])
BUILT_BY: dict[Split, tuple[str, ...]] = {
    "train": ("get_dataset", "get_data_loader"),
    "val": ("get_eval_dataset", "get_eval_loader"),
}
PICTURES: dict[Split, str] = {"train": "train2017", "val": "val2017"}
ANNOTATIONS: dict[Split, str] = {"train": "train_ann", "val": "val_ann"}


@dataclass(frozen=True)
class DataSet:
    """Where the data are.

    Attributes:
        settings: `data`, or the annotations and pictures of both splits where `train` would not find them in a folder.
        pictures, annotations: of the validation split, for `eval`; None where it is no COCO data set.
        leftovers: what could not be told, or is otherwise here.
    """

    settings: dict[str, str]
    pictures: str | None = None
    annotations: str | None = None
    leftovers: list[Leftover] = field(default_factory=list)


@dataclass(frozen=True)
class _Coco:
    folder: str
    annotations: str
    pictures: str


def read_data_set(exp: Exp) -> DataSet:
    """The data set of an Exp: what its `get_dataset` opens, or `data_dir` with `train_ann` and `val_ann`."""
    opened = {split: _opened(exp, split) for split in BUILT_BY}
    calls = [item for item in opened.values() if item is not None]
    own = {item.name: item.place for item in calls if item.name not in ("COCODataset", "VOCDetection")}
    cure = "folders of COCO, VOC and YOLO text are read here; look at what is found with --check-only"
    leftovers = [Leftover(place, f"{name} is a data set of its own", cure) for name, place in own.items()]
    if any("VOC" in item.name for item in calls):
        return _voc(calls, leftovers)
    if own and not any("json_file" in item.values for item in calls):
        folder = _folder(calls[0].values.get("data_dir", exp.values["data_dir"]))
        return DataSet({"data": folder}, leftovers=leftovers)
    train = _coco(exp, "train", opened["train"], leftovers)
    val = _coco(exp, "val", opened["val"], leftovers)
    if train.folder == val.folder and _is_found(train, "train") and _is_found(val, "val"):
        return DataSet({"data": train.folder}, _there(val, "val"), val.annotations, leftovers)
    if train.annotations == val.annotations:
        same = "the same file trains and evaluates"
        leftovers.append(
            Leftover(exp.places.get("val_ann"), same, "AP on it says little; keep pictures apart")
        )
    named = {
        "train_annotations": train.annotations,
        "val_annotations": val.annotations,
        "images": train.pictures,
    }
    if val.pictures != train.pictures:
        named["val_images"] = val.pictures
    return DataSet(named, val.pictures, val.annotations, leftovers)


def _opened(exp: Exp, split: Split) -> Built | None:
    """The call that opens the data set of a split in the Exp's own code."""
    for item in exp.built_by(*BUILT_BY[split]):
        if item.name[:1].isupper() and item.values.keys() & {
            "data_dir",
            "json_file",
            "image_sets",
            "anno_file",
        }:
            return item
    return None


def _voc(opened: list[Built], leftovers: list[Leftover]) -> DataSet:
    folder = opened[0].values.get("data_dir", VOC_FOLDER)
    if not isinstance(folder, str):
        leftovers.append(
            Leftover(opened[0].place, f"data_dir: {folder}", f"{VOC_FOLDER} is taken; change `data`")
        )
        folder = VOC_FOLDER
    sets = [item.values.get("image_sets") for item in opened]
    if sets != [list(item) for item in VOC_SETS]:
        what = f"image_sets {' and '.join(map(str, sets))}"
        cure = "of ImageSets/Main, train and val are used, or trainval and test, of all VOC* folders"
        leftovers.append(Leftover(opened[0].place, what, cure))
    cure = "AP is COCO's here, in training too; eval wants COCO's JSON of the pictures"
    leftovers.append(Leftover(opened[-1].place, "VOC's AP of the evaluation", cure))
    return DataSet({"data": folder}, leftovers=leftovers)


def _coco(exp: Exp, split: Split, opened: Built | None, leftovers: list[Leftover]) -> _Coco:
    given: dict[str | int, Any] = {} if opened is None else opened.values
    name = PICTURES[split] if opened is None else PICTURES["train"]  # the default of their COCODataset
    defaults = {"data_dir": exp.values["data_dir"], "json_file": exp.values[ANNOTATIONS[split]], "name": name}
    values = {key: given.get(key, default) for key, default in defaults.items()}
    usual = {
        "data_dir": COCO_FOLDER,
        "json_file": f"instances_{PICTURES[split]}.json",
        "name": PICTURES[split],
    }
    found = {key: str(value) for key, value in values.items() if isinstance(value, str | os.PathLike)}
    for key, value in values.items():
        if key not in found and value is not None:
            said = str(value) if isinstance(value, Unread) else f"it is {value!r}"
            place = opened.place if opened is not None and key in given else exp.places.get(key)
            leftovers.append(
                Leftover(place, f"{key} of the {split} split: {said}", f"{usual[key]!r} is taken")
            )
    folder, file, pictures = (found.get(key, usual[key]) for key in usual)
    folder = _folder(folder)
    return _Coco(folder, _inside(folder, f"annotations/{file}", file), _inside(folder, pictures, pictures))


def _folder(value: object) -> str:
    """A folder's name with / between its parts; the authors' own where it is not told."""
    text = str(value) if isinstance(value, str | os.PathLike) else COCO_FOLDER
    return os.path.normpath(text.replace("\\", "/"))


def _inside(folder: str, place: str, name: str) -> str:
    whole = os.path.isabs(name) or PureWindowsPath(name).is_absolute()
    return name.replace("\\", "/") if whole else os.path.normpath(os.path.join(folder, place))


def _is_found(item: _Coco, split: Split) -> bool:
    """Whether `train` finds these files in the folder, and no others before them."""
    folder = Path(item.folder)
    expected = Path(item.annotations)
    for file in coco_files(split):
        if folder / file == expected:
            return Path(item.pictures) in _usual_folders(item.folder, split)
        if (folder / file).is_file():
            return False
    return False


def _usual_folders(folder: str, split: Split) -> list[Path]:
    names = [place for name in USUAL[split] for place in (name, f"images/{name}")]
    return [Path(folder, name) for name in (*names, "images", ".")]


def _there(item: _Coco, split: Split) -> str:
    """The folder of the pictures: where it is not there but another is in which `train` finds them, that one."""
    if Path(item.pictures).is_dir():
        return item.pictures
    found = (place for place in _usual_folders(item.folder, split)[:-1] if place.is_dir())
    return next((place.as_posix() for place in found), item.pictures)
