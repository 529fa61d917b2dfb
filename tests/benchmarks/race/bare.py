"""The loop of every tutorial: the network in train mode, frozen by `requires_grad` alone."""

from torch import nn

from tests.benchmarks.race.shared import (
    Job,
    Watch,
    accuracy,
    batches,
    criterion,
    network,
    optimizer,
    readers,
)


def train(job: Job, watch: Watch) -> nn.Module:
    train_data, val_data = readers(job)
    module, loss_of = network(job), criterion(job)
    moves = optimizer(module, job)
    watch.begin(moves, len(train_data))
    for _ in range(job.epochs):
        module.train()
        running_loss = 0.0
        for images, labels in batches(train_data):
            moves.zero_grad()
            loss = loss_of(module(images), labels)
            loss.backward()
            moves.step()
            running_loss += loss.item()
        if job.evaluates:
            watch.evaluated(accuracy(module, val_data))
    return module
