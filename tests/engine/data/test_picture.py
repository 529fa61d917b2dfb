"""Every kind of file, read as a person would see it, or refused with a reason."""

import contextlib
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from engine.data import picture
from engine.data.picture import Unreadable, check, read
from tests.engine.data.pictures import cut, gradient, pixels, png_header

pytestmark = pytest.mark.filterwarnings("ignore")  # pytest drops the filters that `picture` set

RAMP = np.linspace(0, 1, 256)[None].repeat(4, 0)  # 256 wide: one grey level a column


def assert_full_ramp(image: Image.Image) -> None:
    """Black on the left to white on the right, every level in between."""
    assert image.mode == "RGB"
    assert np.abs(pixels(image)[0, :, 0] - np.arange(256)).max() <= 1


def reason(path: Path) -> str:
    with pytest.raises(Unreadable) as error:
        read(path)
    return error.value.reason


class TestDeepGrey:
    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_16_bits_keep_their_range(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        Image.fromarray((RAMP * 65535).astype(np.uint16)).save(path)
        assert_full_ramp(read(path))

    def test_a_dim_16_bit_picture_stays_dim(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        Image.fromarray((RAMP * 20000).astype(np.uint16)).save(path)
        assert read(path).getextrema()[0] == (0, 78)

    def test_big_endian_tiff(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        image = Image.frombytes("I;16B", (256, 4), (RAMP * 65535).astype(">u2").tobytes())
        image.save(path)
        with Image.open(path) as saved:
            assert saved.mode == "I;16B"
        assert_full_ramp(read(path))

    def test_16_bit_pgm(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pgm"
        path.write_bytes(b"P5 256 4 65535\n" + (RAMP * 65535).astype(">u2").tobytes())
        assert_full_ramp(read(path))

    def test_12_bits_and_white_is_zero_by_their_tiff_tags(self, tmp_path: Path) -> None:
        twelve, inverted = tmp_path / "12.tif", tmp_path / "inverted.tif"
        values = (RAMP * 65535).astype(np.uint16)
        Image.fromarray(65535 - values).save(inverted, tiffinfo={262: 0})
        assert_full_ramp(read(inverted))
        packed = np.zeros((4, 384), np.uint8)  # two 12-bit values in three bytes
        ramp = (RAMP * 4095).astype(np.uint16)
        first, second = ramp[:, ::2], ramp[:, 1::2]
        packed[:, 0::3] = first >> 4
        packed[:, 1::3] = (first & 15) << 4 | second >> 8
        packed[:, 2::3] = second & 255
        write_tiff(twelve, 256, 4, bits=12, data=packed.tobytes())
        with Image.open(twelve) as saved:
            assert saved.mode == "I;16"
        assert_full_ramp(read(twelve))

    @pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
    def test_floats_in_a_usual_range(self, tmp_path: Path, top: float) -> None:
        path = tmp_path / "a.tif"
        Image.fromarray((RAMP * top).astype(np.float32)).save(path)
        assert_full_ramp(read(path))

    def test_other_floats_are_stretched(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        values = (RAMP * 300 - 100).astype(np.float32)
        values[1, 0], values[2, 0] = np.nan, np.inf
        Image.fromarray(values).save(path)
        assert_full_ramp(read(path))

    def test_a_flat_float_picture(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        Image.fromarray(np.full((4, 4), -7, np.float32)).save(path)
        assert read(path).getpixel((0, 0)) == (0, 0, 0)

    @pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 65535), (-5000, 2**30)])
    def test_32_bit_integers(self, tmp_path: Path, low: int, high: int) -> None:
        path = tmp_path / "a.tif"
        Image.fromarray((RAMP * (high - low) + low).astype(np.int32)).save(path)
        assert_full_ramp(read(path))

    def test_deep_and_turned(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray((RAMP[:, ::-1] * 65535).astype(np.uint16)).save(path, exif=exif)
        assert_full_ramp(read(path))


def write_tiff(path: Path, width: int, height: int, bits: int, data: bytes) -> None:
    """A bare little-endian grey TIFF of one strip: Pillow can't write 12 bits."""
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 122, 277: 1, 278: height}
    tags[279] = len(data)
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0" + value.to_bytes(4, "little")
        for tag, value in tags.items()
    )
    header = b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + entries + bytes(4)
    assert len(header) == 122
    path.write_bytes(header + data)


class TestColour:
    @pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".webp"])
    def test_rgb_as_it_is(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        gradient().save(path, **({"lossless": True} if suffix == ".webp" else {}))
        assert np.array_equal(pixels(read(path)), pixels(gradient()))

    @pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "CMYK", "LAB"])
    def test_other_modes(self, tmp_path: Path, mode: str) -> None:
        path = tmp_path / "a.tif"
        source = gradient().convert("L").convert("RGB") if mode == "L" else gradient()
        if mode == "LAB":
            srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
            image = ImageCms.profileToProfile(source, srgb, lab, outputMode="LAB")
        else:
            image = source.convert(mode)
        assert image is not None
        image.save(path)
        seen = read(path)
        assert seen.mode == "RGB"
        expected = image.convert("RGB") if mode in ("1", "P") else source
        difference = np.abs(pixels(seen) - pixels(expected))
        assert difference.mean() < (2 if mode in ("YCbCr", "CMYK", "LAB") else 1e-9)

    def test_cmyk_jpeg_is_not_a_negative(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        gradient().convert("CMYK").save(path, quality=95)
        assert b"Adobe" in path.read_bytes()[:100]  # inverted values, as Photoshop writes them
        assert np.abs(pixels(read(path)) - pixels(gradient())).mean() < 3

    def test_16_bit_rgb_png(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        png_header(path, 256, 4)
        ramp = (RAMP * 65535).astype(">u2")[..., None].repeat(3, -1)
        rows = b"".join(b"\0" + row.tobytes() for row in ramp)
        body = zlib.compress(rows)
        chunks = [(b"IHDR", b"\0\0\x01\0\0\0\0\x04\x10\x02\0\0\0"), (b"IDAT", body), (b"IEND", b"")]
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + b"".join(
                len(data).to_bytes(4, "big")
                + kind
                + data
                + zlib.crc32(kind + data).to_bytes(4, "big")
                for kind, data in chunks
            )
        )
        assert_full_ramp(read(path))


class TestTransparency:
    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_alpha_lies_over_white(self, tmp_path: Path, mode: str) -> None:
        path = tmp_path / "a.png"
        image = Image.new("RGBA", (4, 1), (0, 0, 0, 255))
        image.putpixel((1, 0), (0, 0, 0, 0))
        image.putpixel((2, 0), (0, 0, 0, 128))
        image.convert(mode).save(path)
        assert [p[0] for p in pixels(read(path))[0]] == [0, 255, 127, 0]

    @pytest.mark.parametrize("transparency", [1, b"\xff\x00\x80"])
    def test_palette(self, tmp_path: Path, transparency: int | bytes) -> None:
        path = tmp_path / "a.png"
        image = Image.new("P", (3, 1))
        image.putpalette([200, 0, 0, 0, 0, 0, 0, 0, 0])
        image.putdata([0, 1, 2])
        image.save(path, transparency=transparency)
        seen = pixels(read(path))[0].tolist()
        assert seen[:2] == [[200, 0, 0], [255, 255, 255]]
        assert seen[2] == ([0, 0, 0] if transparency == 1 else [127, 127, 127])

    @pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7)), ("1", 0)])
    def test_a_colour_that_means_transparent(self, tmp_path: Path, mode: str, key: object) -> None:
        path = tmp_path / "a.png"
        Image.new(mode, (2, 2), key).save(path, transparency=key)
        assert read(path).getpixel((0, 0)) == (255, 255, 255)

    def test_gif(self, tmp_path: Path) -> None:
        path = tmp_path / "a.gif"
        image = Image.new("P", (2, 1))
        image.putpalette([10, 20, 30, 0, 0, 0])
        image.putdata([0, 1])
        image.save(path, transparency=1)
        assert pixels(read(path))[0].tolist() == [[10, 20, 30], [255, 255, 255]]


