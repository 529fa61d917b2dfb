"""The engine's public face: start, watch and steer runs. Importing it imports no torch.

In a script or a notebook:

    run = await engine.start(config)
    async for event in run.events(): ...
    await run.send(engine.SetLearningRate(lr=1e-3))
"""

from engine.contract.commands import (
    AnyCommand,
    AutoRGN,
    Checkpoint,
    Evaluate,
    Freeze,
    Pause,
    Resume,
    Rewind,
    SetLearningRate,
    SetOption,
    SetPlan,
    SetStages,
    Stop,
    Thaw,
)
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.events import AnyEvent, CommandApplied, CommandRejected, Event
from engine.contract.finding import FindRate, FindSize
from engine.contract.rules import Rule, Stage
from engine.contract.state import RunState
from engine.contract.toml import load as load_config
from engine.runs.client import CommandRefused, Run, attach, fork, replay, resume, start
from engine.runs.finder import find
from engine.runs.store import RunSummary, summaries

__all__ = [
    "AnyCommand",
    "AnyEvent",
    "AutoRGN",
    "Checkpoint",
    "CommandApplied",
    "CommandRefused",
    "CommandRejected",
    "Config",
    "DataConfig",
    "Evaluate",
    "Event",
    "FindRate",
    "FindSize",
    "Freeze",
    "ModelConfig",
    "Pause",
    "Resume",
    "Rewind",
    "Rule",
    "Run",
    "RunState",
    "RunSummary",
    "SetLearningRate",
    "SetOption",
    "SetPlan",
    "SetStages",
    "Stage",
    "Stop",
    "Thaw",
    "UserError",
    "attach",
    "find",
    "fork",
    "load_config",
    "replay",
    "resume",
    "start",
    "summaries",
]
