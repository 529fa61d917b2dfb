"""Lightning's `Trainer`, as quiet as it gets: no logger, no bar, no checkpoint."""

import logging
import warnings
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from tests.benchmarks.race.shared import Job, Watch, criterion, network, optimizer, readers


class Classifier(LightningModule):
    """The network, with its loss and its optimizer."""

    def __init__(self, job: Job, watch: Watch) -> None:
        super().__init__()
        self.job, self.watch, self.net, self.loss_of = job, watch, network(job), criterion(job)

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        images, labels = batch
        loss: Tensor = self.loss_of(self.net(images), labels)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
        images, labels = batch
        right = (self.net(images).argmax(1) == labels).float().mean()
        self.log("accuracy", right, batch_size=len(labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        made = optimizer(self.net, self.job)
        self.watch.attach(made)
        return made


class Evaluations(Callback):
    """Tells the watch."""

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        module.watch.evaluated(float(trainer.callback_metrics["accuracy"]))


def train(job: Job, watch: Watch) -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    train_data, val_data = readers(job)
    trainer = Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=job.epochs,
        num_sanity_val_steps=0,
        limit_val_batches=None if job.evaluates else 0,
        callbacks=[Evaluations()] if job.evaluates else [],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Classifier(job, watch)
    watch.begin(None, len(train_data))
    trainer.fit(module, train_data, val_data if job.evaluates else None)
