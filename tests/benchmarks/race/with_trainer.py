"""The `Trainer` of Hugging Face's transformers, as quiet as it gets: no log, no checkpoint."""

import tempfile
from typing import Any

import accelerate  # noqa: F401 (the trainer asks for it only when it runs)
import numpy as np
import torch
import transformers
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tests.benchmarks.race.shared import Job, Watch, criterion, device, network, optimizer, readers


class Classifier(nn.Module):
    """The network, with its loss."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.net, self.loss_of = network(job), criterion(job)

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.net(pixel_values)
        return {"loss": self.loss_of(logits, labels), "logits": logits}


class Evaluations(TrainerCallback):
    """Tells the watch."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_evaluate(self, *_: Any, metrics: dict[str, float], **__: Any) -> None:
        self.watch.evaluated(metrics["eval_accuracy"])


def train(job: Job, watch: Watch) -> None:
    transformers.utils.logging.set_verbosity_error()
    train_data, val_data = readers(job)
    module = Classifier(job)
    moves = optimizer(module, job)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=module,
            args=arguments(job, folder),
            data_collator=collated,
            train_dataset=train_data.dataset,
            eval_dataset=val_data.dataset if job.evaluates else None,
            compute_metrics=measured,
            callbacks=[Evaluations(watch)],
            optimizers=(moves, torch.optim.lr_scheduler.ConstantLR(moves, factor=1.0)),
        )
        trainer.remove_callback(PrinterCallback)
        watch.begin(moves, len(train_data))
        trainer.train()


def collated(samples: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
    images, labels = zip(*samples, strict=True)
    return {"pixel_values": torch.stack(images), "labels": torch.tensor(labels)}


def measured(said: Any) -> dict[str, float]:
    return {"accuracy": float(np.mean(said.predictions.argmax(1) == said.label_ids))}


def arguments(job: Job, folder: str) -> TrainingArguments:
    """No clipping, since nobody else clips."""
    return TrainingArguments(
        output_dir=folder,
        use_cpu=device().type == "cpu",
        num_train_epochs=job.epochs,
        per_device_train_batch_size=job.batch_size,
        per_device_eval_batch_size=job.batch_size,
        max_grad_norm=0.0,
        seed=job.seed,
        eval_strategy="epoch" if job.evaluates else "no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
