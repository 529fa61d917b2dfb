"""timm's loop: the parts that its package has, put together as its `train.py` does."""

import time

from timm.optim import create_optimizer_v2
from timm.task import ClassificationTask
from timm.utils import AverageMeter

from tests.benchmarks.race.shared import (
    MOMENTUM,
    Job,
    Watch,
    accuracy,
    batches,
    device,
    network,
    readers,
)


def train(job: Job, watch: Watch) -> None:
    train_data, val_data = readers(job)
    module = network(job)
    task = ClassificationTask(
        module, criterion_kwargs={"smoothing": job.smoothing}, device=device(), verbose=False
    )
    moves = create_optimizer_v2(
        module,
        opt="momentum" if job.optimizer == "sgd" else "adamw",
        lr=job.lr,
        weight_decay=0.0,
        momentum=MOMENTUM,
    )
    watch.begin(moves, len(train_data))
    for _ in range(job.epochs):
        module.train()
        losses, seconds, ended = AverageMeter(), AverageMeter(), time.time()
        for images, labels in batches(train_data):
            loss = task(images, labels)["loss"]
            loss.backward()
            moves.step()
            moves.zero_grad()
            losses.update(loss.item(), len(images))
            seconds.update(time.time() - ended)
            ended = time.time()
        if job.evaluates:
            watch.evaluated(accuracy(module, val_data))
