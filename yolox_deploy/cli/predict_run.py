"""The work of `predict`: each picture is read, given to the model and written, and then forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from yolox_deploy.cli.common import command_line, console, whole_videos
from yolox_deploy.cli.counting import Counting, counting
from yolox_deploy.cli.predict_arguments import PredictArguments
from yolox_deploy.cli.predict_outputs import (
    Coco,
    Crops,
    Document,
    Drawn,
    Labels,
    Lines,
    Output,
    Seen,
    named,
    summary,
)
from yolox_deploy.cli.predict_resume import Done, begin, record_of
from yolox_deploy.cli.predict_sources import STANDARD_INPUT, Item, Survey, items
from yolox_deploy.errors import InputError
from yolox_deploy.files import naming

if TYPE_CHECKING:
    from yolox_deploy.detector import Detector

MOST_NAMED = 10
"""Failures that the last message names; all of them stand in the files."""


@dataclass
class Tally:
    """What has happened so far: counts, and the first few failures."""

    count: int = 0
    failed: int = 0
    first: list[str] = field(default_factory=list)

    def fail(self, error: str) -> None:
        self.failed += 1
        if len(self.first) < MOST_NAMED:
            self.first.append(error)


def run(asked: PredictArguments, found: Survey) -> None:
    """Detect, print and write.

    Raises:
        InputError: pictures could not be read; said after the others are done.
        UsageError: the results cannot be written, or do not fit those of an earlier run.
    """
    from yolox_deploy.detector import Detector

    tally = Tally()
    with Detector(asked.model, **asked.detector) as detector:
        done = Done(asked.lines) if asked.lines is not None and asked.resume else None
        if asked.lines is not None:
            record = record_of(detector, asked.options, asked.sources)
            begin(asked.lines, record, done.lines if done else 0, numbered=found.numbered)
        with _telling(asked), _opened(asked, detector) as outputs, counting(found.total) as counter:
            worker = Worker(detector, outputs, done, tally, counter, silent=asked.as_json)
            for item in items(asked.sources, asked.folders):
                worker.process(item)
    _report(asked, outputs, tally)


class Worker:
    """Takes one item after another through the model and to the outputs."""

    def __init__(
        self,
        detector: Detector,
        outputs: Sequence[Output],
        done: Done | None,
        tally: Tally,
        counter: Counting,
        *,
        silent: bool,
    ) -> None:
        self._detector, self._outputs, self._done = detector, outputs, done
        self._tally, self._counter, self._silent = tally, counter, silent
        self._channels = detector.info.artifact.input.picture_channels

    def process(self, item: Item) -> None:
        """Do what is still to be done about a picture or video."""
        self._tally.count += 1
        known = self._done.take_error(item.path) if self._done is not None else None
        if self._done is not None and known is not None:
            self._done.take_frames(item.path)  # that came before the video broke off
            self._tally.fail(known)
            self._counter.advance(worked=False)
            return
        outputs = self._outputs
        if self._done is not None and not item.is_video and self._done.take(item.path):
            outputs = [
                output for output in outputs if not isinstance(output, Lines) and not output.holds(item)
            ]
            if not outputs:
                self._counter.advance(worked=False)
                return
        try:
            if item.is_video:
                self._video(item)
            else:
                self._picture(item, outputs)
        except InputError as error:
            self._tally.fail(str(error))
            self._counter.advance()
            for output in outputs:
                with naming(output.place):
                    output.fail(item, str(error))

    def _picture(self, item: Item, outputs: Sequence[Output]) -> None:
        from yolox_deploy.images import load_image

        image = load_image(item.path, self._channels)
        self._write(outputs, Seen(item, image, self._detector.predict(image)))

    def _video(self, item: Item) -> None:
        from yolox_deploy.capture import video_frames

        if any(isinstance(output, Labels | Coco) for output in self._outputs):
            raise InputError(f"{item.path} is a video; labels are of pictures")
        before = self._done.take_frames(item.path) if self._done is not None else 0
        if before and all(output.holds(item) for output in self._outputs) and _is_whole(item.path, before):
            return
        again = [output for output in self._outputs if not isinstance(output, Lines)]
        with whole_videos(), ExitStack() as stack:
            for output in self._outputs:
                stack.enter_context(output.video(item))
            for frame in video_frames(item.path):
                outputs = again if frame.index < before else self._outputs
                if outputs:
                    found = self._detector.predict(frame.image)
                    self._write(outputs, Seen(item, frame.image, found, frame))

    def _write(self, outputs: Sequence[Output], seen: Seen) -> None:
        for output in outputs:
            with naming(output.place):
                output.add(seen)
        self._counter.advance()
        if not self._silent:
            self._counter.echo(f"{named(seen.item, seen.frame)}: {summary(seen.found)}")


def _is_whole(video: Path, frames: int) -> bool:
    """Whether a video has no more than so many frames.

    Raises:
        InputError: it has no more, and breaks off there.
    """
    from yolox_deploy.capture import video_frames

    with whole_videos():
        return next(islice(video_frames(video), frames, None), None) is None


@contextmanager
def _opened(asked: PredictArguments, detector: Detector) -> Iterator[list[Output]]:
    """All outputs, the lines last: what has its line has all the rest."""
    from yolox_deploy.data.prelabels import CocoFile, YoloFolder
    from yolox_deploy.files import new_folder
    from yolox_deploy.json_lines import LineFile

    names = detector.class_names
    with ExitStack() as stack:
        outputs: list[Output] = []
        if asked.drawn is not None:
            outputs.append(Drawn(asked.drawn))
        if asked.save_crops is not None:
            outputs.append(Crops(asked.save_crops, names))
        if asked.save_txt is not None:
            whole = asked.lines is None  # else it grows with the lines, so that both can be gone on with
            folder = stack.enter_context(new_folder(asked.save_txt)) if whole else asked.save_txt
            outputs.append(Labels(asked.save_txt, YoloFolder(folder, names)))
        if asked.save_coco is not None:
            outputs.append(Coco(asked.save_coco, stack.enter_context(CocoFile(asked.save_coco, names))))
        if asked.as_json or (asked.save_json is not None and asked.lines is None):
            path = None if asked.lines is not None else asked.save_json
            outputs.append(stack.enter_context(Document(path, asked.as_json)))
        if asked.lines is not None:
            outputs.append(Lines(stack.enter_context(LineFile(asked.lines))))
        yield outputs


@contextmanager
def _telling(asked: PredictArguments) -> Iterator[None]:
    """Say what is left of the JSON file where the work ends early."""
    try:
        yield
    except BaseException as error:
        if asked.lines is not None:
            again = command_line() if asked.resume else f"{command_line()} --resume"
            text = f"{asked.lines} keeps what is done; go on with: {again}"
        elif asked.save_json is not None and not isinstance(error, Exception):
            text = f"{asked.save_json} is not written; a name that ends with .jsonl keeps what is done"
        else:
            raise
        console().print(text, markup=False, soft_wrap=True)
        raise


def _report(asked: PredictArguments, outputs: Sequence[Output], tally: Tally) -> None:
    """Say what was written; raise where pictures could not be read, or there was none."""
    for output in outputs:
        if isinstance(output, Drawn):
            counts = ((output.pictures, "annotated pictures"), (output.videos, "annotated videos"))
            told = " and ".join(f"{count} {name}" for count, name in counts if count)
            if told:
                console().print(f"{told} in {output.place}", markup=False, soft_wrap=True)
    if not tally.count and STANDARD_INPUT in asked.sources:
        raise InputError(
            "no path on standard input; expected one a line, such as of: find pictures -name '*.jpg'"
        )
    if tally.failed:
        more = f"; and {tally.failed - len(tally.first)} more" if tally.failed > len(tally.first) else ""
        raise InputError(
            f"{tally.failed} of {tally.count} pictures could not be read: {'; '.join(tally.first)}{more}"
        )
