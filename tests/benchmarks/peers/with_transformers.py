"""The `Trainer` of Hugging Face's transformers, as its users freeze.

That is `requires_grad` before training, and a `TrainerCallback` to change it later.
`Way.optimizer` "trainable" is the optimizer that the trainer builds, "all" one that it is given as
`optimizers`. `Way.modes` overrides `compute_loss`, since the trainer calls `train()` on the whole
network before each step.
"""

from pathlib import Path
from typing import Any

import accelerate  # noqa: F401 (the trainer asks for it only when it runs)
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tests.benchmarks.peers.job import (
    BATCH,
    DECAY,
    EPOCHS,
    MOMENTUM,
    Job,
    Seen,
    halve_rates,
    pictures,
    pretrained,
    torch_optimizer,
    torch_schedule,
)


class Classifier(nn.Module):
    """The network, with its loss."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.net(pixel_values)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class Steering(TrainerCallback):
    """Freezes, thaws, and halves the rate."""

    def __init__(self, job: Job, seen: Seen) -> None:
        self.job, self.seen = job, seen

    def on_train_begin(self, *_: Any, optimizer: Any, **__: Any) -> None:
        self.seen.watch(optimizer.optimizer)  # accelerate's holds the real one

    def on_epoch_begin(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        epoch = round(state.epoch or 0)
        if self.job.freezes(epoch):
            self.seen.module.stem.requires_grad_(False)
        if self.job.thaws(epoch):
            self.seen.module.stem.requires_grad_(True)

    def on_step_end(self, _args: Any, state: Any, *_: Any, optimizer: Any, **__: Any) -> None:
        if state.global_step == self.job.halve_at:
            halve_rates(optimizer)


class FrozenModes(Trainer):
    """Puts what is frozen into `eval()`, after the trainer's own `train()`."""

    def compute_loss(self, model: Classifier, *args: Any, **kwargs: Any) -> Any:
        if not next(model.net.stem.parameters()).requires_grad:
            model.net.stem.eval()
        return super().compute_loss(model, *args, **kwargs)


def live(job: Job, folder: Path, resume: bool) -> Seen:
    """One life of a run."""
    transformers.utils.logging.set_verbosity_error()
    net = pretrained()
    if job.frozen:
        net.stem.requires_grad_(False)
    seen = Seen(net, job.kill_at if not resume else None)
    images, labels = pictures()
    trainer = (FrozenModes if job.way.modes else Trainer)(
        model=Classifier(net),
        args=arguments(job, folder),
        train_dataset=[
            {"pixel_values": image, "labels": label}
            for image, label in zip(images, labels, strict=True)
        ],
        callbacks=[Steering(job, seen)],
        optimizers=given(net, job),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=resume)
    return seen


def given(net: nn.Module, job: Job) -> tuple[Any, Any]:
    """Optimizer and schedule, or None for those that the trainer builds."""
    if job.way.optimizer == "trainable":
        return None, None
    optimizer: torch.optim.Optimizer = torch_optimizer(net, job)
    return optimizer, torch_schedule(optimizer, job)


def arguments(job: Job, folder: Path) -> TrainingArguments:
    """What `optimizers` does not give; no clipping, since nobody else clips."""
    return TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=BATCH,
        train_sampling_strategy="sequential",
        learning_rate=job.rate,
        weight_decay=DECAY,
        max_grad_norm=0.0,
        optim="adamw_torch" if job.optimizer == "adamw" else "sgd",
        optim_args=None if job.optimizer == "adamw" else f"momentum={MOMENTUM}",
        lr_scheduler_type="cosine" if job.cosine else "constant",
        save_strategy="epoch",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
