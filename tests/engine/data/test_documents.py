"""Where texts come from, how they are split, and what is said of bad ones."""

from pathlib import Path

import pytest

from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.events import FileSkipped
from engine.data.documents import read_documents


def read(path: Path) -> tuple[list[str], list[str], list[FileSkipped]]:
    """The texts of the two parts, and what was skipped."""
    config = Config("causal-lm", ModelConfig("hf/any"), DataConfig(str(path), val_fraction=0.2))
    found = read_documents(config, lambda _: None)
    train, val = ([document.text for document in part] for part in (found.train, found.val))
    return train, val, found.skipped


def test_of_one_file_the_end_is_held_out_from_a_line_on(tmp_path: Path) -> None:
    file = tmp_path / "all.txt"
    file.write_text("".join(f"line {i:02}\n" for i in range(100)))
    train, val, _ = read(file)
    assert train[0] + val[0] == file.read_text()
    assert val[0].startswith("line 80\n")


def test_of_many_documents_whole_ones_are_held_out(tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text("".join(f'{{"text": "document {i}"}}\n\n' for i in range(20)))
    train, val, _ = read(file)
    assert (len(train), len(val)) == (16, 4)
    assert {*train, *val} == {f"document {i}" for i in range(20)}
    assert read(file) == (train, val, [])


@pytest.mark.parametrize("kind", ["folders", "files"])
def test_train_and_val_are_taken_as_they_are(tmp_path: Path, kind: str) -> None:
    for part in ("train", "val"):
        file = tmp_path / (f"{part}/a.md" if kind == "folders" else f"{part}.txt")
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"of {part}")
    assert read(tmp_path) == (["of train"], ["of val"], [])


def test_a_column_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text('id,text\n1,"two\nlines"\n2,  \n3,last\n')
    (tmp_path / "val.tsv").write_text("text\tid\nof val\t1\n")
    assert read(tmp_path) == (["two\nlines", "last"], ["of val"], [])


def test_files_without_a_word_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("something that is said")
    (tmp_path / "b.txt").write_text(" \n")
    (tmp_path / ".hidden.txt").write_text("hidden")
    train, val, skipped = read(tmp_path)
    assert train[0] + val[0] == "something that is said"
    assert [(Path(x.path).name, x.reason) for x in skipped] == [("b.txt", "holds no text")]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"", '/a.txt" is empty; give'),
        ("a.txt", b"fine\nnot \xff fine", "byte 9 (line 2) can't be decoded"),
        ("a.jsonl", b'{"text": "x"}\n\n{"text": \n', "line 3 of"),
        ("a.jsonl", b"[1]\n", "is no JSON object"),
        ("a.jsonl", b'{"body": "x", "id": 1}\n', 'a column "text"; its columns are "body", "id".'),
        ("a.csv", b"body\nx\n", 'its columns are "body".'),
        ("sub/a.png", b"", "holds no file of text"),
        ("train.txt", b"x", "has train but no val"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(tmp_path if name in ("sub/a.png", "train.txt") else file)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text("x")
    with pytest.raises(UserError, match="did you mean"):
        read(tmp_path / "novle.txt")
