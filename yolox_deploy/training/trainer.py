"""The training of a YOLOX model: epochs of steps, evaluations, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

from yolox_deploy.errors import TrainingError, require
from yolox_deploy.models import get_config
from yolox_deploy.training.augment.pipeline import Augmenter
from yolox_deploy.training.config import TrainConfig, to_dict
from yolox_deploy.training.distributed import join_job
from yolox_deploy.training.drawings import draw_batch, draw_predictions
from yolox_deploy.training.interrupts import held_interrupts, sigterm_raises
from yolox_deploy.training.learner import size_of_step
from yolox_deploy.training.loader import Batch, EpochPlan, Samples, stream, worker_count
from yolox_deploy.training.logs import LossReader, RunLog
from yolox_deploy.training.optimization import WarmupCosine, scaled_learning_rate, yolox_warmup_cosine
from yolox_deploy.training.progress import Progress
from yolox_deploy.training.run import RunState, new_learner, open_data, resumed_learner, write_torch
from yolox_deploy.training.validation import evaluate

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
        checked: the data set was checked already; else its annotations are, and whether its pictures are there.

    Attributes:
        saved_step: finished steps in `last`, None while this run has not written it.

    Raises:
        UsageError: settings that do not fit the machine, the data set or the run to resume.
        InputError, CheckpointError: the data set, the weights, the priors or the checkpoint cannot be used.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        progress: Progress | None = None,
        resume: bool = False,
        stop: Callable[[], bool] = lambda: False,
        checked: bool = False,
    ) -> None:
        require("faster_coco_eval", "train")
        self.config = config
        self.stop = stop
        self.job = join_job(config.device)
        self.progress = progress if progress is not None and self.job.is_main else Progress()
        self.train_set, self.val_set = open_data(config, self.progress, checked=checked)
        self.plan = EpochPlan(config, len(self.train_set), self.job.rank, self.job.world)
        self.schedule = WarmupCosine(
            peak=scaled_learning_rate(config.batch, config.learning_rate),
            total=config.epochs * self.plan.steps,
            warmup=int(config.warmup * self.plan.steps),
            flat=config.flat * self.plan.steps,
        )
        self.facts = {
            "model_name": config.model,
            "class_names": list(self.train_set.class_names),
            "config": to_dict(config),
            "steps": self.plan.steps,
        }
        self.kept_facts = {**self.facts, "architecture": get_config(config.model).record()}
        self.last, self.best = config.out / "last.pth", config.out / "best.pth"
        self.saved_step: int | None = None
        with self.job.guard():
            if resume:
                self.learner, self.state = resumed_learner(config, self.job, self.last, self.facts)
                self.saved_step = self.state.step
            else:
                classes = len(self.train_set.class_names)
                self.learner, self.state = new_learner(config, self.job, classes, self.progress), RunState()
        augmenter = Augmenter(self.train_set, config.size, config.augmentation)
        self.samples = Samples(augmenter, config.seed)
        self.losses = LossReader(self.plan, self.samples)
        self.interval = CUDA_INTERVAL if self.job.device.type == "cuda" else 1
        self.workers = worker_count(config.workers, self.job.device)
        config.out.mkdir(parents=True, exist_ok=True)
        self.log = RunLog(config.out, resumed=resume) if self.job.is_main else None
        if self.log is not None and self.log.without_curves is not None:
            self.progress.message(self.log.without_curves)

    def fit(self) -> TrainResult:
        """Train to the last epoch, or until `stop` or `config.patience` ends it.

        Ctrl-C and SIGTERM end it after the step in progress, with a checkpoint of it, and are then raised as
        KeyboardInterrupt and SystemExit; a handler of SIGTERM that is there already decides for itself.

        Raises:
            InputError: a picture cannot be read or prepared; names it.
            NonFiniteLossError: a loss became NaN or infinite; names the file with the batch.
            TrainingError: weights became NaN or infinite; another process of the job, or a worker, ended.
        """
        pin = self.job.device.type == "cuda"
        batches = stream(self.samples, self.plan, step=self.state.step, workers=self.workers, pin_memory=pin)
        self.progress.start(self.config.epochs, self.plan.steps, self.state.epoch, len(self.train_set))
        with (
            self.job.guard(),
            ExitStack() as stack,
        ):  # a worker's end may be told while the rest is closed, too
            stack.callback(self.progress.close)
            if self.log is not None:
                stack.callback(self.log.close)
            stack.enter_context(sigterm_raises())
            self._train(stack.enter_context(closing(batches)))
        self.job.leave()
        return TrainResult(self.best, self.last, self.state.figures, self.state.epoch)

    def _train(self, batches: Generator[Batch, None, None]) -> None:
        """The epochs that are left. An interrupt saves first: to end the workers takes a while."""
        try:
            for epoch in range(self.state.epoch, self.config.epochs):
                self._train_epoch(epoch, batches)
                if self._finish_epoch(epoch):
                    break
        except (KeyboardInterrupt, SystemExit):
            self._save_interrupted()
            raise

    def _train_epoch(self, epoch: int, batches: Generator[Batch, None, None]) -> None:
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
        """One optimiser step; losses that are looked at are so before they change a weight."""
        step = self.state.step
        rate = yolox_warmup_cosine(self.schedule, step)
        size = size_of_step(step, self.config.size, self.config.multiscale, self.config.seed)
        self.losses.add(step, self.learner.backward(batch, size, use_l1=self.plan.is_plain(epoch)))
        losses: dict[str, float] = {}
        if (step + 1) % self.interval == 0 or (step + 1) % self.plan.steps == 0:
            with self.job.together():
                losses = self.losses.read()
        self.learner.update(rate)
        self.state.step += 1
        if losses:
            self.progress.step(epoch, step - epoch * self.plan.steps, losses, rate)
            if self.log is not None:
                self.log.step({"epoch": epoch, "step": step, **losses, "rate": rate})

    def _finish_epoch(self, epoch: int) -> bool:
        """Evaluate where it is time, and save; whether the run ends here."""
        with held_interrupts():
            self.job.average_statistics(self.learner.model, self.learner.ema.model)
        self._require_finite()
        ends = self.job.share(self.job.is_main and self.stop()) or epoch + 1 == self.config.epochs
        due = ends or self.plan.is_plain(epoch) or (epoch + 1) % self.config.eval_every == 0
        figures = self._evaluate(epoch) if due else None
        with held_interrupts():
            if figures is not None and self.state.note(figures) and self.job.is_main:
                weights = self.learner.ema.model.state_dict()
                write_torch(self.best, {"model": weights, **asdict(self.state), **self.kept_facts})
            self.state.epoch = epoch + 1
            self._save_last()
        patience = self.config.patience
        return ends or (figures is not None and patience is not None and self.state.stale >= patience)

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

    def _save_interrupted(self) -> None:
        """Save on the way out. What prevents it is told, not raised: the interrupt goes on."""
        with held_interrupts():
            try:
                self.losses.read()
                self._require_finite()
                self._save_last()
            except (TrainingError, OSError, RuntimeError) as error:
                self.progress.message(f"{self.last} was not written: {error}")

    def _require_finite(self) -> None:
        """Stop before weights that are lost are evaluated or replace a sound checkpoint."""
        if not self.learner.is_finite():
            raise TrainingError(
                f"weights are NaN or infinite after step {self.state.step - 1}; {self.last} was left as it was. "
                "Go on from it, or start anew with a lower learning rate"
            )

    def _save_last(self) -> None:
        """Write all that is needed to go on from here."""
        if self.job.is_main:
            write_torch(self.last, {**self.learner.state(), **asdict(self.state), **self.kept_facts})
            self.saved_step = self.state.step
