"""Folders as people keep them: what is listed, what is skipped by name, what is refused."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.data import DataIndex, checking, folder, index_folder
from tests.engine.data.pictures import class_folders, cut, noisy, png_header


def index(path: Path, **keys: object) -> DataIndex:
    return index_folder(DataConfig(path=str(path), **keys), lambda stage: None)  # type: ignore[arg-type]


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        index(path)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert sentence.startswith("data.path: ")
    return sentence


def names(path: Path, samples: list[folder.Sample]) -> list[str]:
    return [sample.path.relative_to(path).as_posix() for sample in samples]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "pets", {"dog": 10, "cat": 5})


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    root = tmp_path / "divided"
    class_folders(root / "train", {"dog": 3, "cat": 2})
    class_folders(root / "val", {"cat": 1, "dog": 2})
    return root


class TestOneTree:
    def test_classes_by_name_and_a_stratified_split(self, pets: Path) -> None:
        data = index(pets)
        assert data.classes == ["cat", "dog"]
        assert data.counts(data.train) == [4, 8]
        assert data.counts(data.val) == [1, 2]
        everything = names(pets, data.train + data.val)
        assert sorted(everything) == sorted(
            [f"cat/{i}.png" for i in range(5)] + [f"dog/{i}.png" for i in range(10)]
        )
        assert all(sample.path.parent.name == data.classes[sample.label] for sample in data.train)

    def test_the_same_wherever_it_lies_and_however_it_was_written(
        self, pets: Path, tmp_path: Path
    ) -> None:
        moved = tmp_path / "elsewhere" / "copy"
        for source in sorted(pets.rglob("*.png"), key=lambda path: path.name[::-1]):
            target = moved / source.relative_to(pets)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        first, second = index(pets), index(moved)
        assert names(pets, first.val) == names(moved, second.val)
        assert names(pets, first.train) == names(moved, second.train)

    def test_seed_and_fraction(self, pets: Path) -> None:
        assert index(pets, split_seed=1).val != index(pets).val
        assert index(pets, val_fraction=0.5).counts(index(pets, val_fraction=0.5).val) == [2, 5]

    def test_nested_folders_belong_to_the_class(self, pets: Path) -> None:
        (pets / "dog" / "small" / "brown").mkdir(parents=True)
        noisy(1).save(pets / "dog" / "small" / "brown" / "a.JPG")
        assert sum(index(pets).counts(index(pets).train + index(pets).val)) == 16

    def test_a_class_may_be_called_train(self, tmp_path: Path) -> None:
        root = class_folders(tmp_path / "a", {"train": 3, "plane": 3})
        assert index(root).classes == ["plane", "train"]

    def test_home_is_expanded(self, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(pets.parent))
        assert index(Path("~/pets")).classes == ["cat", "dog"]


class TestTrainAndVal:
    @pytest.mark.parametrize("name", ["val", "valid", "validation"])
    def test_as_divided(self, divided: Path, name: str) -> None:
        (divided / "val").rename(divided / name)
        (divided / "test").mkdir()
        data = index(divided)
        assert data.classes == ["cat", "dog"]
        assert data.counts(data.train) == [2, 3]
        assert data.counts(data.val) == [1, 2]
        assert names(divided / name, data.val) == ["cat/0.png", "dog/0.png", "dog/1.png"]

    def test_val_may_lack_a_class(self, divided: Path) -> None:
        shutil.rmtree(divided / "val" / "cat")
        data = index(divided)
        assert [sample.label for sample in data.val] == [1, 1]

    def test_class_only_in_val(self, divided: Path) -> None:
        (divided / "val" / "cat").rename(divided / "val" / "cats")
        assert refusal(divided) == (
            f'data.path: class "cats" is in "{divided}/val" but not in "{divided}/train"; '
            'did you mean "cat"?'
        )

    def test_no_val(self, divided: Path) -> None:
        shutil.rmtree(divided / "val")
        assert "has train/ but no val/ (or valid/ or validation/)" in refusal(divided)

    def test_no_train(self, divided: Path) -> None:
        shutil.rmtree(divided / "train")
        assert "has val/ but no train/" in refusal(divided)

    def test_two_vals(self, divided: Path) -> None:
        shutil.copytree(divided / "val", divided / "valid")
        assert "has val/ and valid/; keep one" in refusal(divided)

    def test_empty_val(self, divided: Path) -> None:
        shutil.rmtree(divided / "val")
        (divided / "val").mkdir()
        assert f'"{divided}/val" holds no usable picture' in refusal(divided)


class TestPassedOver:
    def test_silently(self, pets: Path) -> None:
        for name in (".hidden.png", "Thumbs.db", "notes.txt", "labels.csv", "noextension"):
            (pets / "cat" / name).write_text("x")
        for name in (".git", "__MACOSX", "@eaDir"):
            (pets / name).mkdir()
            noisy(1).save(pets / name / "a.png")
        (pets / "cat" / ".cache").mkdir()
        noisy(1).save(pets / "cat" / ".cache" / "a.png")
        (pets / "README.md").write_text("x")
        data = index(pets)
        assert data.classes == ["cat", "dog"]
        assert len(data.train + data.val) == 15
        assert data.skipped == []

    def test_by_name_and_reason(self, pets: Path) -> None:
        cat = pets / "cat"
        (cat / "empty.jpg").touch()
        (cat / "page.jpg").write_text("<html>")
        png_header(cat / "gigantic.png", 60_000, 60_000)
        (cat / "phone.HEIC").write_bytes(b"ftypheic")
        (cat / "gone.png").symlink_to("nowhere.png")
        (cat / "loop.png").symlink_to("loop.png")
        os.mkfifo(cat / "pipe.png")
        noisy(1).save(pets / "loose.png")
        data = index(pets)
        assert len(data.train + data.val) == 15
        assert {Path(skip.path).name: skip.reason for skip in data.skipped} == {
            "loose.png": "lies in no class folder",
            "empty.jpg": "empty file",
            "page.jpg": "not a picture",
            "gigantic.png": "gigantic: more than 100 megapixels",
            "phone.HEIC": ".heic can't be read; convert it to JPEG or PNG",
            "gone.png": "can't be read: no such file or directory",
            "loop.png": "can't be read: too many levels of symbolic links",
            "pipe.png": "not a file",
        }
        assert all(Path(skip.path).is_relative_to(pets) for skip in data.skipped)

    def test_what_only_decoding_shows_is_kept_for_the_loader(self, pets: Path) -> None:
        cut(pets / "cat" / "0.png", 0.5)
        assert index(pets).skipped == []

    def test_names_are_safe_to_show(self, pets: Path) -> None:
        (pets / "cat").rename(pets / "cat\x1b[31m")
        (pets / os.fsdecode(b"d\xf6g")).mkdir()
        noisy(1).save(pets / os.fsdecode(b"d\xf6g") / "a.png")
        Path(pets / "dog" / os.fsdecode(b"\xff.png")).touch()
        data = index(pets)
        assert data.classes[0] == "cat"
        assert len(data.skipped) == 1
        msgspec.json.encode([data.classes, data.skipped])


class TestLinks:
    def test_linked_pictures_and_folders_count(self, pets: Path, tmp_path: Path) -> None:
        outside = class_folders(tmp_path / "outside", {"bird": 4})
        (pets / "bird").symlink_to(outside / "bird")
        (pets / "cat" / "link.png").symlink_to(outside / "bird" / "0.png")
        data = index(pets)
        assert data.classes == ["bird", "cat", "dog"]
        assert data.counts(data.train + data.val) == [4, 6, 10]

    def test_loops_are_not_followed(self, pets: Path) -> None:
        (pets / "cat" / "up").symlink_to(pets)
        (pets / "cat" / "self").symlink_to(pets / "cat")
        (pets / "cat" / "knot").symlink_to("knot")
        data = index(pets)
        assert data.counts(data.train + data.val) == [5, 10]


class TestRefused:
    def test_missing(self, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert refusal(pets.parent / "pet") == (
            f'data.path: "{pets.parent}/pet" does not exist; did you mean "pets"?'
        )
        monkeypatch.chdir(pets)
        assert refusal(Path("no/such")) == (
            f'data.path: "no/such" does not exist (looked for {pets}/no/such); '
            "give the folder that holds the pictures"
        )
        assert "does not exist" in refusal(Path("~nobody-of-that-name/pets"))

    def test_odd_paths(self, tmp_path: Path) -> None:
        assert "can't be opened" in refusal(Path("x" * 5000))
        assert "can't be opened" in refusal(Path("a\0b"))

    def test_a_file(self, pets: Path) -> None:
        assert "is a file" in refusal(pets / "cat" / "0.png")

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        assert "holds no folders" in refusal(tmp_path)

    def test_pictures_without_class_folders(self, tmp_path: Path) -> None:
        noisy(1).save(tmp_path / "a.png")
        assert "holds pictures but no class folders" in refusal(tmp_path)

    def test_folders_without_pictures(self, tmp_path: Path) -> None:
        (tmp_path / "cat").mkdir()
        (tmp_path / "dog").mkdir()
        (tmp_path / "dog" / "a.txt").touch()
        assert "no picture lies in the folders of" in refusal(tmp_path)

    def test_one_class(self, tmp_path: Path) -> None:
        root = class_folders(tmp_path / "a", {"cat": 3})
        assert refusal(root) == (
            f'data.path: "{root}" has one class only, "cat"; a classifier needs at least two '
            "class folders"
        )

    def test_an_empty_class(self, pets: Path) -> None:
        (pets / "bird").mkdir()
        assert refusal(pets) == (
            f'data.path: class folder "{pets}/bird" holds no picture; add pictures or remove it'
        )

    def test_a_class_of_broken_pictures(self, pets: Path) -> None:
        for name in ("bird", "birds"):
            (pets / name).mkdir()
        (pets / "bird" / "a.png").write_text("x")
        (pets / "birds" / "a.png").touch()
        assert refusal(pets) == (
            f'data.path: class folder "{pets}/bird" holds no usable picture (1 skipped), the first '
            "because: not a picture; add pictures or remove it"
        )

    def test_too_few_to_validate_on(self, tmp_path: Path) -> None:
        root = class_folders(tmp_path / "a", {"cat": 1, "dog": 1})
        assert "only one usable picture" in refusal(root)


def test_many_files_tell_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_BATCH", 4)
    root = class_folders(tmp_path / "a", {"cat": 5, "dog": 5})
    told: list[str] = []
    index_folder(DataConfig(path=str(root)), told.append)
    assert told == [
        f"listing the pictures of {root}",
        f"checked 4 of 10 pictures of {root}",
        f"checked 8 of 10 pictures of {root}",
    ]
