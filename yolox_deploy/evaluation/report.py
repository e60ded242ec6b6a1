"""What `evaluate` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolox_deploy.evaluation.values import Evaluated


@dataclass(frozen=True, eq=False)
class EvaluationReport(Evaluated):
    """What `evaluate` found, and what went wrong.

    Attributes:
        about: what was evaluated, in words: `model`, `backend`, `precision`, `tiles` where they are known.
        data: on what.
        conf, iou: least score, and suppression threshold, of the detections.
        match_iou: IoU with which a detection finds an object, in all but `figures` and the AP of `per_class`.
        threshold: score from which on a detection counts, in `confusion`, `sizes`, `kinds` and `worst`.
        figures: those of `coco_ap`.
        per_class: of each class that was evaluated, by ascending category.
        sizes: small, medium and large objects.
        confusion: what objects were taken for.
        kinds: how many wrong detections there are of each kind (`matching.KINDS` says which).
        curves: precision, recall and F1 over the score, precision over recall.
        calibration: scores against the share of right detections.
        worst: the pictures with most mistakes, the worst first.
        findings: what stands out, in words.
    """

    def save(self, folder: str | Path) -> Path:
        """Write `index.html`, its charts and pictures beside it, and `report.json`; returns the page.

        The page is one file that loads nothing. Files of an earlier report in the folder are replaced.

        Raises:
            MissingExtraError: matplotlib is not installed.
            UsageError: the folder cannot be written.
            InputError: one of the worst pictures cannot be read any more.
        """
        from yolox_deploy.evaluation.page import write_report

        return write_report(self, Path(folder))
