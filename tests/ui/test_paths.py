"""Completion of paths, and what a glance says of a data folder."""

from pathlib import Path

import pytest

from ftui.paths import classes_in, complete, glance, near

PICTURES = "image-classification"


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_path_is_completed_to_the_first_folder(tmp_path: Path) -> None:
    touch(tmp_path, "pets/x", "pens/x", "pear.txt", ".petty/x")
    assert complete(f"{tmp_path}/pe") == f"{tmp_path}/pens/"
    assert complete(f"{tmp_path}/pet") == f"{tmp_path}/pets/"
    assert complete(f"{tmp_path}/") == f"{tmp_path}/pens/"
    assert complete(f"{tmp_path}/.p") == f"{tmp_path}/.petty/"
    assert complete(f"{tmp_path}/x") is None
    assert complete(f"{tmp_path}/nowhere/x") is None
    assert complete("") is None


def test_files_are_completed_where_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "best.pth", "best.txt")
    assert complete(f"{tmp_path}/be") is None
    assert complete(f"{tmp_path}/be", {".pth"}) == f"{tmp_path}/best.pth"


def test_home_and_here_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "pets/x")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert complete("~/pe") == "~/pets/"
    assert complete("pe") == "pets/"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["cat/1.jpg", "cat/2.PNG", "dog/1.jpeg", "dog/readme.txt"], "3 pictures in 2 classes"),
        (["train/cat/1.jpg", "train/dog/1.jpg", "val/cat/2.jpg"], "3 pictures in 2 classes, train"),
        (["cat/1.jpg"], "1 picture in 1 class, to be split"),
        (["1.jpg"], "no class folders in it"),
        (["images/1.jpg", "masks/1.png"], "1 picture with masks"),
        (["train/images/1.jpg", "train/masks/1.png", "val/images/2.jpg"], "2 pictures with masks"),
    ],
)
def test_a_glance_counts_what_is_there(tmp_path: Path, files: list[str], words: str) -> None:
    touch(tmp_path, *files)
    assert glance(str(tmp_path), PICTURES).startswith(words)


@pytest.mark.parametrize(
    ("files", "classes"),
    [
        (["a/1.jpg", "b/1.jpg", "c/1.jpg"], 3),
        (["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"], 2),
        (["a/1.jpg"], None),
        (["labels.csv"], None),
    ],
)
def test_class_folders_are_counted(tmp_path: Path, files: list[str], classes: int | None) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert classes_in(str(tmp_path), PICTURES) == classes
    assert classes_in(str(tmp_path), "semantic-segmentation") is None
    assert classes_in("", PICTURES) is None
    assert classes_in("x" * 300, PICTURES) is None
    assert classes_in("torchvision/CIFAR10", PICTURES) is None


def test_a_glance_says_what_is_missing(tmp_path: Path) -> None:
    touch(tmp_path, "file")
    assert glance(str(tmp_path / "nowhere"), PICTURES) == "no such folder"
    assert glance(str(tmp_path / "file"), PICTURES) == "a file, not a folder"
    (tmp_path / "list.CSV").touch()
    assert glance(str(tmp_path / "list.CSV"), PICTURES) == ""
    assert glance("torchvision/FashionMNIST", PICTURES) == ""


@pytest.mark.parametrize("task", ["text-classification", "causal-lm"])
def test_a_glance_at_texts(tmp_path: Path, task: str) -> None:
    assert glance(str(tmp_path), task) == "no text in it"
    touch(tmp_path, "train.csv", "val.csv", "notes.pdf")
    assert glance(str(tmp_path), task) == "2 text files: train.csv, val.csv"
    touch(tmp_path, "up/1.txt", "down/1.txt")
    assert glance(str(tmp_path), task) == "4 text files"
    is_text = glance(str(tmp_path / "up" / "1.txt"), task) == ""
    assert is_text == (task == "causal-lm")


def test_a_path_below_the_current_folder_is_told_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert near(tmp_path / "a" / "runs") == "a/runs"
    assert near(tmp_path.parent) == str(tmp_path.parent)
