"""Lists of pictures: one label a picture, or several."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.contract import toml
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.data.labelled_sets import PicturesWithSets, index_sets
from engine.data.lists import index_list
from engine.data.loader import Key
from engine.data.transforms import Augmentation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(8):
        pixels = np.full((10, 12, 3), 30 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


def config(path: Path, task: str = "image-classification", **more: str) -> Config:
    lines = [f'task = "{task}"', 'model.name = "torchvision/resnet18"']
    lines += [f'data.path = "{path}"', *(f'images.{key} = "{v}"' for key, v in more.items())]
    return toml.parse("\n".join(lines))


def write(folder: Path, text: str, name: str = "list.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def told(_words: str) -> None:
    pass


def test_a_list_that_says_the_split(folder: Path) -> None:
    rows = ["split,label,file"]
    rows += [f"{'val' if n > 5 else 'train'},{'ab'[n % 2]},{n}.png" for n in range(8)]
    index = index_list(config(write(folder, "\n".join(rows))), told)
    assert index.classes == ["a", "b"]
    assert [(s.path, s.label) for s in index.val] == [
        (folder / "6.png", 0),
        (folder / "7.png", 1),
    ]
    assert index.told().train_counts == [3, 3]


@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "list.jsonl"])
def test_a_list_that_is_split_and_a_broken_picture(folder: Path, name: str) -> None:
    (folder / "3.png").write_text("no picture")
    rows = [{"name": f"{n}.png", "kind": "ab"[n % 2]} for n in range(8)]
    mark = "\t" if name.endswith("tsv") else ","
    table = [f"name{mark}kind", *(f"{row['name']}{mark}{row['kind']}" for row in rows)]
    lines = [json.dumps(row) for row in rows] if name.endswith("jsonl") else table
    path = write(folder, "\n".join(lines), name)
    asked = config(path, file_column="name", label_column="kind")
    index = index_list(asked, told)
    again = index_list(asked, told)
    assert (index.train, index.val) == (again.train, again.val)
    assert [file.path for file in index.skipped] == [str(folder / "3.png")]
    assert index.told().train_counts == [3, 2]
    assert index.told().val_counts == [1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,lable\n0.png,a", 'no column "label"; did you mean "lable"; it has file, lable.'),
        ("", "is empty"),
        ("file,label\n", "is empty"),
        ("file,label\n0.png,a\n1.png,a", "has one class only"),
        ("file,label\n,a", "line 2 of .* names no file"),
        ("file,label\nno.png,a\n", "lists no picture that can be read; the first, .*no.png"),
        ("file,label\n0.png,a\n1.png,\n", "1.png has no labels in the list"),
        ("file,label,split\n0.png,a,train\n1.png,b,maybe", 'line 3 of .* has "maybe" in its'),
        ("file,label,split\n0.png,a,train\n1.png,b,train", "leaves no picture to validate on"),
        ("file,label,split\n0.png,a,train\n1.png,b,val", 'class "b" of .* has no picture to train'),
        ("file,label\n0.png,a\n1.png,b", "leaves no picture to validate on"),
    ],
)
def test_a_bad_list_is_one_sentence(folder: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        index_list(config(write(folder, text)), told)


def test_a_list_that_is_no_text(folder: Path) -> None:
    (folder / "x.csv").write_bytes(b"file,label\n\xff\xfe,a")
    with pytest.raises(UserError, match=r"x\.csv\" is not UTF-8 text"):
        index_list(config(folder / "x.csv"), told)
    with pytest.raises(UserError, match=r"line 2 of .*x\.jsonl\" is no JSON object"):
        index_list(config(write(folder, '{"file": "0.png"}\n[1]', "x.jsonl")), told)


@pytest.mark.parametrize("separator", ["|", ";", " ", ", "])
def test_several_labels(folder: Path, separator: str) -> None:
    labels = ["cat", f"cat{separator}dog", "dog", "", "cat", "dog", f"dog{separator}cat", "cat"]
    rows = [f'{n}.png,"{some}"' for n, some in enumerate(labels)]
    path = write(folder, "\n".join(["file,label", *rows]))
    index = index_sets(config(path, "multi-label-classification"), told)
    assert index.classes == ["cat", "dog"]
    by_path = {s.path.name: s.labels for s in [*index.train, *index.val]}
    assert [by_path[f"{n}.png"] for n in range(8)] == [
        (0,), (0, 1), (1,), (), (0,), (1,), (0, 1), (0,),
    ]  # fmt: skip
    pictures = PicturesWithSets(index.train, 2, Preprocessing(8, 8), seed=0)
    batch = pictures[Key(0, tuple(range(len(index.train))), Augmentation())]
    assert [tuple(row.nonzero().flatten().tolist()) for row in batch.targets] == [
        s.labels for s in index.train
    ]
    assert batch.inputs.shape == (len(index.train), 3, 8, 8)


def test_a_label_on_no_training_picture(folder: Path) -> None:
    text = "file,label,split\n0.png,a,train\n1.png,a|b,val"
    with pytest.raises(UserError, match='label "b" is on no training picture'):
        index_sets(config(write(folder, text), "multi-label-classification"), told)