class TestOrientation:
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_all_eight_stand_upright(self, tmp_path: Path, suffix: str, orientation: int) -> None:
        path = tmp_path / f"a{suffix}"
        undo = {6: 8, 8: 6}.get(orientation, orientation)
        turn = picture._UPRIGHT.get(undo)
        stored = gradient().transpose(turn) if turn is not None else gradient()
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(path, exif=exif)
        seen = read(path)
        assert seen.size == gradient().size
        assert np.abs(pixels(seen) - pixels(gradient())).mean() < 4

    def test_the_known_corner(self, tmp_path: Path) -> None:
        """Orientation 6, by hand: the stored top left is seen at the top right."""
        path = tmp_path / "a.png"
        image = Image.new("RGB", (3, 2))
        image.putpixel((0, 0), (255, 0, 0))
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
        seen = read(path)
        assert seen.size == (2, 3)
        assert seen.getpixel((1, 0)) == (255, 0, 0)

    @pytest.mark.parametrize("exif", [b"Exif\0\0garbage garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
    def test_broken_exif_is_passed_over(self, tmp_path: Path, exif: bytes) -> None:
        path = tmp_path / "a.jpg"
        gradient().save(path, exif=exif)
        assert read(path).size == gradient().size


class TestAnimation:
    @pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
    def test_first_frame(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
        frames[0].save(path, save_all=True, append_images=frames[1:])
        red, green, blue = read(path).getpixel((4, 4))
        assert red > 240
        assert max(green, blue) < 15


class TestDraft:
    def test_a_big_jpeg_is_decoded_smaller_but_not_too_small(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        gradient(2000, 1500).save(path)
        assert read(path).size == (2000, 1500)
        assert read(path, at_least=300).size == (500, 375)
        assert read(path, at_least=1000).size == (2000, 1500)
        small = gradient(2000, 1500).resize((500, 375))
        assert np.abs(pixels(read(path, at_least=300)) - pixels(small)).mean() < 3

    def test_turned_as_well(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        exif = Image.Exif()
        exif[0x0112] = 6
        gradient(1600, 1200).save(path, exif=exif)
        assert read(path, at_least=300).size == (300, 400)


class TestRefused:
    def test_empty(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        path.touch()
        with pytest.raises(Unreadable, match="empty file"):
            check(path)
        assert reason(path) == "not a picture"

    def test_text_named_jpg(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        path.write_text("<html>404 not found</html>")
        assert reason(path) == "not a picture"
        with pytest.raises(Unreadable, match="not a picture"):
            check(path)

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".gif"])
    @pytest.mark.parametrize("share", [0.3, 0.9])
    def test_cut_short(self, tmp_path: Path, suffix: str, share: float) -> None:
        path = tmp_path / f"a{suffix}"
        rng = np.random.default_rng(0)
        Image.fromarray(rng.integers(0, 256, (99, 99, 3), dtype=np.uint8)).save(path)
        cut(path, share)
        assert reason(path)
        if suffix in (".jpg", ".png"):
            check(path)  # the header is fine: only decoding tells
            assert reason(path) == "cut short: the file ends before the picture does"

    def test_flipped_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        gradient().save(path)
        data = bytearray(path.read_bytes())
        data[60:80] = bytes(20)
        path.write_bytes(data)
        assert reason(path).startswith("broken picture: ")

    @pytest.mark.parametrize("side", [60_000, 12_000])
    def test_gigantic_before_it_is_decoded(self, tmp_path: Path, side: int) -> None:
        path = tmp_path / "a.png"
        png_header(path, side, side)
        assert reason(path) == "gigantic: more than 100 megapixels"
        with pytest.raises(Unreadable, match="gigantic"):
            check(path)

    def test_below_the_limit_the_header_is_taken_at_its_word(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        png_header(path, 100, 100)
        check(path)
        assert reason(path).startswith(("cut short", "broken picture"))

    def test_no_file_and_no_plain_file(self, tmp_path: Path) -> None:
        assert reason(tmp_path / "a.jpg") == "can't be read: no such file or directory"
        os.mkfifo(tmp_path / "b.jpg")
        with pytest.raises(Unreadable, match="not a file"):
            check(tmp_path / "b.jpg")

    def test_postscript_is_not_run(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
        assert reason(path) == "not a picture"

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".tif", ".webp", ".bmp"])
    def test_any_damage_gives_a_picture_or_a_reason(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        exif = Image.Exif()
        exif[0x0112] = 6
        gradient().save(path, **({} if suffix in (".gif", ".bmp") else {"exif": exif}))
        whole = path.read_bytes()
        rng = np.random.default_rng(1)
        for _ in range(150):
            data = bytearray(whole)
            for position in rng.integers(0, min(len(data), 400), 4):
                data[position] = rng.integers(256)
            path.write_bytes(data)
            with contextlib.suppress(Unreadable):
                assert read(path).mode == "RGB"


def test_nothing_global_changes_and_nothing_is_printed(tmp_path: Path) -> None:
    """In a fresh interpreter: pytest sets its own warning filters."""
    bomb = tmp_path / "a.png"
    png_header(bomb, 9_800, 9_800)  # Pillow warns from 89 megapixels on
    broken = tmp_path / "b.jpg"
    gradient().save(broken, exif=b"Exif\0\0garbage garbage")
    script = (
        "import runpy, sys; from pathlib import Path\n"
        "picture = runpy.run_path(sys.argv[1])\n"
        "picture['check'](Path(sys.argv[2])); picture['read'](Path(sys.argv[3]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, picture.__file__, bomb, broken],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout + done.stderr == ""
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
