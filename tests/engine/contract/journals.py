"""Made-up journals that hold to the order of events."""

from engine.contract import events as e
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo, ModuleInfo

CONFIG = Config(
    task="image-classification",
    model=ModelConfig(name="torchvision/resnet18"),
    data=DataConfig(path="pets"),
)
MODEL = ModelInfo("net", [ModuleInfo("fc", "Linear", {"weight": 5})], ["fc"], Preprocessing())
STEPS_PER_EPOCH = 4


def worker(pid: int = 1, time: float = 100.0) -> dict[str, object]:
    return {"pid": pid, "host": "here", "versions": {"torch": "2"}, "config": CONFIG, "time": time}


def started() -> list[e.Event]:
    return [e.RunStarted(**worker()), *prepared()]  # type: ignore[arg-type]


def resumed(step: int) -> list[e.Event]:
    return [e.RunResumed(from_step=step, **worker(2, 200.0)), *prepared(step)]  # type: ignore[arg-type]


def prepared(step: int = 0) -> list[e.Event]:
    return [
        e.PreparationAdvanced(stage="reading pictures"),
        e.DataIndexed(classes=["a", "b"], train_counts=[6, 2], val_counts=[1, 3]),
        e.ModelLoaded(model=MODEL, weights="DEFAULT"),
        e.TrainingStarted(
            step=step,
            epoch=step // STEPS_PER_EPOCH + 1,
            epochs=3,
            steps_per_epoch=STEPS_PER_EPOCH,
            lr=0.1,
            device="cpu",
            device_name="CPU",
            precision="fp32",
            threads=2,
        ),
        e.PlanChanged(step=step, rules=[Rule("fc")], trainable=5, change=""),
    ]


def steps(first: int, last: int) -> e.StepsTrained:
    """Values that tell their step."""
    span = range(first, last + 1)
    return e.StepsTrained(
        first_step=first,
        loss=[1 / n for n in span],
        lr=[n / 100 for n in span],
        samples_per_second=float(last),
    )


def evaluated(step: int, top1: float = 0.5) -> e.Evaluated:
    epoch = (step - 1) // STEPS_PER_EPOCH + 1
    return e.Evaluated(
        step=step,
        epoch=epoch,
        reason="epoch",
        loss=1 - top1,
        figures={"top1": top1},
        samples=4,
        seconds=0.1,
    )


def saved(step: int) -> e.CheckpointSaved:
    path = f"checkpoints/step-{step:08}"
    return e.CheckpointSaved(step=step, path=path, reason="epoch", best=False, size=10)


def loop(after: int = 0, epochs: int = 3) -> list[e.Event]:
    """All that is told from step `after` on, one step an event."""
    told: list[e.Event] = []
    for epoch in range(after // STEPS_PER_EPOCH + 1, epochs + 1):
        end = epoch * STEPS_PER_EPOCH
        first = max(after, end - STEPS_PER_EPOCH) + 1
        told.append(e.EpochStarted(epoch=epoch, step=first - 1))
        told += [steps(n, n) for n in range(first, end + 1)]
        told += [evaluated(end, top1=epoch / 10), saved(end)]
    return [*told, e.RunFinished(step=epochs * STEPS_PER_EPOCH)]
