"""The rows of the paper's tables trained on one data set, with equal budgets and seeds; a run that is done stays done.

Each run has a folder `OUT/ROW-sSEED`, as `yolox-deploy train` writes one, and ends with `result.json` in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yolox_deploy import records
from yolox_deploy.benchmarks.roadmap.recipes import row_config
from yolox_deploy.benchmarks.roadmap.rows import SAME_TRAINING, find_row, row_name
from yolox_deploy.data.splits import Splits
from yolox_deploy.errors import InputError, UsageError
from yolox_deploy.evaluation.coco import METRICS
from yolox_deploy.training.config import LATER_SETTINGS, TrainConfig, to_dict
from yolox_deploy.training.events import Callback
from yolox_deploy.training.logs import read_log

RESULT = records.FileKind("remove it to train the row again", foreign="is no result of a run", beside=())
MAY_DIFFER = frozenset(
    ("out", "cache", "report", "device", "workers", "accumulate", "match_classes", "restore_batchnorm")
)
"""Settings in which a finished run may differ from the one asked for; the last two concern weights to start from."""
EVALUATIONS = 10
"""Evaluations in a run where nothing else is set; the plain epochs have one each besides."""


@dataclass(frozen=True)
class Run:
    """A row of the paper's tables to train from one seed."""

    row: str
    config: TrainConfig

    @property
    def result_path(self) -> Path:
        """The file that says it is finished."""
        return self.config.out / "result.json"

    @property
    def last(self) -> Path:
        """The checkpoint with the averaged weights of the last finished epoch."""
        return self.config.out / "last.pth"


@dataclass(frozen=True)
class RunResult:
    """What a finished run reached.

    Attributes:
        row, seed: of the run.
        figures: those of `evaluation.coco` for the averaged weights after the last epoch, not the best one: the
            validation pictures then choose nothing. End-to-end models are evaluated without suppression.
        curve: (finished epochs, AP) of each evaluation.
        epochs, steps: of the run.
        seconds: of its steps, pictures included; evaluations left out.
        settings: all of them.
    """

    row: str
    seed: int
    figures: Mapping[str, float]
    curve: tuple[tuple[int, float], ...]
    epochs: int
    steps: int
    seconds: float
    settings: Mapping[str, Any]


def plan_runs(
    rows: Iterable[str],
    seeds: Sequence[int],
    data: Path,
    out: Path,
    *,
    width: float | None = None,
    changes: Mapping[str, object],
) -> list[Run]:
    """The runs of `rows`, all rows with the first seed before any with the second.

    Rows that train alike are one run. A change does not reach a row that it would make another row: `priors` goes
    to the anchor-based ones alone, and how likely Mosaic, MixUp and Copy-Paste are stays 0 in those without.

    Args:
        rows: names in `roadmap.rows.TABLES`.
        width: of all models, None for their own.
        changes: settings that all runs share, as in `recipes.override`.

    Raises:
        UsageError: no such row or setting, a value that cannot work, or nothing to do.
    """
    names = dict.fromkeys(SAME_TRAINING.get(name, name) for name in (row_name(row) for row in rows))
    if "patience" in changes:
        raise UsageError(
            "patience would end runs early, and rows are compared at equal budgets; leave it out"
        )
    if not names or not seeds:
        raise UsageError("there is nothing to train: name a row and a seed at least")
    runs = []
    for seed in dict.fromkeys(seeds):
        for name in names:
            own = _changes_of_row(name, changes) | {"seed": seed, "out": out / f"{name}-s{seed}"}
            config = row_config(name, data.resolve(), width=width, **own)
            if "eval_every" not in changes:
                config = replace(config, eval_every=max(config.epochs // EVALUATIONS, 1))
            runs.append(Run(name, config))
    return runs


def _changes_of_row(name: str, changes: Mapping[str, object]) -> dict[str, object]:
    """`changes` without what would make the row another one."""
    plain = row_config(name, Path())
    kept = dict(changes)
    if find_row(name).model.priors == 1:
        kept.pop("priors", None)
    for mixing in ("mosaic", "mixup", "copy_paste"):
        if getattr(plain.augmentation, mixing) == 0:
            kept.pop(f"augmentation.{mixing}", None)
    return kept


def run_to_end(run: Run, callbacks: Sequence[Callback] = (), *, data: Splits | None = None) -> RunResult:
    """Train a run, or go on with it where it was interrupted, and write its result.

    Args:
        callbacks, data: as of `Trainer`.

    Raises:
        UsageError: its folder holds an unfinished run with other settings.
        YoloxDeployError: what `Trainer` raises.
    """
    from yolox_deploy.training.trainer import Trainer

    trainer = Trainer(run.config, callbacks=callbacks, resume=run.last.is_file(), data=data)
    trainer.fit()
    result = _collect(run, steps=run.config.epochs * trainer.plan.steps)
    records.save(result, run.result_path, RESULT)
    return result


def read_result(run: Run) -> RunResult | None:
    """The result of `run`, None if it is not finished.

    Raises:
        InputError: the file cannot be read.
        UsageError: the folder holds a run with other settings; names one of them.
    """
    path = run.result_path
    if not path.is_file():
        return None
    result = records.load(RunResult, path, RESULT)
    saved = {**LATER_SETTINGS, **result.settings}
    for name, value in to_dict(run.config).items():
        if name not in MAY_DIFFER and saved.get(name) != value:
            raise UsageError(
                f"{run.config.out} holds a run whose {name} was {saved.get(name)!r}, not {value!r}; "
                "name another folder by --out"
            )
    return result


def _collect(run: Run, steps: int) -> RunResult:
    """The result of a run from its logs."""
    folder, config = run.config.out, run.config
    epochs = read_log(folder / "epochs.csv")
    if not epochs or int(epochs[-1]["epoch"]) != config.epochs:
        raise InputError(f"{folder / 'epochs.csv'} lacks the last evaluation; remove {folder} to train again")
    return RunResult(
        row=run.row,
        seed=config.seed,
        figures={name: epochs[-1][name] for name in METRICS},
        curve=tuple((int(row["epoch"]), row["AP"]) for row in epochs),
        epochs=config.epochs,
        steps=steps,
        seconds=sum(row["seconds"] for row in read_log(folder / "steps.csv")),
        settings=to_dict(config),
    )
