"""What masks hold, read exactly."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.contract.errors import UserError
from engine.data import masks, picture
from engine.data.masks import IGNORED


def classes(folder: Path, text: str, name: str = "classes.csv") -> masks.Coding:
    (folder / name).write_text(text)
    found = masks.class_file(folder, 255)
    assert found is not None
    return found


def grey_png(path: Path, bits: int, rows: list[list[int]]) -> None:
    """A PNG of grey values of fewer than 8 bits, which Pillow can't write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    lines = b""
    for row in rows:
        text = "".join(f"{value:0{bits}b}" for value in row)
        lines += b"\0" + int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(
            -(-len(text) // 8)
        )
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        (np.array([[0, 1, 255], [7, 128, 200]], np.uint8), "L"),
        (np.array([[0, 256, 65535], [257, 300, 40000]], np.uint16), "I;16"),
    ],
)
def test_numbers_are_those_of_the_file(values: np.ndarray, mode: str, tmp_path: Path) -> None:
    Image.fromarray(values).save(tmp_path / "mask.png")
    assert Image.open(tmp_path / "mask.png").mode == mode
    found = masks.read(tmp_path / "mask.png", None)
    assert not found.are_colours
    assert found.array.tolist() == values.tolist()


@pytest.mark.parametrize(("bits", "row"), [(1, [0, 1, 1]), (2, [0, 3, 1]), (4, [15, 0, 9])])
def test_grey_of_a_few_bits_is_not_spread_over_256(
    bits: int, row: list[int], tmp_path: Path
) -> None:
    grey_png(tmp_path / "mask.png", bits, [row, row[::-1]])
    assert masks.read(tmp_path / "mask.png", None).array.tolist() == [row, row[::-1]]


def test_a_palette_gives_its_numbers_and_with_a_colour_map_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 0, 0, 0, 20, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "mask.png")
    assert masks.read(tmp_path / "mask.png", None).array.tolist() == [[0, 1]]
    named = classes(tmp_path, "sky,0,20,0\nsea,10,0,0\n")
    read = masks.read(tmp_path / "mask.png", named)
    assert named.decode(read).tolist() == [[1, 0]]


def test_colours_by_the_class_file(tmp_path: Path) -> None:
    named = classes(tmp_path, "name,r,g,b\nroad, 1, 2, 3\ncar,200,0,0\nignore,9,9,9\n")
    assert named.classes == ["road", "car"]
    pixels = np.array([[[1, 2, 3], [200, 0, 0], [9, 9, 9]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    read = masks.read(tmp_path / "mask.png", named)
    assert named.decode(read).tolist() == [[0, 1, IGNORED]]
    pixels[0, 0] = 1, 2, 4
    Image.fromarray(pixels).save(tmp_path / "odd.png")
    with pytest.raises(picture.Unreadable, match=r"the colour 1,2,4, which is not in classes\.csv"):
        named.decode(masks.read(tmp_path / "odd.png", named))


def test_grey_masks_hold_numbers_unless_all_colours_are_grey(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1, 255]], np.uint8)).save(tmp_path / "mask.png")
    by_number = classes(tmp_path, "road,1,2,3\ncar,200,0,0\n")
    assert by_number.decode(masks.read(tmp_path / "mask.png", by_number)).tolist() == [[0, 1, -1]]
    by_colour = classes(tmp_path, "none,0,0,0\nline,1,1,1\ncell,255,255,255\n")
    assert by_colour.decode(masks.read(tmp_path / "mask.png", by_colour)).tolist() == [[0, 1, 2]]


def test_numbers_that_are_far_apart_are_classes_one_after_the_other() -> None:
    coding = masks.numbered({300: 5, 0: 1, 40: 2, 255: 9}, 255)
    assert coding.classes == ["0", "40", "300"]
    values = masks.Values(np.array([[300, 0, 255, 40]]), are_colours=False)
    decoded = coding.decode(values)
    assert (decoded.dtype, decoded.tolist()) == (np.int16, [[2, 0, IGNORED, 1]])
    with pytest.raises(picture.Unreadable, match="it holds 7"):
        coding.decode(masks.Values(np.array([[7]]), are_colours=False))


def test_what_is_no_exact_mask(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "mask.jpg")
    with pytest.raises(picture.Unreadable, match="JPEG"):
        masks.read(tmp_path / "mask.jpg", None)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "mask.png")
    with pytest.raises(picture.Unreadable, match=r"colours, and no classes\.csv"):
        masks.read(tmp_path / "mask.png", None)
    Image.new("RGB", (8, 8), (2, 2, 2)).save(tmp_path / "grey.png")
    assert np.unique(masks.read(tmp_path / "grey.png", None).array).tolist() == [2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\nb,1,2,3\n", "some classes a colour and others none"),
        ("a,1,2,3\nb,1,2\n", 'has the line "b,1,2"'),
        ("a,1,2,3\nb,1,2,256\n", 'has the line "b,1,2,256"'),
        ("a\na\n", 'names the class "a" twice'),
        ("a\n", "names 1 classes"),
    ],
)
def test_a_class_file_that_does_not_fit(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        classes(tmp_path, text, "classes.txt")
    assert words in str(raised.value)


def test_without_a_class_file(tmp_path: Path) -> None:
    assert masks.class_file(tmp_path, 255) is None
