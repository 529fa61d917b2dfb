"""Tables and folders of texts: what is read, split, skipped and refused."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.contract.config import Config, DataConfig, ModelConfig, TextConfig
from engine.contract.errors import UserError
from engine.data.texts import TextIndex, index_texts

ROWS = [(f"text {n}", "ab"[n % 2]) for n in range(20)]


def indexed(path: Path, **text: str) -> TextIndex:
    config = Config("text-classification", ModelConfig("hf/a/b"), DataConfig(str(path)))
    return index_texts(replace(config, text=TextConfig(**text)), lambda _: None)


def separated(rows: list[tuple[str, str]], mark: str = ",", header: str = "text,label") -> str:
    lines = [header.replace(",", mark), *(f'"{text}"{mark}{label}' for text, label in rows)]
    return "\n".join(lines)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def pairs(index: TextIndex) -> list[tuple[str, str]]:
    both = (*index.train, *index.val)
    return sorted((sample.text, index.classes[sample.label]) for sample in both)


def parts(index: TextIndex) -> list[list[tuple[str, int]]]:
    """What both parts hold, wherever it stood."""
    return [[(x.text, x.label) for x in part] for part in (index.train, index.val)]


def test_every_format_gives_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", separated(ROWS))
    write(tmp_path / "a.tsv", separated(ROWS, "\t"))
    lines = [json.dumps({"id": 1, "text": text, "label": label}) for text, label in ROWS]
    write(tmp_path / "a.jsonl", "\n".join(lines))
    for number, (text, label) in enumerate(ROWS):
        write(tmp_path / "folders" / label / f"{number:02}.txt", text)
    indices = [indexed(tmp_path / name) for name in ("a.csv", "a.tsv", "a.jsonl")]
    assert pairs(indices[0]) == sorted(ROWS)
    assert all(parts(index) == parts(indices[0]) for index in indices)
    folders = indexed(tmp_path / "folders")
    assert sorted(parts(folders)[1]) == sorted(parts(indices[0])[1])
    assert len(folders.val) == 4


@pytest.mark.parametrize("val", ["val", "valid", "validation", "test"])
def test_files_of_their_own_are_not_split(tmp_path: Path, val: str) -> None:
    write(tmp_path / "train.csv", separated(ROWS[:14]))
    write(tmp_path / f"{val}.csv", separated(ROWS[14:]))
    index = indexed(tmp_path)
    assert [sample.text for sample in index.train] == [text for text, _ in ROWS[:14]]
    assert [sample.text for sample in index.val] == [text for text, _ in ROWS[14:]]
    told = index.told()
    assert (told.train_counts, told.val_counts) == ([7, 7], [3, 3])
    assert told.baseline
    assert (told.baseline.figure, told.baseline.value) == ("accuracy", 0.5)


def test_equal_texts_stay_on_one_side(tmp_path: Path) -> None:
    index = indexed(write(tmp_path / "a.csv", separated(ROWS * 3)))
    assert not {sample.text for sample in index.train} & {sample.text for sample in index.val}
    assert len(index.train) + len(index.val) == 60


def test_columns_by_name_and_labels_that_are_numbers(tmp_path: Path) -> None:
    lines = [json.dumps({"review": text, "stars": n % 11}) for n, (text, _) in enumerate(ROWS)]
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    index = indexed(path, text_column="review", label_column="stars")
    assert index.classes == [str(n) for n in range(11)]


def test_lines_in_quotes_and_a_byte_order_mark(tmp_path: Path) -> None:
    rows = [("one\ntwo, three", "a"), *ROWS]
    index = indexed(write(tmp_path / "a.csv", b"\xef\xbb\xbf" + separated(rows).encode()))
    assert pairs(index) == sorted(rows)


def test_rows_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    good = separated(ROWS).encode()
    path = write(tmp_path / "a.csv", good + b'\n"  ",a\nf\xe4llt,a\nno label,\nshort')
    index = indexed(path)
    assert [(file.path, file.reason) for file in index.skipped] == [
        (f"{path}:22", "has no text"),
        (f"{path}:23", "is not UTF-8"),
        (f"{path}:24", "has no label"),
        (f"{path}:25", "has no label"),
    ]
    assert pairs(index) == sorted(ROWS)
    lines = "\n".join(json.dumps({"text": text, "label": label}) for text, label in ROWS)
    index = indexed(write(tmp_path / "a.jsonl", f"{lines}\n[1]\n{{\n"))
    assert [file.reason for file in index.skipped] == ["is no JSON object"] * 2


def test_a_label_that_occurs_once_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", separated([*ROWS, ("odd", "c")]))
    (remark,) = indexed(path).remarks
    assert f'"c" at {path}:22' in remark
    assert not indexed(write(tmp_path / "b.csv", separated(ROWS))).remarks


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (separated(ROWS, header="texts,label"), r'no column "text".*; it has texts, label'),
        (separated([]), "holds no usable text"),
        ("", "holds no usable text; add some"),
        (separated([("x", "a"), ("y", "a")]), "need"),
        (separated([(text, text) for text, _ in ROWS]), "every label .* occurs once"),
    ],
)
def test_what_is_no_data_set_is_said(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        indexed(write(tmp_path / "a.csv", content))


def test_another_encoding_is_to_be_converted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\ncafé,a\nthé,b\n".encode("latin1"))
    words = r"\(2 skipped: is not UTF-8\); convert it, such as with iconv -f latin1 -t utf-8\."
    with pytest.raises(UserError, match=words):
        indexed(path)


def test_folders_that_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        indexed(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no table .* and no folders"):
        indexed(tmp_path)
    write(tmp_path / "data.csv", separated(ROWS))
    with pytest.raises(UserError, match=r"data\.csv but no train\.csv"):
        indexed(tmp_path)
    write(tmp_path / "train.csv", separated(ROWS))
    write(tmp_path / "val.csv", separated([("x", "aa")]))
    with pytest.raises(UserError, match='"aa" is in the validation part'):
        indexed(tmp_path)
    with pytest.raises(UserError, match="no table of texts"):
        indexed(write(tmp_path / "a.xlsx", "x"))
