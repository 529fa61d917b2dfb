"""Samples as a person sees them, of each task."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from engine import preview
from engine.contract.config import Config, DataConfig, ModelConfig, TextConfig
from engine.contract.errors import UserError
from engine.contract.inspection import NO_MODEL, AskSamples, Samples, Shown
from engine.contract.preprocessing import Preprocessing
from engine.data import transforms
from engine.data.loader import Key
from engine.data.masked import MaskedPictures
from engine.data.pictures import LabelledPictures
from engine.data.transforms import Augmentation
from engine.tasks import TASKS
from tests.engine.data import masked
from tests.engine.data.pictures import class_folders, noisy

LRASPP = ModelConfig("torchvision/lraspp_mobilenet_v3_large", "none")
RESNET = ModelConfig("torchvision/resnet18", "none")


def ask(config: Config, part: str = "train", numbers: tuple[int, ...] = (0,), **more) -> Samples:
    question = AskSamples(id=1, config=config, part=part, numbers=list(numbers), **more)
    return preview.samples(question)


def pixels(shown: Shown) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(shown.picture)))


def classification(path: Path, **more) -> Config:
    data = DataConfig(str(path), image_size=32, augment="trivial")
    return replace(Config("image-classification", RESNET, data), **more)


def test_pictures_are_what_the_model_is_given(tmp_path: Path) -> None:
    config = classification(class_folders(tmp_path, {"a": 5, "b[red]": 5}))
    index = TASKS[config.task].index(config, lambda _: None)
    pictures = LabelledPictures(index.train, Preprocessing().at(32), config.training.seed)
    for epoch, augmentation in ((None, Augmentation()), (3, Augmentation("trivial", 1.0))):
        found = ask(config, numbers=(0, 7, 99), epoch=epoch)
        assert found.total == 8
        assert [shown.number for shown in found.shown] == [0, 7]
        assert [shown.labels for shown in found.shown] == [["a"], ["b[red]"]]
        given = np.empty((3, 32, 32), np.float32)
        transforms.ToInput(Preprocessing())(Image.fromarray(pixels(found.shown[1])), given)
        assert (given == pictures[Key(epoch or 0, (7,), augmentation)].inputs[0].numpy()).all()
    assert found.shown[1].name == index.train[7].path.relative_to(tmp_path).as_posix()


def test_a_class_and_a_side_can_be_asked_for(tmp_path: Path) -> None:
    config = classification(class_folders(tmp_path, {"a": 5, "b": 10}))
    found = ask(config, "val", (0, 1, 2), of=1)
    assert found.total == 2
    assert [shown.labels for shown in found.shown] == [["b"], ["b"]]
    assert pixels(ask(config, size=16).shown[0]).shape == (16, 16, 3)


def test_a_picture_that_broke_since_says_so(tmp_path: Path) -> None:
    config = classification(class_folders(tmp_path, {"a": 5, "b": 5}))
    name = ask(config).shown[0].name
    (tmp_path / name).write_bytes(b"no picture")
    broken = ask(config).shown[0]
    assert (broken.name, broken.problem, broken.picture) == (name, "not a picture", b"")


def test_several_labels(tmp_path: Path) -> None:
    for i in range(6):
        noisy(i).save(tmp_path / f"{i}.png")
    rows = [f"{i}.png,{'cat|dog' if i % 2 else 'cat'}" for i in range(6)]
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *rows]))
    data = DataConfig(str(tmp_path / "list.csv"), image_size=32)
    config = Config("multi-label-classification", RESNET, data)
    found = ask(config, numbers=tuple(range(6)))
    assert {s.name: s.labels for s in found.shown} == {
        s.name: ["cat", "dog"] if int(s.name[0]) % 2 else ["cat"] for s in found.shown
    }
    assert ask(config, of=1).total == sum(len(s.labels) == 2 for s in found.shown)


def test_masks_lie_on_their_pictures(tmp_path: Path) -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[:16], mask[16:, :16] = 1, 255
    for i in range(4):
        masked.save(tmp_path, str(i), mask, seed=i)
    config = masked.config(tmp_path, model=LRASPP)
    index = TASKS[config.task].index(config, lambda _: None)
    pre = Preprocessing().at(32)
    for epoch in (None, 1):
        shown = ask(config, epoch=epoch).shown[0]
        how = Augmentation() if epoch is None else Augmentation("standard", 1.0)
        given = MaskedPictures(index.train, index.coding, pre, 0)[Key(epoch or 0, (0,), how)]
        places = np.asarray(Image.open(io.BytesIO(shown.mask))).astype(int) - 1
        assert (places == given.targets[0].numpy()).all()
        assert shown.labels == [index.classes[i] for i in np.unique(places) if i >= 0]
        assert pixels(shown).shape == (32, 32, 3)


def test_texts_and_their_tokens(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.engine.models.language import save

    rows = [f"a good film {'film ' * n}\x1b[31m,{'up' if n % 2 else 'down'}" for n in range(10)]
    (tmp_path / "films.csv").write_text("\n".join(["text,label", *rows]))
    data = DataConfig(str(tmp_path / "films.csv"))
    model = ModelConfig(str(save(tmp_path / "bert")))
    config = Config("text-classification", model, data, text=TextConfig(max_length=8))
    found = ask(config, numbers=tuple(range(8)))
    for shown in found.shown:
        escape = 2  # tokens of the control sequence, which is not shown
        assert shown.tokens == len(shown.text.split()) + escape + 2
        assert shown.kept == min(8, shown.tokens)
        assert "\x1b" not in shown.text
        assert shown.name.startswith("films.csv:")
    without = ask(replace(config, model=ModelConfig(NO_MODEL))).shown[0]
    assert (without.tokens, without.kept) == (None, None)


def test_documents_and_their_tokens(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.engine import language

    folder = tmp_path / "gpt2"
    language.gpt2().save_pretrained(folder)
    language.tokenizer().save_pretrained(folder)
    lines = [json.dumps({"text": f"{language.LINES[0]}\n{i}"}) for i in range(12)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    config = Config(
        "causal-lm", ModelConfig(str(folder)), DataConfig(str(tmp_path / "texts.jsonl"))
    )
    shown = ask(config, numbers=(0, 1)).shown
    reader = language.tokenizer()
    for one in shown:
        assert one.tokens == len(reader(one.text)["input_ids"]) + 1
        assert one.name.startswith("texts.jsonl:")
        assert (one.labels, one.kept) == ([], None)


def test_without_a_model_pictures_are_as_most_take_them(tmp_path: Path) -> None:
    path = class_folders(tmp_path, {"a": 5, "b": 5})
    data = DataConfig(str(path))
    config = Config("image-classification", ModelConfig(NO_MODEL), data)
    assert pixels(ask(config).shown[0]).shape == (224, 224, 3)


def test_what_can_not_be_used_is_a_sentence(tmp_path: Path) -> None:
    config = classification(tmp_path / "nowhere")
    with pytest.raises(UserError, match="does not exist"):
        ask(config)
    there = classification(class_folders(tmp_path, {"a": 5, "b": 5}))
    with pytest.raises(UserError, match="resnet81"):
        ask(replace(there, model=ModelConfig("torchvision/resnet81")))
