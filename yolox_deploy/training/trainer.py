"""The training of a YOLOX model: epochs of steps, evaluations, checkpoints, told to callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress

from yolox_deploy.errors import TrainingError, require
from yolox_deploy.training.augment.pipeline import Augmenter
from yolox_deploy.training.caching import cache_splits
from yolox_deploy.training.checkpoints import Resume, begin
from yolox_deploy.training.config import TrainConfig, settled
from yolox_deploy.training.distributed import join_job
from yolox_deploy.training.drawings import draw_batch
from yolox_deploy.training.events import (
    Callback,
    CallbackError,
    Callbacks,
    CheckpointSaved,
    EpochFinished,
    Evaluated,
    RunFinished,
    RunStarted,
    StepFinished,
    TrainResult,
)
from yolox_deploy.training.interrupts import held_interrupts, sigterm_raises
from yolox_deploy.training.learner import size_of_step
from yolox_deploy.training.loader import Batch, EpochPlan, Samples, stream, worker_count
from yolox_deploy.training.logs import RunLog, mean_losses
from yolox_deploy.training.loss_reading import LossReader
from yolox_deploy.training.optimization import WarmupCosine, peak_rate, yolox_warmup_cosine
from yolox_deploy.training.splits import Splits, open_checked
from yolox_deploy.training.validation import draw_examples, evaluate

DRAWN_BATCHES = 3
CUDA_INTERVAL = 10
"""Steps between two looks at the losses on a GPU: each look waits for it."""


class Trainer:
    """One training run, alone or as a process of a torchrun job.

    Args:
        config: the settings.
        callbacks: told what happens, see `events`; in the main process alone.
        resume: go on from `config.out/last.pth` instead of starting anew; "auto" where it is there. With True a run
            that ended for want of patience gets it anew.
        stop: asked after each epoch whether to end here.
        data: the pictures, opened and checked already; else they are opened, and their annotations are checked, and
            whether the pictures are there.

    Attributes:
        state: how far the run is.
        checkpoints: its files.

    Raises:
        UsageError: settings that do not fit the machine, the data set or the run to resume.
        InputError, CheckpointError: the data set, the weights, the priors or the checkpoint cannot be used.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        callbacks: Sequence[Callback] = (),
        resume: Resume = False,
        stop: Callable[[], bool] = lambda: False,
        data: Splits | None = None,
    ) -> None:
        require("faster_coco_eval", "train")
        self.config, self.stop = settled(config), stop
        config = self.config
        self.job = join_job(config.device)
        log = RunLog(config.out)
        self.told = Callbacks(log, callbacks) if self.job.is_main else Callbacks()
        data = data or open_checked(config, self.told.message)
        self.train_set, self.val_set = data
        self.plan = EpochPlan(config, len(self.train_set), self.job.rank, self.job.world)
        self.eval_every = self.plan.eval_every(len(self.val_set))
        self.schedule = WarmupCosine(
            peak=peak_rate(config),
            total=config.epochs * self.plan.steps,
            warmup=int(config.warmup * self.plan.steps),
            flat=config.flat * self.plan.steps,
        )
        with self.job.guard():
            self.learner, self.state, self.checkpoints, self.resumed = begin(
                config, self.job, self.train_set, self.plan.steps, resume, self.told.message
            )
        self.workers = worker_count(config.workers, self.job.device)
        if config.cache:
            data = cache_splits(data, config.size, self.workers, self.told.message)
        self.samples = Samples(Augmenter(data.train, config.size, config.augmentation), config.seed)
        self.evaluated = data.val
        self.losses = LossReader(self.plan, self.samples)
        self.interval = CUDA_INTERVAL if self.job.device.type == "cuda" else 1
        self._steps: list[StepFinished] = []
        config.out.mkdir(parents=True, exist_ok=True)
        if log.without_curves is not None:
            self.told.message(log.without_curves)

    def fit(self) -> TrainResult:
        """Train to the last epoch, or until `stop` or `config.patience` ends it.

        A run that starts from weights evaluates them first; they are its best until an epoch beats them.

        Ctrl-C and SIGTERM end it after the step in progress, with a checkpoint of it, and are then raised as
        KeyboardInterrupt and SystemExit; a handler of SIGTERM that is there already decides for itself.

        Raises:
            InputError: a picture cannot be read or prepared; names it.
            NonFiniteLossError: a loss became NaN or infinite; names the file with the batch.
            TrainingError: weights became NaN or infinite; another process of the job, or a worker, ended; or a
                callback raised, before which the run is saved.
        """
        error: BaseException | None = None
        try:
            # A worker's end may be told while the rest is closed, too.
            with self.job.guard(), sigterm_raises(), closing(self._stream()) as batches:
                self._train(batches)
            self.job.leave()
        except BaseException as caught:
            error = caught
            raise
        finally:
            self.told.tell_end(RunFinished(self.checkpoints.result(), error))
        return self.checkpoints.result()

    def _stream(self) -> Generator[Batch, None, None]:
        pin = self.job.device.type == "cuda"
        return stream(self.samples, self.plan, step=self.state.step, workers=self.workers, pin_memory=pin)

    def _train(self, batches: Generator[Batch, None, None]) -> None:
        """The epochs that are left. An interrupt saves first: to end the workers takes a while."""
        ended = False
        try:
            self._start()
            while not (ended or self._is_finished):
                self._train_epoch(self.state.epoch + 1, batches)
                ended = self._finish_epoch(self.state.epoch + 1)
        except (KeyboardInterrupt, SystemExit):
            self._save_interrupted()
            raise
        except CallbackError as error:
            self._save_interrupted()
            raise CallbackError(
                f"{error}. The run ended there; {self.checkpoints.saved}"
            ) from error.__cause__

    def _start(self) -> None:
        """Tell of the run, and evaluate the weights that it starts from."""
        self.told.tell(
            RunStarted(
                config=self.config,
                class_names=self.train_set.class_names,
                pictures=len(self.train_set),
                val_pictures=len(self.val_set),
                steps=self.plan.steps,
                losses=self.losses.names,
                epoch=self.state.epoch,
                step=self.state.step,
                resumed=self.resumed,
            )
        )
        if self._is_finished:
            self.told.message(self.state.why_finished(self.config))
        elif self.config.weights is not None and self.state.step == 0 and self.state.start_ap is None:
            self._keep(0, self._evaluate(0))

    def _train_epoch(self, epoch: int, batches: Generator[Batch, None, None]) -> None:
        """The steps of the `epoch`-th epoch that are not done yet."""
        began = time.monotonic()
        self.learner.train()
        self._steps.clear()
        while self.state.step < epoch * self.plan.steps:
            batch = next(batches)
            if self.state.step < DRAWN_BATCHES and self.job.is_main:
                path = self.config.out / f"train_batch_{self.state.step + 1}.jpg"
                draw_batch(batch.images.numpy(), batch.targets.numpy(), self.train_set.class_names, path)
            with held_interrupts():
                self._step(epoch, batch)
        losses, rate = mean_losses([event.losses for event in self._steps]), self._rate(self.state.step - 1)
        self.told.tell(EpochFinished(epoch, self.state.step, losses, rate, time.monotonic() - began))

    def _step(self, epoch: int, batch: Batch) -> None:
        """One optimiser step; losses that are looked at are so before they change a weight."""
        before, step = self.state.step, self.state.step + 1
        size = size_of_step(before, self.config.size, self.config.multiscale, self.config.seed)
        self.losses.add(step, self.learner.backward(batch, size, use_l1=self.plan.is_plain(epoch - 1)))
        losses: dict[str, float] = {}
        if step % self.interval == 0 or step % self.plan.steps == 0:
            with self.job.together():
                losses = self.losses.read()
        self.learner.update(self._rate(before))
        self.state.step = step
        if losses:
            self._steps.append(StepFinished(epoch, step, losses, self._rate(before)))
            self.told.tell(self._steps[-1])

    def _rate(self, before: int) -> float:
        """The learning rate of the step before which so many are finished."""
        return yolox_warmup_cosine(self.schedule, before)

    def _finish_epoch(self, epoch: int) -> bool:
        """Evaluate where it is time, and save; whether the run ends here."""
        with held_interrupts():
            self.job.average_statistics(self.learner.model, self.learner.ema.model)
        self.checkpoints.require_finite()
        ends = self.job.share(self.job.is_main and self.stop()) or epoch == self.config.epochs
        due = ends or self.plan.is_plain(epoch - 1) or epoch % self.eval_every == 0
        self._keep(epoch, self._evaluate(epoch) if due else None)
        return ends

    def _evaluate(self, epoch: int) -> dict[str, float]:
        """The figures of the averaged weights, told and drawn."""
        found = evaluate(
            self.learner.ema.model,
            self.evaluated,
            self.config.size,
            self.job,
            batch=max(self.config.batch // (self.job.world * self.config.accumulate), 1),
            workers=self.workers,
        )
        if self.job.is_main:
            pictures = self.config.out / f"predictions_epoch_{epoch}.jpg"
            draw_examples(found, self.val_set, pictures)
            is_best = found.figures["AP"] > self.state.best_ap
            self.told.tell(Evaluated(epoch, self.state.step, found.figures, is_best, pictures))
        return found.figures

    def _keep(self, epoch: int, figures: dict[str, float] | None) -> None:
        """Note what `epoch` reached, and save; epoch 0 is no state to go on from."""
        saved: list[CheckpointSaved] = []
        with held_interrupts():
            self.state.epoch = epoch
            if figures is not None and self.state.note(epoch, figures):
                saved.append(self.checkpoints.save_best())
            if epoch:
                saved.append(self.checkpoints.save_last())
        for event in saved:
            self.told.tell(event)

    def _save_interrupted(self) -> None:
        """Save on the way out. What prevents it is told, not raised: the interrupt goes on."""
        if not self.state.step:  # nothing is lost, and the same command begins anew
            return
        with held_interrupts():
            try:
                self.losses.read()
                self.checkpoints.require_finite()
                self.checkpoints.save_last()
            except (TrainingError, OSError, RuntimeError) as error:
                with suppress(CallbackError):
                    self.told.message(f"{self.checkpoints.last} was not written: {error}")

    @property
    def _is_finished(self) -> bool:
        return self.state.epoch >= self.config.epochs or self.state.is_impatient(self.config.patience)
