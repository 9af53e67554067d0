"""CUDA graphs: the kernels of a step, recorded once an epoch and replayed by a single launch.

A small network's step is a thousand kernels that each take less time than their launch. Recorded in
a CUDA graph, they are launched together. The numbers stay those of the plain step:

- a graph is recorded anew in each epoch, so that a changed learning rate, a forgotten momentum or
  weights that moved in memory need no thought;
- the first full batch of an epoch is trained plainly: it creates the optimizer's state and lets
  cuDNN choose;
- the second one is trained plainly, then undone, recorded, and trained by the recording: everything
  that a step changes (weights, buffers, optimizer state, random generator) and everything that it
  returns has to be the same, to the bit; under ``determinism=fast``, where the plain step itself is
  not the same twice, closer than a twentieth of what the step changed;
- if it is not, or nothing could be recorded, that is told once, the plain result stands, and the
  trial goes on plainly.

A last batch that is smaller is always trained plainly.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakSet

import torch
from torch import Tensor, nn

from chandir.harness.base.errors import UserError, out_of_memory
from chandir.harness.config.schema import Config
from chandir.harness.trial.data import LoadedTask

# Each player's loss, and sums of the scores. A replay writes them over those of the one before.
Outcome = tuple[dict[str, Tensor], dict[str, Tensor]]
Body = Callable[[Tensor, Tensor], Outcome]

WORTH = 16  # full batches in an epoch, below which recording costs more than it saves
SYNC = "called a synchronizing CUDA operation"

# Networks whose step could not be recorded.
_plain: WeakSet[nn.Module] = WeakSet()


def wanted(config: Config, task: LoadedTask, device: torch.device) -> bool:
    """Whether the trial's steps are to be replayed from a graph.

    Raises:
        UserError: for ``graphs=true`` where it would have no effect.
    """
    if config.graphs is True and device.type != "cuda":
        raise UserError(
            f"graphs=true has no effect on device={device.type}: expected a CUDA device; "
            "use graphs=auto"
        )
    if config.graphs is True and not task.static:
        raise UserError(
            f"graphs=true has no effect on task={config.task.name}, whose step waits for the "
            "device: expected a task of classification; use graphs=auto"
        )
    return config.graphs is not False and device.type == "cuda" and task.static


def outcomes(
    body: Body,
    batches: Sequence[tuple[Tensor, Tensor]],
    models: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    config: Config,
    task: LoadedTask,
) -> Generator[Outcome]:
    """Train one batch after the other; yields what each step returned, valid until the next.

    Args:
        body: the step, of indices (..., b) and draws (..., b, randoms).
        batches: its arguments, step by step.
        models: whose parameters and buffers it changes.
        optimizers: whose state it changes.
        config: of the trial, or of any trial of a stack.
        task: likewise.
    """
    device, shape = batches[0][0].device, batches[0][0].shape
    trying = (
        wanted(config, task, device)
        and sum(indices.shape == shape for indices, _ in batches) >= WORTH
        and models[0] not in _plain
    )
    replay: Body | None = None
    for number, (indices, draws) in enumerate(batches):
        if replay is not None and indices.shape == shape:
            yield replay(indices, draws)
        elif trying and number == 1:
            trained = _Trained(models, optimizers, device)
            exact = config.determinism != "fast"
            outcome, replay, why = _recorded(body, indices, draws, trained, exact)
            if replay is None:
                _plain.update(models)
                print(f"no CUDA graph for {config.model.name}: {why}; plain steps", flush=True)
            yield outcome
        else:
            yield body(indices, draws)


def capture(body: Body, indices: Tensor, draws: Tensor) -> Body:
    """Record the kernels of a step, without running them; the result runs them on other data."""
    inputs = indices.clone(), draws.clone()
    recording, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    side = _side(torch.cuda.current_device())
    try:
        # thread_local: other threads (a tracker's) may do as they like meanwhile.
        with torch.cuda.graph(recording, stream=side, capture_error_mode="thread_local"):
            outcome = body(*inputs)
    finally:
        torch.cuda.set_stream(current)  # which torch leaves undone if the recording does not end

    def replay(indices: Tensor, draws: Tensor) -> Outcome:
        inputs[0].copy_(indices)
        inputs[1].copy_(draws)
        recording.replay()
        return outcome

    return replay


@lru_cache
def _side(device: int) -> torch.cuda.Stream:
    """The stream that records on a device; torch's own default is one for all of them."""
    return torch.cuda.Stream(device)


