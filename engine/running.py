"""The forward pass of a training step."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from engine.contract.events import Event, ModelCompiled, Warned
from engine.data.batch import Inputs
from engine.prefix.cut import Sizes
from engine.recompute import recomputed

if TYPE_CHECKING:
    from engine.session import Session


def outputs(session: "Session", inputs: Inputs) -> Any:
    """What the objective takes: compiled, recomputed in the backward pass, or gone on with from
    what is remembered, as the config says."""
    prefix, objective = session.train_prefix, session.objective
    if session.compiled and not prefix.cut and _is_whole(session, inputs):
        return session.compiled.run(
            lambda module: objective.outputs(module, inputs), dynamic=isinstance(inputs, dict)
        )

    def run(given: Inputs) -> Any:
        return objective.outputs(session.module, given)

    with recomputed(_recomputed_whole(session)):
        return prefix.outputs(run, inputs)


def _recomputed_whole(session: "Session") -> Mapping[str, nn.Module]:
    """The blocks that can be: not those of which a part is answered from memory, as that part would
    run on what is not there in the backward pass."""
    cut = session.train_prefix.cut
    answered = tuple(cut.modules) if cut else ()
    return {
        path: block
        for path, block in session.blocks.items()
        if not any(f"{part}.".startswith(f"{path}.") for part in answered)
    }


def compiled(session: "Session", gain: float | None = None) -> Iterator[Event]:
    """What came of compiling, where that is news; `gain` as of `ModelCompiled`."""
    made = session.compiled
    if made is None:
        return
    if made.failure:
        session.compiled = None
        yield Warned(
            message=f"training.compile: the model could not be compiled ({made.failure}), so it "
            "trains without."
        )
    elif made.seconds is not None:
        seconds, made.seconds = made.seconds, None
        yield ModelCompiled(step=session.progress.step, seconds=seconds, gain=gain)


def _is_whole(session: "Session", inputs: Inputs) -> bool:
    """Whether these are as many samples as most times: others would be compiled anew, or, in a
    resumed run, otherwise."""
    size = session.config.data.batch_size
    return Sizes.of(inputs).batch == -(-size // session.pieces_of(size))
