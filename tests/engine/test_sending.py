"""Pictures travel as bytes, and become numbers on the device before anything is done with them."""

from pathlib import Path

import torch
from torchvision.transforms import functional as F

from engine.contract.preprocessing import Preprocessing
from engine.contract.training_tables import RegularisationConfig
from engine.data.batch import Batch
from engine.loop import train
from tests.engine.sessions import Batches, config, session

PRE = Preprocessing()


def as_numbers(images: torch.Tensor) -> torch.Tensor:
    """As torchvision does."""
    return F.normalize(F.convert_image_dtype(images), list(PRE.mean), list(PRE.std))


def test_bytes_and_numbers_train_alike(tmp_path: Path) -> None:
    """What is mixed, trained on, evaluated and remembered of a frozen prefix."""
    images = torch.randint(256, (8, 3, 8, 8), dtype=torch.uint8)
    for number, asked in enumerate(
        (config(), config(regularisation=RegularisationConfig(mixup=0.4, cutmix=1.0)))
    ):
        ends = []
        for kind, inputs in (("bytes", images), ("numbers", as_numbers(images))):
            batch = Batch(inputs, torch.arange(8) % 3, numbers=range(8))
            (folder := tmp_path / f"{number}{kind}").mkdir()
            made = session(folder, asked, data=Batches([batch]), val_data=Batches([batch]))
            list(train(made))
            ends.append(made.module.state_dict())
        assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_other_inputs_are_left_as_they_are(tmp_path: Path) -> None:
    made = session(tmp_path)
    numbers, tokens = torch.rand(2, 3, 8, 8), {"input_ids": torch.ones(2, 3, dtype=torch.int64)}
    assert torch.equal(made.send(numbers), numbers)
    assert made.send(tokens)["input_ids"].dtype == torch.int64
