"""The 80 classes of COCO, in the order in which the official YOLOX weights number them; class names compared."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

from yolox_deploy.errors import UsageError

CLASS_NAMES = tuple(
    """person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|
parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie|
suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard|
tennis racket|bottle|wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|
hot dog|pizza|donut|cake|chair|couch|potted plant|bed|dining table|toilet|tv|laptop|mouse|remote|keyboard|
cell phone|microwave|oven|toaster|sink|refrigerator|book|clock|vase|scissors|teddy bear|hair drier|
toothbrush""".replace("\n", "").split("|")
)


def default_class_names(count: int) -> tuple[str, ...]:
    """COCO's names for 80 classes, `class_0`, `class_1`, … for any other count."""
    return CLASS_NAMES if count == len(CLASS_NAMES) else tuple(f"class_{i}" for i in range(count))


def match_classes(class_names: Sequence[str], categories: Sequence[str]) -> tuple[int | None, ...]:
    """For each class of a model the index of its category in a data set, None where the data set has none.

    Names decide, without regard to case and underscores ("Traffic_light" is "traffic light"), where the model has
    every category; of a name that occurs twice the first is the first. Else the order does, with a warning unless
    the model's names are placeholders (`class_0`, ...).

    Raises:
        UsageError: neither works.
    """
    sides = (class_names, categories)
    distinct = all(len(set(map(_folded, names))) == len(set(names)) for names in sides)
    wanted, known = (_numbered([_folded(name) if distinct else name for name in names]) for names in sides)
    index = {key: number for number, key in enumerate(known)}
    if index.keys() <= set(wanted):
        return tuple(index.get(key) for key in wanted)
    missing = next(name for name, key in zip(categories, known, strict=True) if key not in wanted)
    if len(class_names) != len(categories):
        raise UsageError(
            f"the model has {len(class_names)} classes, the data set {len(categories)} categories, and among the "
            f"former there is no {missing!r}; expected every category: take a model that was trained on them, or "
            "name its classes as the data set does (--classes FILE)"
        )
    if tuple(class_names) != tuple(f"class_{number}" for number in range(len(class_names))):
        warnings.warn(
            f"the model has no class {missing!r}, so its classes are matched to the categories by their order: "
            f"{class_names[0]!r} to {categories[0]!r} and so on. If that is wrong, name the model's classes as the "
            "data set does (--classes FILE)",
            stacklevel=3,
        )
    return tuple(range(len(categories)))


def _folded(name: str) -> str:
    return name.replace("_", " ").casefold()


def _numbered(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name with how often it occurred before."""
    seen: Counter[str] = Counter()
    keys = []
    for name in names:
        keys.append((name, seen[name]))
        seen[name] += 1
    return keys
