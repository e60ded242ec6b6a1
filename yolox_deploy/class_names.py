"""The 80 classes of COCO, in the order in which the official YOLOX weights number them; class names compared."""

from __future__ import annotations

import difflib
import re
import reprlib
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Integral

from yolox_deploy.errors import ArtifactError, UsageError, YoloxDeployError, translating
from yolox_deploy.types import LONGEST_TEXT, is_plain

CLASS_NAMES = tuple(
    """person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|
parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie|
suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard|
tennis racket|bottle|wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|
hot dog|pizza|donut|cake|chair|couch|potted plant|bed|dining table|toilet|tv|laptop|mouse|remote|keyboard|
cell phone|microwave|oven|toaster|sink|refrigerator|book|clock|vase|scissors|teddy bear|hair drier|
toothbrush""".replace("\n", "").split("|")
)

_SYNONYMS = {
    "airplane": ("aeroplane", "plane"),
    "backpack": ("rucksack",),
    "bus": ("buses",),
    "cell phone": ("cellular phone", "mobile phone", "smartphone"),
    "couch": ("sofa",),
    "cow": ("cattle",),
    "donut": ("doughnut",),
    "fire hydrant": ("hydrant",),
    "hair drier": ("hair dryer",),
    "keyboard": ("computer keyboard",),
    "knife": ("knives",),
    "microwave": ("microwave oven",),
    "motorcycle": ("motorbike",),
    "mouse": ("computer mouse",),
    "person": ("people", "pedestrian", "human"),
    "refrigerator": ("fridge",),
    "remote": ("remote control",),
    "skis": ("ski",),
    "tennis racket": ("tennis racquet",),
    "tie": ("necktie",),
    "traffic light": ("traffic signal", "stop light"),
    "truck": ("lorry",),
    "tv": ("television", "tv monitor", "television set", "tv set"),
}
"""Other names of COCO's classes in data sets; none that is often something else, such as "bike"."""

MOST_CLASSES = 100_000

LISTED = 5
"""Names that a message counts up."""

SHORT = 3
"""Letters of a name that is not looked at for a plural."""


def check_names(names: object, error: type[YoloxDeployError] = ArtifactError, where: str = "") -> None:
    """Refuse class names that cannot be written to a file of text: names of several lines, halves of characters.

    They may be alike, empty, or look like paths: whoever makes a file of one makes its name from it.

    Args:
        where: stands before what is said, such as "data.yaml: ".

    Raises:
        `error`: names the first that is at fault.
    """
    if not isinstance(names, tuple | list) or not 1 <= len(names) <= MOST_CLASSES:
        raise error(f"{where}class_names is {reprlib.repr(names)}; expected 1 to {MOST_CLASSES} texts")
    for class_id, name in enumerate(names):
        if not is_plain(name):
            raise error(
                f"{where}class_names[{class_id}] is {reprlib.repr(name)}; expected a text of one line, of at most "
                f"{LONGEST_TEXT} characters"
            )


def default_class_names(count: int) -> tuple[str, ...]:
    """COCO's names for 80 classes, `class_0`, `class_1`, … for any other count."""
    return CLASS_NAMES if count == len(CLASS_NAMES) else tuple(f"class_{i}" for i in range(count))


def match_classes(class_names: Sequence[str], categories: Sequence[str]) -> tuple[int | None, ...]:
    """For each class of a model the index of its category in a data set, None where the data set has none.

    Names decide, without regard to case and underscores ("Traffic_light" is "traffic light"); of a name that occurs
    twice the first is the first. What is left is matched by `kin`, with a warning. Categories that the model does not
    have are left out, with a warning. Where both sides are as many and no common name stands at another place (renamed
    classes, or none has a name), the order decides, with a warning.

    Raises:
        UsageError: neither works.
    """
    by_name = _same(class_names, categories)
    if not _missing(by_name, categories):
        return by_name
    found = find_names(class_names, categories)
    missing = _missing(found, categories)
    _warn_of_kin(by_name, found, class_names, categories)
    if not missing:
        return found
    if len(class_names) == len(categories) and all(at in (None, place) for place, at in enumerate(found)):
        _warn_of_order(class_names, categories, missing[0])
        return tuple(range(len(categories)))
    if len(missing) == len(categories):
        raise UsageError(
            f"the model has {len(class_names)} classes, the data set {len(categories)} categories, and no name is in "
            f"both: there is no {missing[0]!r} among the former. Name the model's classes as the data set does "
            "(--names FILE), add categories that the data set lacks (they need no objects), or take a model that "
            "was trained on them"
        )
    warnings.warn(
        f"the model has {len(categories) - len(missing)} of the data set's {len(categories)} categories; objects of "
        f"{_listed(missing)} are left out. If the model calls them otherwise, name its classes as the data set does "
        "(--names FILE)",
        stacklevel=3,
    )
    return found


