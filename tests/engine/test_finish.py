"""The finished model: which weights it has, that others can read it, and that the run can go on."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision
from msgspec.structs import replace
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from engine import checkpoint, files, finish, origin, shards
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    CheckpointConfig,
    EarlyStoppingConfig,
    OptimizerConfig,
    RegularisationConfig,
    TrainingConfig,
)
from engine.evaluate import figures
from engine.finish import blend, choose
from engine.loop import train
from engine.obey import obey
from engine.session import Session
from tests.engine.sessions import (
    ToyWorker,
    config,
    fold,
    of,
    run,
    same,
    session,
    tensors,
    tiny_net,
)

pytestmark = pytest.mark.usefixtures("one_thread")

NONE = RegularisationConfig()
WISE = RegularisationConfig(wise_ft=True)
LAST = EarlyStoppingConfig(restore_best=False)


def asked(epochs: int = 3, lr: float = 0.05, **tables: object) -> Config:
    training, optimizer = TrainingConfig(epochs=epochs), OptimizerConfig(lr=lr)
    return config(training=training, optimizer=optimizer, **tables)  # type: ignore[arg-type]


def written(made: Session) -> dict[str, Tensor]:
    return load_file(made.folder / finish.FILE)


def saved_model(events: list[e.Event]) -> e.ModelSaved:
    (told,) = of(e.ModelSaved, events)
    assert isinstance(told, e.ModelSaved)
    return told


def first_is_best(
    epochs: int, metric: str = "val_loss", regularisation: RegularisationConfig = NONE
) -> Config:
    """After the first epoch nothing counts as better."""
    judged = EarlyStoppingConfig(metric=metric, min_delta=1e5)
    return asked(epochs, early_stopping=judged, regularisation=regularisation)


class TestWhichWeights:
    def test_the_best(self, tmp_path: Path) -> None:
        made = session(tmp_path, first_is_best(3))
        told = saved_model(run(made))
        best = checkpoint.best(tmp_path)
        assert best.manifest.progress.step == 5 < made.progress.step
        assert same(written(made), shards.read(best.path))
        assert not same(written(made), tensors(made.module))
        assert (told.step, told.path, told.weights) == (5, "model.safetensors", "best, epoch 1")
        assert told.size == (tmp_path / told.path).stat().st_size

    def test_the_last_where_the_best_is_not_wanted(self, tmp_path: Path) -> None:
        made = session(tmp_path, asked(2, early_stopping=LAST))
        told = saved_model(run(made))
        assert same(written(made), tensors(made.module))
        assert (told.step, told.weights) == (10, "last")

    @pytest.mark.parametrize("restore_best", [True, False])
    def test_the_average_where_that_is_judged(self, tmp_path: Path, restore_best: bool) -> None:
        wanted = first_is_best(2, "ema_loss", RegularisationConfig(ema=0.9))
        judged = replace(wanted.early_stopping, restore_best=restore_best)
        made = session(tmp_path, replace(wanted, early_stopping=judged))
        shadows: dict[int, dict[str, Tensor]] = {}
        module: dict[int, dict[str, Tensor]] = {}
        events = []
        for event in train(made):
            if isinstance(event, e.CheckpointSaved):
                assert made.average
                module[event.step] = tensors(made.module)
                averages = made.average.by_name(made.module)
                shadows[event.step] = {name: x.clone() for name, x in averages.items()}
            events.append(event)
        told = saved_model([event for event in events if event])
        words = "best, epoch 1" if restore_best else "last"
        assert (told.step, told.weights) == (5 if restore_best else 10, f"{words}, moving average")
        assert same(written(made), module[told.step] | shadows[told.step])

    def test_the_last_where_the_checkpoint_of_the_best_is_damaged(self, tmp_path: Path) -> None:
        made = session(tmp_path, first_is_best(3))
        run(made)
        (checkpoint.best(tmp_path).path / "training.pt").write_bytes(b"")
        chosen, warnings = choose(made)
        assert chosen.words == "last"
        assert same(tensors(chosen.module), tensors(made.module))
        assert "training.pt does not have its checksum" in warnings[0].message


class TestFile:
    def test_torchvision_loads_it_as_its_own(self, tmp_path: Path) -> None:
        torch.manual_seed(1)
        small = asked(1, trainable=[Rule("fc")], early_stopping=LAST)
        made = session(tmp_path, small, torchvision.models.resnet18(num_classes=3))
        list(train(made))
        fresh = torchvision.models.resnet18(num_classes=3)
        fresh.load_state_dict(written(made))
        assert same(tensors(fresh), tensors(made.module))

    @pytest.mark.parametrize("regularisation", [NONE, RegularisationConfig(ema=0.9, wise_ft=True)])
    def test_adapters_are_merged(
        self, tmp_path: Path, regularisation: RegularisationConfig
    ) -> None:
        plan = [Rule("head"), Rule("body.0", lora=2)]
        metric: str = "ema_loss" if regularisation.ema else "val_loss"
        made = session(tmp_path, replace(first_is_best(2, metric, regularisation), trainable=plan))
        events = run(made)
        assert "body.0.lora_A.default.weight" in tensors(made.module)
        torch.manual_seed(0)
        fresh = tiny_net()
        start = tensors(fresh)
        fresh.load_state_dict(written(made))
        chosen, _ = choose(made)
        tuned = tensors(chosen.module)
        changed = {name for name in tuned if not torch.equal(tuned[name], start[name])}
        assert changed == {"body.0.weight", "head.weight", "head.bias"}
        alphas = {x.alpha: x for x in of(e.InterpolationEvaluated, events)}
        if alphas:
            found = figures(made, chosen.module)
            assert found
            assert alphas[1.0].loss == found.loss
        else:
            assert same(tensors(chosen.module), written(made))

    def test_it_says_what_it_is(self, tmp_path: Path) -> None:
        run(session(tmp_path, first_is_best(2)))
        with safe_open(tmp_path / finish.FILE, "pt") as file:
            assert file.metadata() == {
                "model": "torchvision/tiny",
                "classes": "ant\nbee\ncat",
                "step": "5",
                "weights": "best, epoch 1",
                "format": "pt",
            }

    def test_tensors_that_are_shared_are_in_it_twice(self, tmp_path: Path) -> None:
        net = tiny_net()
        net.add_module("again", net.body)
        made = session(tmp_path, asked(1, early_stopping=LAST), torch.nn.Sequential(net))
        made.info.head[:] = ["0.head"]
        weights = finish._state(made.module)
        assert set(weights) == set(made.module.state_dict())
        files.save_whole(tmp_path / "x.safetensors", weights, {})
        made.module.load_state_dict(load_file(tmp_path / "x.safetensors"))

    def test_a_disk_that_refuses_pauses_the_run_until_there_is_room(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = session(tmp_path, asked(1))
        events: list[e.Event] = []
        for event in train(made):
            if event is not None:
                events.append(event)
                if isinstance(event, e.CheckpointSaved) and event.reason == "epoch":
                    monkeypatch.setattr(os, "fsync", full)
            elif made.paused:
                left = {path.name for path in tmp_path.iterdir()}
                assert left == {"checkpoints"}
                if len(of(e.RunPaused, events)) == 2:
                    monkeypatch.undo()
                events += obey(made, c.Resume())
        warning = of(e.Warned, events)[0]
        assert isinstance(warning, e.Warned)
        assert warning.message.startswith("The finished model could not be saved in ")
        assert warning.message.endswith("make room, then resume the run to save it.")
        assert [type(event) for event in events[-2:]] == [e.ModelSaved, e.RunFinished]

    def test_a_run_that_is_stopped_has_none(self, tmp_path: Path) -> None:
        made = session(tmp_path, asked(3))
        for event in train(made):
            if event is None and made.progress.step == 7:
                list(obey(made, c.Stop()))
                break
        assert not (tmp_path / finish.FILE).exists()


def full(_fd: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class TestGoingOn:
    def test_more_epochs_are_as_if_asked_for_at_once(self, tmp_path: Path) -> None:
        """Whatever the finished model had, training goes on with the last raw weights."""
        regularised = RegularisationConfig(ema=0.9, wise_ft=True, l2_sp=0.01)
        every = CheckpointConfig(every_steps=2)
        best = EarlyStoppingConfig(metric="ema_loss")
        long = asked(5, regularisation=regularised, early_stopping=best, checkpoints=every)
        # a schedule that does not know its end
        long = replace(long, schedule=replace(long.schedule, name="constant"))
        calm, longer = (ToyWorker(tmp_path / name, long) for name in ("calm", "longer"))
        for worker in (calm, longer):
            worker.folder.mkdir()
        calm.live()
        longer.asked = replace(long, training=TrainingConfig(epochs=2))
        longer.live()
        first = written(longer.session)
        longer.asked = long
        longer.live()
        assert same(tensors(calm.session.module), tensors(longer.session.module))
        assert same(written(calm.session), written(longer.session))
        told = of(e.ModelSaved, longer.journal)
        assert len(told) == 2
        assert first.keys() == written(longer.session).keys()

    def test_the_runs_own_module_is_left_alone(self, tmp_path: Path) -> None:
        made = session(tmp_path, first_is_best(2, regularisation=WISE))
        events = train(made)
        for event in events:
            if isinstance(event, e.CheckpointSaved) and event.step == 10:
                break
        before, modes = tensors(made.module), [x.training for x in made.module.modules()]
        addresses = [p.data_ptr() for p in made.module.parameters()]
        generator = torch.get_rng_state()
        assert any(isinstance(event, e.ModelSaved) for event in events)
        assert same(before, tensors(made.module))
        assert addresses == [p.data_ptr() for p in made.module.parameters()]
        assert modes == [x.training for x in made.module.modules()]
        assert torch.equal(generator, torch.get_rng_state())

    def test_steered_to_go_on_while_it_is_finished_it_goes_on(self, tmp_path: Path) -> None:
        made = session(tmp_path, asked(1, regularisation=WISE))
        events: list[e.Event] = []
        for event in train(made):
            if event is not None:
                events.append(event)
            elif of(e.InterpolationEvaluated, events) and not of(e.OptionChanged, events):
                events += obey(made, c.SetOption(key="training.epochs", value="2"))
        kinds = [type(event) for event in events]
        assert kinds.count(e.InterpolationEvaluated) == 1 + len(finish.ALPHAS)
        assert kinds.count(e.ModelSaved) == 1
        assert kinds.index(e.ModelSaved) > kinds.index(e.OptionChanged)
        assert made.progress.step == 10

    def test_killed_while_it_is_finished_it_is_finished_in_the_next_life(
        self, tmp_path: Path
    ) -> None:
        worker = ToyWorker(tmp_path, asked(1, regularisation=WISE))
        events = 0
        while not any(isinstance(x, e.InterpolationEvaluated) for x in worker.journal):
            events += 1
            worker.journal.clear()
            worker.live(yields=events)
        assert not (tmp_path / finish.FILE).exists()
        worker.live()
        state = fold(worker.journal)
        assert state.phase == "finished"
        assert [x.alpha for x in state.interpolations] == finish.ALPHAS
        assert state.saved_model


class TestInterpolation:
    def test_at_its_ends_a_blend_is_one_of_the_two_bit_for_bit(self) -> None:
        start, tuned = tensors(tiny_net()), tensors(tiny_net())
        floats = {name: x for name, x in start.items() if x.is_floating_point()}
        assert same(blend(floats, tuned, 1.0), tuned)
        assert same(blend(floats, tuned, 0.0), tuned | floats)

    def test_between_them_it_is_on_the_line(self) -> None:
        start, tuned = {"a": torch.tensor([1.0, -2.0])}, {"a": torch.tensor([3.0, 2.0])}
        tuned["head"] = torch.tensor([7.0])
        blended = blend(start, tuned, 0.25)
        torch.testing.assert_close(blended["a"], torch.tensor([1.5, -1.0]))
        assert blended["head"] is tuned["head"]

    @pytest.mark.parametrize("metric", ["val_loss", "val_top1"])
    def test_each_blend_is_evaluated_and_the_best_is_kept(
        self, tmp_path: Path, metric: str
    ) -> None:
        judged = EarlyStoppingConfig(metric=metric)  # type: ignore[arg-type]
        made = session(
            tmp_path, replace(first_is_best(3), regularisation=WISE, early_stopping=judged)
        )
        events = run(made)
        told = saved_model(events)
        blends = of(e.InterpolationEvaluated, events)
        assert [x.alpha for x in blends] == finish.ALPHAS

        start, (chosen, _) = origin.read(tmp_path), choose(made)
        tuned = tensors(chosen.module)
        for x in blends:
            chosen.module.load_state_dict(blend(start, tuned, x.alpha))
            found = figures(made, chosen.module)
            assert found
            assert (x.loss, x.figures["top1"], x.step) == (
                found.loss,
                found.figures["top1"],
                told.step,
            )
        by = (
            (lambda x: (-x.loss, x.alpha))
            if metric == "val_loss"
            else lambda x: (x.figures["top1"], x.alpha)
        )
        best = max(blends, key=by).alpha
        assert told.weights == f"{chosen.words}, WiSE-FT {best:g}"
        assert same(written(made), blend(start, tuned, best))
        assert torch.equal(written(made)["head.weight"], tuned["head.weight"])

    def test_what_was_given_new_weights_is_the_tuned_one(self, tmp_path: Path) -> None:
        plan = [Rule("*"), Rule("stem.0", reinit=True)]
        made = session(tmp_path, asked(1, trainable=plan, regularisation=WISE))
        run(made)
        assert torch.equal(written(made)["stem.0.weight"], tensors(made.module)["stem.0.weight"])

    def test_a_stop_meanwhile_leaves_it_to_the_next_life(self, tmp_path: Path) -> None:
        made = session(tmp_path, asked(1, regularisation=WISE))
        for event in stopped_at_a_blend(made):
            assert not isinstance(event, e.ModelSaved)
        assert not (tmp_path / finish.FILE).exists()


def stopped_at_a_blend(made: Session) -> Iterator[e.Event | None]:
    """What the loop gives until it comes to a boundary after a signal."""
    for event in train(made):
        yield event
        if isinstance(event, e.InterpolationEvaluated):
            made.stopping = "SIGTERM"
        if event is None and made.stopping:
            return
