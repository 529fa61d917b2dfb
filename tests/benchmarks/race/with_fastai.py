"""fastai's `Learner`, without its bar and its table."""

from fastai.callback.core import Callback, CancelValidException
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper

from tests.benchmarks.race.shared import Job, Watch, criterion, device, network, optimizer, readers


class Watching(Callback):
    """Tells the watch; leaves evaluations out that are not wanted."""

    def __init__(self, watch: Watch, evaluates: bool) -> None:
        super().__init__()
        self.watch, self.evaluates = watch, evaluates

    def before_validate(self) -> None:
        if not self.evaluates:
            raise CancelValidException

    def after_validate(self) -> None:
        if self.evaluates:
            self.watch.evaluated(float(self.learn.metrics[0].value))


def train(job: Job, watch: Watch) -> None:
    train_data, val_data = readers(job)
    module = network(job)
    moves = optimizer(module, job)
    learner = Learner(
        DataLoaders(train_data, val_data, device=device()),
        module,
        loss_func=criterion(job),
        opt_func=OptimWrapper(opt=moves),
        lr=job.lr,
        wd=0.0,
        metrics=accuracy,
        cbs=[Watching(watch, job.evaluates)],
    )
    watch.begin(moves, len(train_data))
    with learner.no_logging():
        learner.fit(job.epochs)