def class_ids_of(classes: Iterable[str | int] | str | int, class_names: Sequence[str]) -> tuple[int, ...]:
    """The ids of classes given by name, without regard to case and underscores, or by id (2 or "2"); ascending.

    A name that several classes have means all of them.

    Raises:
        UsageError: no class is given, or one that is none of `class_names`; names the nearest.
    """
    with translating(UsageError, f"classes is {reprlib.repr(classes)}; expected names or ids of classes"):
        asked: list[str | int] = [classes] if isinstance(classes, str | int | Integral) else list(classes)
    if not asked:
        raise UsageError(f"no class is named; expected some of {_listed(class_names)}")
    places: dict[str, list[int]] = {}
    for place, name in enumerate(class_names):
        places.setdefault(_folded(name), []).append(place)
    found: set[int] = set()
    for one in asked:
        if isinstance(one, Integral) and not isinstance(one, bool) and 0 <= one < len(class_names):
            found.add(int(one))
        elif isinstance(one, str) and _folded(one) in places:
            found.update(places[_folded(one)])
        elif isinstance(one, str) and one.isdecimal() and int(one[:9]) < len(class_names):
            found.add(int(one))
        else:
            raise UsageError(_unknown_class(one, class_names))
    return tuple(sorted(found))


def _unknown_class(asked: object, class_names: Sequence[str]) -> str:
    if not isinstance(asked, str):
        return f"no class {asked!r}; expected a name, or an id from 0 to {len(class_names) - 1}"
    (kin,) = find_names([asked], class_names)
    near = (
        difflib.get_close_matches(asked, class_names, n=3, cutoff=0.5) if kin is None else [class_names[kin]]
    )
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"the model has no class {asked!r}; it has {_listed(class_names)}{hint}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:LISTED])) + (
        f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    )


def find_names(wanted: Sequence[str], known: Sequence[str]) -> tuple[int | None, ...]:
    """For each name of `wanted` the index of the same or a kindred one in `known`, or None; none is given twice.

    The same are names that differ in case and underscores alone. Of what is left, kindred are those that differ in
    blanks, hyphens, a plural or by a usual synonym ("TVmonitor" and "tv", "aeroplane" and "airplane"), where no other
    name that is left is kindred too: of "people" and "pedestrian", none is taken for "person".
    """
    found = list(_same(wanted, known))
    left = _by_kind((at for at, other in enumerate(found) if other is None), wanted)
    free = _by_kind((at for at in range(len(known)) if at not in found), known)
    for kind in left.keys() & free.keys():
        if len(left[kind]) == len(free[kind]) == 1:
            found[left[kind][0]] = free[kind][0]
    return tuple(found)


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


def _warn_of_kin(
    same: Sequence[int | None],
    found: Sequence[int | None],
    class_names: Sequence[str],
    categories: Sequence[str],
) -> None:
    pairs = [
        f"{categories[at]!r} is taken for {class_names[place]!r}"
        for place, (before, at) in enumerate(zip(same, found, strict=True))
        if at is not None and before is None
    ]
    if pairs:
        warnings.warn(
            f"names of the data set that the model writes otherwise: {', '.join(pairs)}. If that is wrong, name the "
            "model's classes as the data set does (--names FILE)",
            stacklevel=4,
        )


def _same(wanted: Sequence[str], known: Sequence[str]) -> tuple[int | None, ...]:
    """For each of `wanted` the index in `known`; case and underscores count where names would be equal without."""
    sides = (wanted, known)
    distinct = all(len(set(map(_folded, names))) == len(set(names)) for names in sides)
    keys, others = (_numbered([_folded(name) if distinct else name for name in names]) for names in sides)
    index = {key: number for number, key in enumerate(others)}
    return tuple(index.get(key) for key in keys)


def _missing(found: Sequence[int | None], categories: Sequence[str]) -> list[str]:
    return [name for at, name in enumerate(categories) if at not in found]


def _by_kind(places: Iterable[int], names: Sequence[str]) -> dict[str, list[int]]:
    """The places of kindred names together."""
    kinds: dict[str, list[int]] = {}
    for place in places:
        kinds.setdefault(_kind(names[place]), []).append(place)
    return kinds


def _kind(name: str) -> str:
    """A text that kindred names share."""
    key = _singular(_joined(name))
    return _KINDS.get(key, key)


def _joined(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _singular(key: str) -> str:
    """Without the plural of regular English nouns; "bus", "skis", "glass" and short texts are left alone."""
    for ending, single in _PLURALS.items():
        if key.endswith(ending) and len(key) > SHORT:
            return key.removesuffix(ending) + single
    return key


_PLURALS = {
    **{"ies": "y", "sses": "ss", "ches": "ch", "shes": "sh", "xes": "x"},
    **{"ss": "ss", "us": "us", "is": "is", "s": ""},
}
_KINDS = {
    _singular(_joined(other)): _singular(_joined(name))
    for name, others in _SYNONYMS.items()
    for other in others
}


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
