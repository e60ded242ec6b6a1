"""Class names of a model and of a data set compared: exactly, and where they are written otherwise."""

from __future__ import annotations

import warnings

import pytest

from yolox_deploy.class_names import CLASS_NAMES, find_names, match_classes

VOC = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
    **{
        name: name
        for name in ("bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dog")
    },
    **{name: name for name in ("horse", "person", "sheep", "train")},
}


def test_all_of_voc_is_found_in_coco() -> None:
    found = find_names(list(VOC), CLASS_NAMES)
    assert [CLASS_NAMES[at] for at in found if at is not None] == list(VOC.values())


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Traffic-Light", "traffic light"),
        ("traffic  lights", "traffic light"),
        ("TV", "tv"),
        ("Pedestrian", "person"),
        ("people", "person"),
        ("mobile_phones", "cell phone"),
        ("knives", "knife"),
        ("buses", "bus"),
        ("wine glasses", "wine glass"),
        ("benches", "bench"),
        ("ski", "skis"),
        ("horses", "horse"),
        ("scissor", "scissors"),
    ],
)
def test_kindred_names(name: str, known: str) -> None:
    assert find_names([name], CLASS_NAMES) == (CLASS_NAMES.index(known),)
    assert find_names([known], [name]) == (0,)


@pytest.mark.parametrize(
    "name", ["bike", "vehicle", "table", "ball", "mouse trap", "plant", "bu", "", "class_0"]
)
def test_names_of_something_else(name: str) -> None:
    assert find_names([name], CLASS_NAMES) == (None,)


def test_the_same_name_goes_before_a_kindred_one() -> None:
    assert find_names(["pedestrian", "person"], CLASS_NAMES) == (None, 0)
    assert find_names(["person"], ["people", "Person"]) == (1,)
    assert find_names(["as", "a"], ["a", "as"]) == (1, 0)


def test_two_kindred_names_are_not_chosen_from() -> None:
    assert find_names(["people", "pedestrian", "car"], CLASS_NAMES) == (None, None, 2)
    assert find_names(["person"], ["people", "pedestrian"]) == (None,)


def test_exact_names_are_matched_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert match_classes(("cat", "Traffic_light", "dog"), ("dog", "traffic light")) == (None, 1, 0)


def test_kindred_names_are_matched_and_said() -> None:
    with pytest.warns(
        UserWarning, match=r"otherwise: 'sofa' is taken for 'couch', 'tvmonitor' is taken for 'tv'\."
    ):
        assert match_classes(("cat", "couch", "tv"), ("tvmonitor", "cat", "sofa")) == (1, 2, 0)


def test_what_stays_unknown_is_left_out() -> None:
    with pytest.warns(
        UserWarning, match="has 1 of the data set's 3 categories; objects of 'people', 'ped"
    ) as told:
        assert match_classes(CLASS_NAMES[:3], ("people", "pedestrian", "bicycle")) == (None, 2, None)
    assert len(told) == 1