def _recorded(
    body: Body, indices: Tensor, draws: Tensor, trained: _Trained, exact: bool
) -> tuple[Outcome, Body | None, str]:
    """Train a batch plainly, record the step, and hold the recording to the plain result.

    Returns:
        The step's outcome, and the recording; or None and why there is none.
    """
    before = trained.copy()
    with _waits(trained.device) as waits:
        outcome = body(indices, draws)
    if waits:  # to record it would fail, and leave CUDA in a state that is hard to leave
        return outcome, None, f"a step waits for the device ({waits[0]})"
    if trained.places() != before.places:
        return outcome, None, "a step moves its tensors"
    after = trained.copy()
    trained.restore(before)
    try:
        replay = capture(body, indices, draws)
        again = replay(indices, draws)
        wrong = trained.copy().unlike(after, before, exact)
        wrong += _unlike(_flat(again), _flat(outcome), None, exact)
        why = f"its replay differs from the plain step in {wrong} tensors" if wrong else ""
    except Exception as error:  # whatever CUDA or an operator says
        if out_of_memory(error) and len(trained.models) > 1:
            raise  # the stack is halved, and starts from its last epoch
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
    if why:
        trained.restore(after)
        return outcome, None, why
    return outcome, replay, ""


@contextmanager
def _waits(device: torch.device) -> Iterator[list[str]]:
    """Collect what makes the host wait for a CUDA device while the block runs."""
    found: list[str] = []
    if device.type != "cuda":
        yield found
        return
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    found += [f"{it.filename}:{it.lineno}" for it in caught if SYNC in str(it.message)]


@dataclass(frozen=True)
class _Copy:
    """The values of everything that a step changes, at one moment."""

    values: list[Tensor]
    places: list[int]
    drawn: Tensor  # the state of the random generator

    def unlike(self, plain: _Copy, before: _Copy, exact: bool) -> int:
        """In how many tensors a replayed step, which ``self`` holds, differs from the plain one."""
        moved = not torch.equal(self.drawn, plain.drawn)
        return moved + _unlike(self.values, plain.values, before.values, exact)


class _Trained:
    """Everything that a step changes: weights, buffers, optimizer state, the random generator."""

    def __init__(
        self,
        models: Sequence[nn.Module],
        optimizers: Sequence[torch.optim.Optimizer],
        device: torch.device,
    ) -> None:
        self.models, self.optimizers, self.device = models, optimizers, device
        self.generator = torch.default_generator
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            self.generator = torch.cuda.default_generators[index]

    def tensors(self) -> list[Tensor]:
        """They themselves."""
        state = [values for each in self.optimizers for values in each.state.values()]
        return [
            *(tensor.detach() for model in self.models for tensor in model.parameters()),
            *(tensor for model in self.models for tensor in model.buffers()),
            *(it for values in state for it in values.values() if isinstance(it, Tensor)),
        ]

    def places(self) -> list[int]:
        """Where they lie."""
        return [tensor.data_ptr() for tensor in self.tensors()]

    def copy(self) -> _Copy:
        """Keep their values."""
        values = [tensor.clone() for tensor in self.tensors()]
        return _Copy(values, self.places(), self.generator.get_state())

    def restore(self, copy: _Copy) -> None:
        """Give them the values that they had."""
        for tensor, value in zip(self.tensors(), copy.values, strict=True):
            tensor.copy_(value)
        self.generator.set_state(copy.drawn)


def _flat(outcome: Outcome) -> list[Tensor]:
    return [tensor for part in outcome for tensor in part.values()]


def _unlike(
    replayed: list[Tensor], plain: list[Tensor], before: list[Tensor] | None, exact: bool
) -> int:
    """How many tensors differ: in any bit, or not ``exact``, by more than is rounding."""
    differ = [
        _differs(now, then, None if before is None else before[number], exact).to(plain[0].device)
        for number, (now, then) in enumerate(zip(replayed, plain, strict=True))
    ]
    return int(torch.stack(differ).sum())


def _differs(replayed: Tensor, plain: Tensor, before: Tensor | None, exact: bool) -> Tensor:
    if exact or not plain.is_floating_point():
        return (_bits(replayed) != _bits(plain)).any()
    # A trial of a stack may have diverged, in both alike.
    now, then = (torch.nan_to_num(it.double(), 0, 0, 0) for it in (replayed, plain))
    change = then if before is None else then - torch.nan_to_num(before.double(), 0, 0, 0)
    return (now - then).norm() > 0.05 * change.norm() + 1e-6 * (1 + then.norm())


def _bits(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)
