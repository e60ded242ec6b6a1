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


LISTED = 5
"""Names that a message counts up."""


def default_class_names(count: int) -> tuple[str, ...]:
    """COCO's names for 80 classes, `class_0`, `class_1`, … for any other count."""
    return CLASS_NAMES if count == len(CLASS_NAMES) else tuple(f"class_{i}" for i in range(count))


def match_classes(class_names: Sequence[str], categories: Sequence[str]) -> tuple[int | None, ...]:
    """For each class of a model the index of its category in a data set, None where the data set has none.

    Names decide, without regard to case and underscores ("Traffic_light" is "traffic light"); of a name that occurs
    twice the first is the first. Categories that the model does not have are left out, with a warning. Where both
    sides are as many and no common name stands at another place (renamed classes, or none has a name), the order
    decides, with a warning.

    Raises:
        UsageError: neither works.
    """
    sides = (class_names, categories)
    distinct = all(len(set(map(_folded, names))) == len(set(names)) for names in sides)
    wanted, known = (_numbered([_folded(name) if distinct else name for name in names]) for names in sides)
    index = {key: number for number, key in enumerate(known)}
    by_name = tuple(index.get(key) for key in wanted)
    missing = [name for name, key in zip(categories, known, strict=True) if key not in wanted]
    if not missing:
        return by_name
    if len(wanted) == len(known) and all(found in (None, at) for at, found in enumerate(by_name)):
        _warn_of_order(class_names, categories, missing[0])
        return tuple(range(len(categories)))
    if len(missing) == len(categories):
        raise UsageError(
            f"the model has {len(class_names)} classes, the data set {len(categories)} categories, and no name is in "
            f"both: there is no {missing[0]!r} among the former. Name the model's classes as the data set does "
            "(--names FILE), add categories that the data set lacks (they need no objects), or take a model that "
            "was trained on them"
        )
    listed = ", ".join(map(repr, missing[:LISTED])) + (", …" if len(missing) > LISTED else "")
    warnings.warn(
        f"the model has {len(categories) - len(missing)} of the data set's {len(categories)} categories; objects of "
        f"{listed} are left out. If the model calls them otherwise, name its classes as the data set does "
        "(--names FILE)",
        stacklevel=3,
    )
    return by_name


def _warn_of_order(class_names: Sequence[str], categories: Sequence[str], missing: str) -> None:
    unnamed = tuple(class_names) == tuple(f"class_{number}" for number in range(len(class_names)))
    if unnamed and len(class_names) == 1:
        return
    why = "the model does not name its classes" if unnamed else f"the model has no class {missing!r}"
    warnings.warn(
        f"{why}, so classes are matched to categories by their order: "
        f"{class_names[0]!r} to {categories[0]!r} and so on. If that is wrong, name the model's classes as the "
        "data set does (--names FILE)",
        stacklevel=4,
    )


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
