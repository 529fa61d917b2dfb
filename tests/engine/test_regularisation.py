"""Mixed batches, soft targets and class weights; an evaluation knows nothing of them."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from engine.contract.errors import UserError
from engine.contract.training_tables import RegularisationConfig, TrainingConfig
from engine.data import Batch
from engine.evaluate import evaluate
from engine.loop import take_step
from engine.tasks.classifying import Classifying, balanced_weights
from tests.engine.sessions import Batches, config, pictures, same, session, tensors

pytestmark = pytest.mark.usefixtures("one_thread")

COUNTS = [90, 9, 1]
BOTH = RegularisationConfig(mixup=0.4, cutmix=1.0)


def task(asked: RegularisationConfig, smoothing: float = 0.0) -> Classifying:
    training = TrainingConfig(label_smoothing=smoothing)
    return Classifying(config(regularisation=asked, training=training), COUNTS)


def shares(targets: Tensor, labels: Tensor) -> Tensor:
    """(B,): what a picture's own class has of its target, another class's picture before it."""
    return targets[torch.arange(len(labels)), labels]


class TestMixing:
    @given(st.integers(0, 2**64 - 1))
    def test_targets_are_shares_and_the_seed_decides_all(self, seed: int) -> None:
        images, labels = pictures(6)
        state = torch.get_rng_state()
        mixed, targets = task(BOTH).mix(images, labels, seed)
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(seed % 7)
        again, same_targets = task(BOTH).mix(images, labels, seed)
        assert torch.equal(mixed, again)
        assert torch.equal(targets, same_targets)
        assert targets.shape == (6, 3)
        torch.testing.assert_close(targets.sum(1), torch.ones(6))
        assert torch.equal(images, pictures(6)[0])

    def test_mixup_blends_each_picture_with_the_one_before(self) -> None:
        images, labels = pictures(3)[0], torch.tensor([0, 1, 2])
        mixed, targets = task(RegularisationConfig(mixup=1.0)).mix(images, labels, 5)
        own = shares(targets, labels)[0]
        assert 0 < own < 1
        torch.testing.assert_close(mixed, own * images + (1 - own) * images.roll(1, 0))
        assert targets[1, 0] == 1 - own

    def test_cutmix_counts_the_pixels_it_pastes(self) -> None:
        images, labels = pictures(3)[0], torch.tensor([0, 1, 2])
        for seed in range(20):
            mixed, targets = task(RegularisationConfig(cutmix=1.0)).mix(images, labels, seed)
            kept = (mixed == images).all(1).float().mean((1, 2))
            torch.testing.assert_close(shares(targets, labels), kept)
            assert ((mixed == images) | (mixed == images.roll(1, 0))).all()

    def test_where_both_are_on_each_has_half_of_the_batches(self) -> None:
        images, labels = pictures(4)
        both = task(RegularisationConfig(mixup=1.0, cutmix=1.0))
        cut = sum(bool((both.mix(images, labels, s)[0] == images).any()) for s in range(400))
        assert 160 < cut < 240

    def test_off_it_is_nothing(self) -> None:
        images, labels = pictures(4)
        mixed, targets = task(RegularisationConfig()).mix(images, labels, 1)
        assert mixed is images
        assert targets is labels

    def test_a_batch_of_one_is_mixed_with_itself(self) -> None:
        images, labels = pictures(1)
        mixed, targets = task(BOTH).mix(images, labels, 3)
        torch.testing.assert_close(mixed, images)
        torch.testing.assert_close(targets, F.one_hot(labels, 3).float())


class TestLoss:
    @given(st.floats(0, 0.9), st.sampled_from(["none", "balanced"]), st.integers(0, 1000))
    def test_labels_and_the_same_as_probabilities_cost_the_same(
        self, smoothing: float, weights: str, seed: int
    ) -> None:
        logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
        labels = torch.tensor([0, 1, 2, 1, 0])
        asked = task(RegularisationConfig(class_weights=weights), smoothing)  # type: ignore[arg-type]
        hard, soft = asked.loss(logits, labels), asked.loss(logits, F.one_hot(labels, 3).float())
        torch.testing.assert_close(hard, soft)
        if weights == "none":
            expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
            torch.testing.assert_close(hard, expected)

    def test_of_soft_targets_it_is_the_mean_of_the_two_labels_losses(self) -> None:
        logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 2])
        plain = task(RegularisationConfig(class_weights="balanced"), 0.1)
        mixed = 0.3 * F.one_hot(labels, 3) + 0.7 * F.one_hot(labels.roll(1), 3)
        expected = 0.3 * plain.loss(logits, labels) + 0.7 * plain.loss(logits, labels.roll(1))
        torch.testing.assert_close(plain.loss(logits, mixed), expected)

    def test_balanced_weights_are_the_inverse_frequency_with_mean_one(self) -> None:
        weights, counts = balanced_weights(COUNTS), torch.tensor(COUNTS)
        torch.testing.assert_close(weights * counts, torch.full((3,), 100 / 3))
        assert (weights * counts).sum() / counts.sum() == pytest.approx(1)
        assert balanced_weights([7, 7]).tolist() == [1, 1]

    def test_a_rare_picture_costs_more_also_alone_in_its_batch(self) -> None:
        weighted = task(RegularisationConfig(class_weights="balanced"))
        logits = torch.zeros(1, 3)
        common, rare = (weighted.loss(logits, torch.tensor([label])) for label in (0, 2))
        assert rare / common == pytest.approx(90)

    def test_balancing_twice_is_a_sentence(self) -> None:
        with pytest.raises(UserError, match=r"^regularisation: .*set one of them\.$"):
            task(RegularisationConfig(class_weights="balanced", sampling="balanced"))

    def test_an_evaluation_is_the_plain_cross_entropy(self, tmp_path: Path) -> None:
        strong = RegularisationConfig(mixup=0.4, cutmix=1.0, class_weights="balanced")
        made = session(tmp_path, config(regularisation=strong))
        plain = session(tmp_path, config())
        assert same(tensors(made.module), tensors(plain.module))
        one, other = evaluate(made, "command"), evaluate(plain, "command")
        assert one is not None
        assert other is not None
        assert (one.loss, one.figures["top1"]) == (other.loss, other.figures["top1"])


def test_the_loss_told_is_that_of_the_mixed_batch(tmp_path: Path) -> None:
    images, labels = pictures(4)
    data = Batches([Batch(images, labels, [])] * 2)
    made = session(tmp_path, config(regularisation=BOTH), data=data)
    seen: list[tuple[Tensor, Tensor]] = []

    class Spy(type(made.objective)):  # type: ignore[misc]
        def mix(self, images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
            mixed, targets = super().mix(images, labels, seed)
            seen.append((mixed, targets))
            return mixed, targets

        def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
            assert targets is seen[-1][1]
            told.append(super().loss(logits, targets))
            return told[-1]

    told: list[Tensor] = []
    made.objective = Spy(made.config, COUNTS)
    take_step(made)
    take_step(made)
    assert not torch.equal(seen[0][0], seen[1][0]), "each batch is mixed in its own way"
    (event,) = made.pending.flush()
    assert event.loss == [x.item() for x in told]  # type: ignore[attr-defined]


def test_weighted_batches_accumulate_to_one_large_batch(tmp_path: Path) -> None:
    images, labels = pictures(10)
    weighted = RegularisationConfig(class_weights="balanced")

    def trained(parts: list[int]) -> dict[str, Tensor]:
        data = Batches(Batch(images[a:b], labels[a:b], []) for a, b in pairwise(parts))
        asked = config(training=TrainingConfig(accumulate=len(parts) - 1), regularisation=weighted)
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Flatten())
        net.add_module("head", torch.nn.Linear(192, 3))
        made = session(tmp_path, asked, net, data)
        take_step(made)
        return tensors(made.module)

    whole, parts = trained([0, 10]), trained([0, 3, 9, 10])
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name])
