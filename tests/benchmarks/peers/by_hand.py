"""The script that tutorials write: `requires_grad`, an optimizer, and a loop over both.

Freezing is that of PyTorch's transfer-learning tutorial, the checkpoint that of its recipe for a
general one, the learning rate is changed as its documentation of `torch.optim` says, and a group
for what is thawed is added as that of `add_param_group` says.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from tests.benchmarks.peers.job import (
    BATCH,
    EPOCHS,
    SCALE,
    Job,
    Seen,
    halve_rates,
    pictures,
    pretrained,
    torch_optimizer,
    torch_schedule,
)


def live(job: Job, folder: Path, resume: bool) -> Seen:
    """One life of a run."""
    net = pretrained()
    if job.frozen:
        net.stem.requires_grad_(False)
    optimizer = torch_optimizer(net, job)
    scheduler = torch_schedule(optimizer, job)
    first = 0
    if resume:
        saved = torch.load(folder / "checkpoint.pt")
        net.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        first = saved["epoch"] + 1
    seen = Seen(net, job.kill_at if not resume else None)
    seen.watch(optimizer)
    for epoch in range(first, EPOCHS):
        steer(net, optimizer, job, epoch)
        train_epoch(net, optimizer, scheduler, job, seen)
        saved = {
            "epoch": epoch,
            "model": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
        }
        torch.save(saved, folder / "checkpoint.pt")
    return seen


def steer(net: nn.Sequential, optimizer: torch.optim.Optimizer, job: Job, epoch: int) -> None:
    """Freeze and thaw at the start of an epoch."""
    if job.freezes(epoch):
        net.stem.requires_grad_(False)
    if job.thaws(epoch):
        known = next(net.stem.parameters()).requires_grad
        net.stem.requires_grad_(True)
        if job.way.optimizer == "grown" and not known:
            rate = optimizer.param_groups[0]["lr"] * SCALE
            optimizer.add_param_group({"params": net.stem.parameters(), "lr": rate})


def train_epoch(
    net: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    job: Job,
    seen: Seen,
) -> None:
    """Pass over the data once."""
    net.train()
    if job.way.modes and not next(net.stem.parameters()).requires_grad:
        net.stem.eval()
    for images, labels in zip(*(tensor.split(BATCH) for tensor in pictures()), strict=True):
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
        scheduler.step()
        if len(seen.rates) == job.halve_at:
            halve_rates(optimizer)
