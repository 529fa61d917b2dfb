"""What is remembered of a sample serves beside any others, or nothing is remembered."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from engine import device
from engine.contract.training_tables import TrainingConfig
from engine.data.batch import Batch, Inputs
from engine.prefix.cut import Cut, Unfit
from engine.prefix.find import find
from engine.prefix.probes import probes

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = device.choose(TrainingConfig(device="cpu"))
PADDING, END = 1, 2


def texts(*lengths: int) -> dict[str, Tensor]:
    """Of so many tokens each, as they are read: the last one says that it is the end."""
    ids = torch.full((len(lengths), max(lengths)), PADDING)
    for text, length in zip(ids, lengths, strict=True):
        text[:length] = torch.arange(3, 3 + length) + length
        text[length - 1] = END
    return {"input_ids": ids, "attention_mask": (ids != PADDING).long()}


def batch(inputs: Inputs) -> Batch:
    count = len(inputs if isinstance(inputs, Tensor) else inputs["input_ids"])
    return Batch(inputs, torch.zeros(count), numbers=range(count))


class OfTexts(nn.Module):
    """A frozen `stem` on embeddings (B, D, T), then a head on what each text comes to."""

    def __init__(self, stem: nn.Module, pool: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.stem, self.head = nn.Embedding(60, 8), stem, nn.Conv1d(8, 3, 1)
        self.pool = pool

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.stem(self.embed(input_ids).transpose(1, 2))
        return self.pool(self.head(hidden), attention_mask)


def mean(x: Tensor, mask: Tensor) -> Tensor:
    """Of the tokens that there are."""
    return (x * mask[:, None]).sum(2) / mask.sum(1, keepdim=True)


def whole_mean(x: Tensor, _: Tensor) -> Tensor:
    """Padding included."""
    return x.mean(2)


def named(module: nn.Module) -> Callable[[Inputs], Tensor]:
    """`module` as it takes inputs of either kind."""

    def run(inputs: Inputs) -> Tensor:
        out: Tensor = module(inputs) if isinstance(inputs, Tensor) else module(**inputs)
        return out

    return run


def cut_of(module: nn.Module, *read: Inputs) -> Cut:
    module.requires_grad_(False)
    module.get_submodule("head").requires_grad_(True)
    found = probes(map(batch, read))
    assert found
    return find(module, named(module), found, CPU)


def test_a_length_on_the_third_axis() -> None:
    module = OfTexts(nn.Conv1d(8, 8, 1), mean)
    cut = cut_of(module, texts(6, 4, 9))
    assert [row.stored for row in cut.points.values()] == [(8, None)]
    run, some = named(module), texts(5, 12)
    assert torch.equal(run(some), cut.play(run, {**some, **cut.record(run, some)}))


@pytest.mark.parametrize(
    ("module", "lengths"),
    [
        (OfTexts(nn.Conv1d(8, 8, 3, padding=1), mean), [6, 4, 9]),
        (OfTexts(nn.AvgPool1d(4, ceil_mode=True), whole_mean), [8, 6]),
    ],
)
def test_what_depends_on_how_far_a_text_is_filled_up(
    module: nn.Module, lengths: Sequence[int]
) -> None:
    with pytest.raises(Unfit, match="depends on the others in its batch"):
        cut_of(module, texts(*lengths))


def test_what_comes_after_it_sees_what_a_text_is_filled_up_with() -> None:
    module = OfTexts(nn.Conv1d(8, 8, 1), whole_mean)
    with pytest.raises(Unfit, match="how far a text is filled up"):
        cut_of(module, texts(6, 4, 9))


def test_a_shortened_length_that_looks_like_a_size() -> None:
    """All texts that the cut was looked for with are of one length."""
    stem = nn.Sequential(nn.Conv1d(8, 8, 1), nn.MaxPool1d(4, ceil_mode=True))
    module = OfTexts(stem, whole_mean)
    cut = cut_of(module, texts(8, 8))
    with pytest.raises(Unfit, match="otherwise for some batches"):
        cut.record(named(module), texts(20, 20))


def test_norms_over_the_batch() -> None:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Flatten())
    module.add_module("head", nn.Linear(4 * 36, 3))
    with pytest.raises(Unfit, match="depends on the others in its batch"):
        cut_of(module.eval(), torch.randn(4, 3, 8, 8))


@pytest.mark.parametrize("read", [[texts(6, 4, 9)], [texts(5, 5), texts(6, 4, 9)]])
def test_texts_to_look_for_a_cut_with_are_whole(read: list[Inputs]) -> None:
    found = probes(map(batch, read))
    assert found
    lengths = [[9, 4, 4], [4, 4]]
    for inputs, wanted in zip(found, lengths, strict=True):
        assert isinstance(inputs, dict)
        assert inputs["attention_mask"].sum(1).tolist() == wanted
        assert inputs["input_ids"].shape == (len(wanted), max(wanted))
        assert (inputs["input_ids"] == END).sum(1).tolist() == [1] * len(wanted)
