"""An evaluation report as a folder: one HTML page that loads nothing, its charts and pictures, and the numbers.

`page.html` and `page.css` beside this module are its frame. Every text is escaped, and the page's own policy (CSP)
forbids it to load anything or to run a script.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from yolox_deploy.errors import require
from yolox_deploy.evaluation.matching import KINDS
from yolox_deploy.evaluation.plots import CHARTS, DPI, draw_worst
from yolox_deploy.evaluation.values import Evaluated
from yolox_deploy.evaluation.worst import NOTES, Marked, WorstPicture
from yolox_deploy.files import check_writable, write_text
from yolox_deploy.images import load_image

ABSENT = "–"
LISTED = 8
"""Confusions in the table, wrong boxes under a picture, classes in a sentence."""
ALTERNATIVES = {
    "pr_curve.png": "precision over recall",
    "f1_curve.png": "F1, precision and recall over the score threshold",
    "confusion.png": "what objects were found as",
    "calibration.png": "share of right detections over their score",
    "per_class.png": "AP of each class",
}


def write_report(report: Evaluated, folder: Path) -> Path:
    """Write the folder of a report; see `EvaluationReport.save`."""
    require("matplotlib", "report")
    check_writable(folder / "index.html", f"report {folder}")
    for old in folder.glob("worst_*.jpg"):
        old.unlink()
    for name, draw_chart in CHARTS.items():
        draw_chart(report, folder / name)
    worst = [folder / f"worst_{place:02d}.jpg" for place, _ in enumerate(report.worst, start=1)]
    for picture, path in zip(report.worst, worst, strict=True):
        draw_worst(picture, path)
    write_text(folder / "report.json", json.dumps(report.to_dict()) + "\n")
    write_text(folder / "index.html", html_page(report, folder, worst))
    return folder / "index.html"


def html_page(report: Evaluated, folder: Path, worst: Sequence[Path]) -> str:
    """The page as text, with the charts and pictures that lie in the folder."""
    package = resources.files("yolox_deploy.evaluation")
    charts = {name.removesuffix(".png"): _chart(folder / name) for name in CHARTS}
    named = Path(report.about["model"]).name if "model" in report.about else "a detector"
    without = [row.name for row in report.per_class if not row.objects]
    best = report.curves.overall.best
    return Template((package / "page.html").read_text(encoding="utf-8")).substitute(
        charts,
        css=(package / "page.css").read_text(encoding="utf-8"),
        title=escape(named),
        subject=_subject(report),
        findings=_findings(report),
        figures="".join(
            f"<div><dt>{key}</dt><dd>{_figure(value)}</dd></div>" for key, value in report.figures.items()
        ),
        sizes=_sizes(report),
        threshold=f"{report.threshold:g}",
        reason=", where F1 of all classes together is best"
        if best and best.threshold == report.threshold
        else "",
        match_iou=f"{report.match_iou:g}",
        best=_best(report),
        classes=_classes(report),
        without=f"No objects of {escape(_enumerate(without))}." if without else "",
        kinds=_kinds(report),
        pairs=_pairs(report),
        calibration_text=_calibration(report),
        worst="".join(_worst(*pair) for pair in zip(report.worst, worst, strict=True))
        or "<p>There is no mistake.</p>",
        how=_how(report),
    )


def _subject(report: Evaluated) -> str:
    data, about = report.data, report.about
    where = (
        f" on {about['backend']} ({about.get('precision', 'unknown precision')})"
        if "backend" in about
        else ""
    ) + (f" in tiles of {about['tiles']}" if "tiles" in about else "")
    ignored = f", and {_count(data.ignored, 'crowd or difficult one')}, not counted" if data.ignored else ""
    return (
        f"{escape(about.get('model', 'A detector'))}{escape(where)}, on {_count(data.pictures, 'picture')} of "
        f"{escape(data.source)} with {_count(data.objects, 'object')} of "
        f"{_count(len(report.per_class), 'class', 'classes')}{ignored}."
    )


def _findings(report: Evaluated) -> str:
    if not report.findings:
        return "<p>Nothing: no figure differs much from what the others would make one expect.</p>"
    told = (f"<li>{escape(one.text)}<span>{escape(one.advice)}</span></li>" for one in report.findings)
    return f"<ul>{''.join(told)}</ul>"


def _sizes(report: Evaluated) -> str:
    rows = [(one.name, one.objects, one.found, _share(one.recall), _figure(one.AP)) for one in report.sizes]
    return _table(("size", "objects", "found", "recall", "AP"), rows)


def _best(report: Evaluated) -> str:
    best = report.curves.overall.best
    if best is None:
        return "Nothing right was found, so no threshold is the best."
    return (
        f"F1 of all classes together is best at a score of <b>{best.threshold:g}</b>: {best.f1:.3f}, with precision "
        f"{best.precision:.3f} and recall {best.recall:.3f}."
    )


def _classes(report: Evaluated) -> str:
    rows = [
        (
            row.name,
            row.objects,
            _figure(row.AP),
            _figure(row.AP50),
            *(_share(value) for value in (row.precision, row.recall, row.f1)),
            ABSENT if row.threshold is None else f"{row.threshold:g}",
        )
        for row in sorted(report.per_class, key=lambda row: -row.objects)
        if row.objects
    ]
    columns = ("class", "objects", "AP", "AP50", "precision", "recall", "F1", "at score")
    return _table(columns, rows) if rows else "<p>The data set has no objects of these classes.</p>"


def _kinds(report: Evaluated) -> str:
    total = sum(report.kinds.values())
    rows = [
        (NOTES[index], report.kinds[kind], f"{report.kinds[kind] / max(total, 1):.0%}")
        for index, kind in enumerate(KINDS)
    ]
    return _table((f"{_count(total, 'wrong box', 'wrong boxes')}", "boxes", "share"), rows)


def _pairs(report: Evaluated) -> str:
    pairs = report.confusion.pairs()[:LISTED]
    return (
        _table(("is", "found as", "objects"), pairs)
        if pairs
        else "<p>No object was taken for another class.</p>"
    )


def _calibration(report: Evaluated) -> str:
    error = report.calibration.error
    if math.isnan(error):
        return "Nothing was found, so there are no scores to look at."
    return (
        f"Scores are {error:.3f} away from the share of right detections on average (expected calibration error, over "
        f"all {report.calibration.counts.sum()} detections from {report.conf:g} on)."
    )


def _worst(picture: WorstPicture, path: Path) -> str:
    height, width = load_image(path).shape[:2]
    lines = [
        f'<p><b class="missed">Missed:</b> {escape(_missed(picture.missed))}</p>' if picture.missed else "",
        f'<p><b class="wrong">Wrong:</b> {escape(_wrong(picture.wrong))}</p>' if picture.wrong else "",
    ]
    told = f"{len(picture.missed)} missed, {len(picture.wrong)} wrong, {len(picture.right)} right"
    return (
        f'<figure><img src="{_embedded(path)}" width="{width}" height="{height}" alt="{escape(picture.name)}: {told}">'
        f"<figcaption>{escape(picture.name)}: {told}</figcaption>{''.join(lines)}</figure>"
    )


def _missed(marked: Sequence[Marked]) -> str:
    counts = Counter(f"{one.class_name} ({one.note})" if one.note else one.class_name for one in marked)
    return _enumerate([f"{count} {name}" for name, count in counts.most_common()])


def _wrong(marked: Sequence[Marked]) -> str:
    return _enumerate([f"{one.class_name} {one.score:.2f} ({one.note})" for one in marked], "; ")


def _how(report: Evaluated) -> str:
    facts = {
        "detections": f"score {report.conf:g} or more, suppressed at IoU {report.iou:g}, any number a picture",
        "AP": "faster-coco-eval, the figures of pycocotools: at most 100 detections a picture and class",
        "matches": f"best score first, each detection the free object of its class that it overlaps most, IoU "
        f"{report.match_iou:g} or more",
        "crowds": "objects marked as crowd or difficult are not counted, nor detections that lie in one by that share",
        "data": f"fingerprint {report.data.fingerprint[:16]}",
    }
    rows = "".join(f"<tr><th scope=row>{key}</th><td>{escape(text)}</td></tr>" for key, text in facts.items())
    return f'<div class="scroll text"><table class="how"><tbody>{rows}</tbody></table></div>'


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in a box that scrolls by itself."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{escape(str(first))}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(columns[0])}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _chart(path: Path) -> str:
    height, width = load_image(path).shape[:2]
    size = f'width="{width * 100 // DPI}" height="{height * 100 // DPI}"'
    return f'<figure><img src="{_embedded(path)}" {size} alt="{ALTERNATIVES[path.name]}"></figure>'


def _embedded(path: Path) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _enumerate(texts: Sequence[str], separator: str = ", ") -> str:
    more = len(texts) - LISTED
    return separator.join(texts[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def _figure(value: float) -> str:
    return ABSENT if value < 0 else f"{value:.3f}"


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"
