"""The kinds of cases of a campaign, by name, in the order in which they are run."""

from __future__ import annotations

from functools import partial

from yolox_deploy.benchmarks.faults import (
    data_sets,
    descriptions,
    disks,
    kills,
    model_files,
    pictures,
    processes,
    streams,
    threads,
)
from yolox_deploy.benchmarks.faults.outcomes import Run

KINDS: dict[str, Run] = {
    **{name: partial(model_files.run, name) for name in model_files.FORMATS},
    "pictures": pictures.run,
    "videos": pictures.run_videos,
    "descriptions": descriptions.run,
    "data_sets": data_sets.run,
    "kills": kills.run,
    "threads": threads.run,
    "processes": processes.run,
    "streams": streams.run,
    "disks": disks.run,
}
