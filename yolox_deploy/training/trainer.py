"""The training of a YOLOX model: epochs of steps, evaluations, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from yolox_deploy.data.checks import require_same_classes
from yolox_deploy.data.layouts import open_dataset
from yolox_deploy.errors import NonFiniteLossError, require
from yolox_deploy.models import build_model
from yolox_deploy.training.augment import Augmenter
from yolox_deploy.training.config import TrainConfig, to_dict
from yolox_deploy.training.distributed import join_job
from yolox_deploy.training.drawings import draw_batch, draw_predictions
from yolox_deploy.training.evaluation import evaluate
from yolox_deploy.training.interrupts import held_interrupts
from yolox_deploy.training.learner import LOSS_NAMES, Learner
from yolox_deploy.training.loader import Batch, Plan, Samples, stream, worker_count
from yolox_deploy.training.logs import RunLog
from yolox_deploy.training.multiscale import size_of_step
from yolox_deploy.training.prior_files import load_priors
from yolox_deploy.training.progress import Progress, SilentProgress
from yolox_deploy.training.run_state import RunState, load_last, load_pretrained, write_torch
from yolox_deploy.training.schedule import WarmupCosine, scaled_learning_rate, yolox_warmup_cosine

DRAWN_BATCHES = 3
CUDA_INTERVAL = 10
"""Steps between two looks at the losses on a GPU: each look waits for it."""


@dataclass(frozen=True)
class TrainResult:
    """The checkpoints of a run, the `figures` of the best one, and how many epochs are finished."""

    best: Path
    last: Path
    figures: dict[str, float]
    epochs: int


class Trainer:
    """One training run, alone or as a process of a torchrun job.

    Args:
        config: the settings.
        progress: told what happens; None for silence.
        resume: go on from `config.out/last.pth` instead of starting anew.
        stop: asked after each epoch whether to end here.

    Raises:
        UsageError: settings that do not fit the machine, the data set or the run to resume.
        InputError, CheckpointError: the data set, the weights, the priors or the checkpoint cannot be read.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        progress: Progress | None = None,
        resume: bool = False,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        require("faster_coco_eval", "train")
        self.config = config
        self.stop = stop
        self.job = join_job(config.device)
        self.progress = progress if progress is not None and self.job.is_main else SilentProgress()
        self.train_set, self.val_set = open_dataset(config.data, "train"), open_dataset(config.data, "val")
        require_same_classes(self.train_set, self.val_set)
        self.plan = Plan(config, len(self.train_set), self.job.rank, self.job.world)
        self.schedule = WarmupCosine(
            peak=scaled_learning_rate(config.batch, config.learning_rate),
            total=config.epochs * self.plan.steps,
            warmup=int(config.warmup * self.plan.steps),
            flat=config.plain * self.plan.steps,
        )
        self.facts = {
            "model_name": config.model,
            "class_names": list(self.train_set.class_names),
            "config": to_dict(config),
            "steps": self.plan.steps,
        }
        self.last, self.best = config.out / "last.pth", config.out / "best.pth"
        with self.job.guard():
            self.learner, self.state = self._begin(resume)
        self.workers = worker_count(config.workers, self.job.device)
        config.out.mkdir(parents=True, exist_ok=True)
        self.log = RunLog(config.out, resumed=resume) if self.job.is_main else None
        self._unread: list[Tensor] = []
        self._between_steps = True

    def _begin(self, resume: bool) -> tuple[Learner, RunState]:
        """The model as it starts, or as it was left."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            model = build_model(self.config.model, len(self.train_set.class_names))
        if resume:
            state, content = load_last(self.last, self.facts)
            learner = Learner(model, self.config, self.job)
            learner.restore(content)
            return learner, state
        if self.config.weights is not None:
            for message in load_pretrained(model, self.config.weights):
                self.progress.message(message)
        if self.config.priors is not None:
            fitted = torch.from_numpy(load_priors(self.config.priors, self.config.size))
            model.load_state_dict({"head.priors": fitted}, strict=False)
        return Learner(model, self.config, self.job), RunState()

    def fit(self) -> TrainResult:
        """Train to the last epoch, or until `stop` or `config.patience` ends it.

        Ctrl-C and SIGTERM end it after the step in progress, with a checkpoint of it.

        Raises:
            InputError: a picture cannot be read or prepared; names it.
            NonFiniteLossError: a loss became NaN or infinite; names the file with the batch.
            TrainingError: another process of the job, or a worker, ended.
        """
        augmenter = Augmenter(self.train_set, self.config.size, self.config.augmentation)
        samples = Samples(self.train_set, augmenter, self.config.seed)
        pin = self.job.device.type == "cuda"
        batches = stream(samples, self.plan, step=self.state.step, workers=self.workers, pin_memory=pin)
        self.progress.start(self.config.epochs, self.plan.steps, self.state.epoch)
        try:
            with self.job.guard(), closing(batches):
                for epoch in range(self.state.epoch, self.config.epochs):
                    self._train_epoch(epoch, batches)
                    if self._finish_epoch(epoch):
                        break
        except (KeyboardInterrupt, SystemExit):
            if self._between_steps:
                self._save_last()
            raise
        finally:
            self.progress.close()
            if self.log is not None:
                self.log.close()
        self.job.leave()
        return TrainResult(self.best, self.last, self.state.figures, self.state.epoch)

    def _train_epoch(self, epoch: int, batches: Iterator[Batch]) -> None:
        """The steps of `epoch` that are not done yet."""
        self.learner.train()
        while self.state.step < (epoch + 1) * self.plan.steps:
            batch = next(batches)
            if self.state.step < DRAWN_BATCHES and self.job.is_main:
                path = self.config.out / f"train_batch_{self.state.step}.jpg"
                draw_batch(batch.images.numpy(), batch.targets.numpy(), self.train_set.class_names, path)
            with held_interrupts():
                self._step(epoch, batch)

    def _step(self, epoch: int, batch: Batch) -> None:
        """One optimiser step; the losses are looked at before they change a weight."""
        step = self.state.step
        rate = yolox_warmup_cosine(self.schedule, step)
        size = size_of_step(step, self.config.size, self.config.multiscale, self.config.seed)
        self._unread.append(self.learner.backward(batch, size, use_l1=self.plan.is_plain(epoch)))
        interval = CUDA_INTERVAL if self.job.device.type == "cuda" else 1
        if (step + 1) % interval == 0 or (step + 1) % self.plan.steps == 0:
            self._report(epoch, batch, size, rate)
        self._between_steps = False
        self.learner.update(rate)
        self.state.step += 1
        self._between_steps = True

    def _report(self, epoch: int, batch: Batch, size: tuple[int, int], rate: float) -> None:
        """Read the losses of the steps since the last look, tell them, and check them."""
        step = self.state.step
        losses = dict(zip(LOSS_NAMES, torch.stack(self._unread).mean(dim=0).tolist(), strict=True))
        self._unread.clear()
        if not math.isfinite(losses["total"]):
            path = self.config.out / f"nonfinite_batch{f'_rank{self.job.rank}' if self.job.rank else ''}.pt"
            about = {"epoch": epoch, "step": step, "size": size, "losses": losses}
            write_torch(path, {**batch._asdict(), **about, "model_name": self.config.model})
            raise NonFiniteLossError(
                f"the loss is {losses['total']} in step {step} (epoch {epoch}): {losses}. The batch is in {path}; "
                "look at its targets, or lower the learning rate"
            )
        self.progress.step(epoch, step - epoch * self.plan.steps, losses, rate)
        if self.log is not None:
            self.log.step({"epoch": epoch, "step": step, **losses, "rate": rate})

    def _finish_epoch(self, epoch: int) -> bool:
        """Evaluate where it is time, and save; whether the run ends here."""
        self.job.average_statistics(self.learner.model, self.learner.ema.model)
        ends = self.job.share(self.job.is_main and self.stop()) or epoch + 1 == self.config.epochs
        due = ends or self.plan.is_plain(epoch) or (epoch + 1) % self.config.eval_every == 0
        figures = self._evaluate(epoch) if due else None
        with held_interrupts():
            if figures is not None and self.state.note(figures) and self.job.is_main:
                weights = self.learner.ema.model.state_dict()
                write_torch(self.best, {"model": weights, **asdict(self.state), **self.facts})
            self.state.epoch = epoch + 1
            self._save_last()
        patience = self.config.patience
        return ends or (patience is not None and self.state.stale >= patience)

    def _evaluate(self, epoch: int) -> dict[str, float]:
        """The figures of the averaged weights, told and drawn."""
        found = evaluate(
            self.learner.ema.model,
            self.val_set,
            self.config.size,
            self.job,
            batch=max(self.config.batch // (self.job.world * self.config.accumulate), 1),
            workers=self.workers,
        )
        self.progress.evaluated(epoch, found.figures)
        if self.log is not None:
            self.log.epoch({"epoch": epoch, **found.figures})
            pictures = [(self.val_set.load(index), detections) for index, detections in found.examples]
            truths = [self.val_set.objects(index) for index, _ in found.examples]
            draw_predictions(pictures, self.config.out / f"predictions_epoch_{epoch}.jpg", truths)
        return found.figures

    def _save_last(self) -> None:
        """Write all that is needed to go on from here."""
        if self.job.is_main:
            write_torch(self.last, {**self.learner.state(), **asdict(self.state), **self.facts})
