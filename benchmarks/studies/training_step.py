"""One training step and its parts: plain float32 against channels-last and bfloat16.

Protocol: `python -m yolox_deploy.benchmarks.studies.training_step [MODEL SIZE BATCH ROUNDS]`, by default
yolox_nano 416 8 10. One process, random images, 5 to 40 objects an image padded to 120 rows, fixed seed, random
weights, threads as torch chooses. The ways take turns inside each round, so that a disturbance of the machine
meets all of them; 2 rounds warm up. Medians in milliseconds of wall clock; hold the ratios, absolute values
drift. Freed memory is kept (`keep_freed_memory`), which the whole process shares: `plain` gains from it too.

Ways: `plain` is NCHW float32 with activations in place, as the official code has them, and separate operations a
parameter for SGD and EMA; the others are channels-last with the fused SGD and EMA of this package, `float32` or
`bfloat16` by autocast.

Columns: forward; loss (assignment and losses); backward; update (SGD and EMA); the whole step; its ratio to
`plain`; share = the loss and its own backward pass, timed apart on detached predictions, over the step.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yolox_deploy.benchmarks.studies.turns import take_turns

if TYPE_CHECKING:
    from torch import Tensor, nn

    from yolox_deploy.models.yolox import YOLOX

MAX_OBJECTS = 120
WARM_UP_ROUNDS = 2
PARTS = ("forward", "loss", "backward", "update", "step", "loss apart")


@dataclass(frozen=True)
class Case:
    """What to train: `model` of the zoo on `batch` square images of `size` pixels."""

    model: str = "yolox_nano"
    size: int = 416
    batch: int = 8


def make_targets(case: Case) -> Tensor:
    """(B, 120, 5) class, cx, cy, w, h in pixels; the first image has the most objects."""
    import torch

    rng = torch.Generator().manual_seed(0)
    targets = torch.zeros(case.batch, MAX_OBJECTS, 5)
    counts = torch.randint(5, 41, (case.batch,), generator=rng)
    counts[0] = 40
    for image, count in enumerate(counts.tolist()):
        targets[image, :count, 0] = torch.randint(0, 80, (count,), generator=rng).float()
        targets[image, :count, 1:3] = case.size * torch.rand(count, 2, generator=rng)
        targets[image, :count, 3:] = 4 + 0.5 * case.size * torch.rand(count, 2, generator=rng) ** 2
    return targets


def plain_update(model: nn.Module) -> Callable[[], None]:
    """SGD and EMA with one operation after another for each parameter."""
    import copy

    import torch

    from yolox_deploy.training.optimization import build_optimizer

    optimizer = build_optimizer(model, learning_rate=1e-6, fused=False)
    average = copy.deepcopy(model).eval()

    @torch.no_grad()
    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()
        source = model.state_dict()
        for key, value in average.state_dict().items():
            if value.is_floating_point():
                value.mul_(0.999).add_(0.001 * source[key])

    return update


def fused_update(model: YOLOX) -> Callable[[], None]:
    """SGD and EMA as this package makes them."""
    from yolox_deploy.training.optimization import ModelEMA, build_optimizer

    optimizer = build_optimizer(model, learning_rate=1e-6)
    average = ModelEMA(model)

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()
        average.update()

    return update


def make_way(
    case: Case, way: str, change: Callable[[nn.Module], None] = lambda model: None
) -> Callable[[int], tuple[float, ...]]:
    """A function that trains one step the way `way` and returns the milliseconds of `PARTS`; `change` its model."""
    import torch

    from yolox_deploy.models import build_model
    from yolox_deploy.training.losses import losses_from_predictions

    torch.manual_seed(0)
    layout = torch.contiguous_format if way == "plain" else torch.channels_last
    model = build_model(case.model).train()
    for module in model.modules():
        if isinstance(module, torch.nn.SiLU):
            module.inplace = way == "plain"
    change(model)
    model.to(memory_format=layout)  # type: ignore[call-overload]
    size, targets = (case.size, case.size), make_targets(case)
    images = (255 * torch.rand(case.batch, 3, *size)).contiguous(memory_format=layout)
    update = plain_update(model) if way == "plain" else fused_update(model)

    def step(_turn: int) -> tuple[float, ...]:
        clock = [time.perf_counter()]
        with torch.autocast("cpu", torch.bfloat16, enabled=way == "bfloat16"):
            raw = model(images)
        clock.append(time.perf_counter())
        total = losses_from_predictions(raw, size, targets).total
        clock.append(time.perf_counter())
        torch.autograd.backward(total)
        clock.append(time.perf_counter())
        update()
        clock.append(time.perf_counter())
        apart = time_loss(raw.detach().requires_grad_(), size, targets)
        parts = [1e3 * (end - start) for start, end in itertools.pairwise(clock)]
        return (*parts, sum(parts), apart)

    return step


def time_loss(raw: Tensor, size: tuple[int, int], targets: Tensor) -> float:
    """Milliseconds of assignment, losses and their gradient with respect to the predictions."""
    import torch

    from yolox_deploy.training.losses import losses_from_predictions

    start = time.perf_counter()
    torch.autograd.backward(losses_from_predictions(raw, size, targets).total)
    return 1e3 * (time.perf_counter() - start)


def measure(case: Case, rounds: int) -> dict[str, dict[str, float]]:
    """Way -> part -> median milliseconds."""
    ways = {way: make_way(case, way) for way in ("plain", "float32", "bfloat16")}
    samples = take_turns(ways, rounds, warm_up=WARM_UP_ROUNDS)
    return {
        way: dict(zip(PARTS, map(statistics.median, zip(*taken, strict=True)), strict=True))
        for way, taken in samples.items()
    }


def report(case: Case, medians: dict[str, dict[str, float]]) -> str:
    """A Markdown table of `medians`."""
    lines = [
        f"{case.model} {case.size}x{case.size}, batch {case.batch}",
        "| way | forward | loss | backward | update | step | x plain | share |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for way, parts in medians.items():
        times = " | ".join(f"{parts[name]:.1f}" for name in PARTS[:5])
        ratio = parts["step"] / medians["plain"]["step"]
        lines.append(f"| {way} | {times} | {ratio:.2f} | {parts['loss apart'] / parts['step']:.1%} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure the case on the command line and print its table."""
    from yolox_deploy.host import keep_freed_memory

    keep_freed_memory()
    case = Case(arguments[0], int(arguments[1]), int(arguments[2])) if len(arguments) > 2 else Case()
    rounds = int(arguments[3]) if len(arguments) > 3 else 10
    print(report(case, measure(case, rounds)))


if __name__ == "__main__":
    main(sys.argv[1:])
