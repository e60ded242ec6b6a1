"""The 80 classes of COCO, in the order in which the official YOLOX weights number them."""

from __future__ import annotations

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
