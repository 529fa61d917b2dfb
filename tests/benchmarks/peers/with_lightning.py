"""Lightning's `BaseFinetuning`, as its documentation shows it.

Frozen modules go through `BaseFinetuning.freeze(train_bn=False)`, its means against norms that
drift; thawed ones through `unfreeze_and_add_param_group`, in the epoch of the documented example.
`Way.modes` adds `eval()`, which the trainer leaves alone since Lightning 2.2.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BaseFinetuning, ModelCheckpoint
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.benchmarks.peers.job import (
    BATCH,
    EPOCHS,
    Job,
    Seen,
    halve_rates,
    pictures,
    pretrained,
    torch_optimizer,
    torch_schedule,
)


class Classifier(LightningModule):
    """The network, with its loss and its optimizer."""

    def __init__(self, job: Job, seen: Seen) -> None:
        super().__init__()
        self.job, self.seen = job, seen
        self.net = seen.module

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self.net(images), labels)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch_optimizer(self.net, self.job)
        self.seen.watch(optimizer)
        scheduler = torch_schedule(optimizer, self.job)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


class Finetuning(BaseFinetuning):
    """Freezes, thaws, and halves the rate."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job

    def freeze_before_training(self, pl_module: Classifier) -> None:
        if self.job.frozen:
            self._freeze(pl_module)

    def finetune_function(
        self, pl_module: Classifier, epoch: int, optimizer: torch.optim.Optimizer
    ) -> None:
        if self.job.freezes(epoch):
            self._freeze(pl_module)
        if self.job.thaws(epoch):
            self.unfreeze_and_add_param_group(pl_module.net.stem, optimizer)  # at a tenth
            pl_module.net.stem.train()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.job.halve_at:
            halve_rates(trainer.optimizers[0])

    def _freeze(self, pl_module: Classifier) -> None:
        self.freeze(pl_module.net.stem, train_bn=False)
        if self.job.way.modes:
            pl_module.net.stem.eval()


def live(job: Job, folder: Path, resume: bool) -> Seen:
    """One life of a run."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    seen = Seen(pretrained(), job.kill_at if not resume else None)
    checkpoints = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, save_last=True)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=EPOCHS,
        callbacks=[Finetuning(job), checkpoints],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(TensorDataset(*pictures()), batch_size=BATCH)
    trainer.fit(Classifier(job, seen), loader, ckpt_path="last" if resume else None)
    return seen
