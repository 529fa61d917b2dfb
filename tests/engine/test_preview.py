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
from engine.contract.inspection import (
    NO_MODEL,
    AskData,
    AskScan,
    Blocks,
    Copy,
    Ends,
    Samples,
    Shown,
    Twins,
    Which,
)
from engine.contract.preprocessing import Preprocessing
from engine.data import likeness
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
    return preview.samples(config, Which(part, list(numbers), **more))


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
        given = pictures[Key(epoch or 0, (7,), augmentation)].inputs[0].numpy()
        assert (given.transpose(1, 2, 0) == pixels(found.shown[1])).all()
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
    novel = tmp_path / "novel.txt"
    novel.write_text(language.TEXT)
    overview, scan = looked(replace(config, data=DataConfig(str(novel), val_fraction=0.2)))
    tokens = len(reader(language.TEXT)["input_ids"]) + 2  # an end of text in each part
    assert overview.ends == Ends(overview.ends.held_out, tokens, in_tokens=True)
    assert overview.blocks == Blocks(64, (tokens * 4 // 5 - 1) // 64, (tokens // 5 - 1) // 64)
    assert (scan.near, scan.lengths.median) == (0, tokens)  # every line of its end is in it before


def test_without_a_model_pictures_are_as_most_take_them(tmp_path: Path) -> None:
    path = class_folders(tmp_path, {"a": 5, "b": 5})
    data = DataConfig(str(path))
    config = Config("image-classification", ModelConfig(NO_MODEL), data)
    assert pixels(ask(config).shown[0]).shape == (224, 224, 3)


def test_a_module_of_ones_own_is_made_for_the_classes_of_the_data(tmp_path: Path) -> None:
    net = tmp_path / "net.py"
    net.write_text(
        "from torch import nn\ndef make(classes):\n    assert classes == 2\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, classes))\n"
    )
    config = classification(class_folders(tmp_path / "pets", {"a": 5, "b": 5}))
    config = replace(config, model=ModelConfig(f"{net}:make"))
    assert pixels(ask(config).shown[0]).shape == (32, 32, 3)


def test_what_can_not_be_used_is_a_sentence(tmp_path: Path) -> None:
    config = classification(tmp_path / "nowhere")
    with pytest.raises(UserError, match="does not exist"):
        ask(config)
    there = classification(class_folders(tmp_path, {"a": 5, "b": 5}))
    with pytest.raises(UserError, match="resnet81"):
        ask(replace(there, model=ModelConfig("torchvision/resnet81")))


def looked(config: Config):
    """Overview and scan, in as many steps as it takes."""
    overview = preview.overview(AskData(id=1, config=config))
    scan = preview.scan(AskScan(id=2, config=config, seconds=0))
    while not scan.done:
        scan = preview.scan(AskScan(id=3, config=config, seconds=0))
    return overview, scan


def test_an_overview_of_pictures_with_copies_and_broken_ones(tmp_path: Path) -> None:
    for part, first in (("train", 0), ("val", 50)):
        for label, name in enumerate("ab"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(4 - label):
                noisy(first + 10 * label + i).save(tmp_path / part / name / f"{i}.png")
    train, val = tmp_path / "train/a", tmp_path / "val/a"
    (val / "copy.png").write_bytes((train / "0.png").read_bytes())
    (train / "again.png").write_bytes((train / "1.png").read_bytes())
    smooth = noisy(99, 8, 6).resize((80, 60), Image.Resampling.BICUBIC)
    smooth.save(train / "2.png")
    large = smooth.resize((200, 150), Image.Resampling.BICUBIC)
    large.save(val / "nearly.jpg", quality=70)
    whole = (train / "3.png").read_bytes()
    (train / "3.png").write_bytes(whole[: len(whole) // 2])
    (train / "empty.png").write_bytes(b"")
    overview, scan = looked(classification(tmp_path))
    assert (overview.train_counts, overview.val_counts) == ([5, 3], [6, 3])
    assert (overview.train, overview.val, overview.held_out) == (8, 9, False)
    assert [Path(file.path).name for file in overview.first_skipped] == ["empty.png"]
    assert overview.baseline is not None
    assert overview.baseline.value == pytest.approx(6 / 9)
    assert scan.first_same == [Twins("train/a/0.png", "val/a/copy.png")]
    assert scan.first_near == [Twins("train/a/2.png", "val/a/nearly.jpg")]
    assert (scan.same, scan.near, scan.train_copies, scan.val_copies) == (1, 1, 1, 0)
    assert scan.first_copies == [Copy("train/a/1.png", "train/a/again.png")]
    assert [file.path for file in scan.first_broken] == ["train/a/3.png"]
    assert (scan.looked, scan.total, scan.lengths) == (17, 17, None)


def test_an_overview_of_texts(tmp_path: Path) -> None:
    train = ["text,label", "A  good film,up", "bad,down", "so bad,down", "bad,down"]
    near = "a film of a town by the sea where two brothers keep a light for ships that never come"
    (tmp_path / "train.csv").write_text("\n".join([*train, f"{near},up"]))
    val = ["text,label", "a good Film,up", "new and long,down", ",up"]
    val += [f"{near.replace('brothers', 'sisters')}!,up"]
    (tmp_path / "val.csv").write_text("\n".join(val))
    config = Config("text-classification", ModelConfig(NO_MODEL), DataConfig(str(tmp_path)))
    overview, scan = looked(config)
    assert (overview.classes, overview.train_counts) == (["down", "up"], [3, 2])
    assert (overview.skipped, overview.held_out) == (1, False)
    assert scan.first_same == [Twins("train.csv:2", "val.csv:2")]
    assert scan.first_near == [Twins("train.csv:6", "val.csv:5")]
    assert (scan.same, scan.train_copies, scan.near) == (1, 1, 1)
    assert scan.lengths is not None
    assert (scan.lengths.in_tokens, scan.lengths.longest) == (False, len(near))


def test_masks_and_documents_have_an_overview(tmp_path: Path) -> None:
    for i in range(5):
        masked.save(tmp_path, str(i), seed=i)
    overview, scan = looked(masked.config(tmp_path, model=LRASPP))
    assert (overview.held_out, overview.train_counts) == (True, [4, 4, 4])
    assert sum(overview.pixels) == 4 * masked.SIDE**2
    assert (scan.looked, scan.same, scan.near, scan.broken) == (5, 0, 0, 0)
    (tmp_path / "novel.txt").write_text("line\n" * 100)
    config = Config("causal-lm", ModelConfig(NO_MODEL), DataConfig(str(tmp_path / "novel.txt")))
    overview, scan = looked(config)
    assert (overview.classes, overview.train, overview.val, overview.held_out) == ([], 1, 1, True)
    assert (scan.near, scan.lengths.longest) == (0, 500)
    assert overview.ends == Ends(100, 500, in_tokens=False)


def test_flat_pictures_are_told_apart_by_their_grey() -> None:
    grey = np.stack([np.full((8, 9), level, np.uint8) for level in (10, 100, 200)])
    assert list(likeness.nearest(list(grey), list(grey[[2, 0]] + 1))) == [1, -1, 0]
    assert list(likeness.nearest(list(grey), [])) == [-1, -1, -1]
