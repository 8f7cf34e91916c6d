"""PNG, JPEG, GIF and their like: pixels as Pillow and imagecodecs decode them."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import skimage.data
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

import xomezarr
from xomezarr import convert, open_image
from xomezarr.cli import main
from xomezarr.errors import LabelError, MissingDependencyError, OmeZarrError, OmeZarrWarning

SKIMAGE = Path(skimage.data.__file__).parent


def colours(*shape: int, dtype: str = "uint8") -> NDArray[Any]:
    highest = np.iinfo(dtype).max
    made: NDArray[Any] = np.random.default_rng(0).integers(0, highest, shape, dtype, endpoint=True)
    return made


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


def test_real_pictures_that_scikit_image_ships() -> None:
    cell = open_image(SKIMAGE / "cell.png")
    assert (cell.dims, cell.name) == (("y", "x"), "cell")
    np.testing.assert_array_equal(cell.values, np.asarray(PIL.Image.open(SKIMAGE / "cell.png")))
    astronaut = open_image(SKIMAGE / "astronaut.png")
    assert astronaut.dims == ("y", "x", "c")
    assert astronaut.c.values.tolist() == ["red", "green", "blue"]
    np.testing.assert_array_equal(astronaut.values, skimage.data.astronaut())


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "gif", "jpg"])
@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3)])
def test_c3_each_format_decodes_as_pillow_does(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    path = save(tmp_path / f"a.{suffix}", colours(*shape))
    judge = PIL.Image.open(path)
    judge = judge if judge.mode in ("L", "RGB") else judge.convert("RGB")
    image = open_image(path)
    assert image.dims == ("y", "x", "c")[: np.asarray(judge).ndim]
    np.testing.assert_array_equal(image.values, np.asarray(judge))


@pytest.mark.parametrize(
    ("mode", "dtype", "names"),
    [
        ("1", "bool", None),
        ("I;16", "uint16", None),
        ("LA", "uint8", ["grey", "alpha"]),
        ("RGBA", "uint8", ["red", "green", "blue", "alpha"]),
        ("P", "uint8", ["red", "green", "blue"]),
    ],
)
def test_modes_of_pixels(tmp_path: Path, mode: str, dtype: str, names: list[str] | None) -> None:
    picture = (
        PIL.Image.fromarray(colours(12, 9, dtype="uint16"))
        if mode == "I;16"
        else PIL.Image.fromarray(colours(12, 9, 3))
    )
    picture = picture if picture.mode == mode else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    assert image.dtype == np.dtype(dtype)
    assert (image.c.values.tolist() if names else None) == names
    np.testing.assert_array_equal(image.values, np.asarray(picture.convert("RGB") if mode == "P" else picture))


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(colours(12, 9, 3)).convert("P")
    picture.save(tmp_path / "a.png", transparency=3)
    image = open_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.values, np.asarray(PIL.Image.open(tmp_path / "a.png").convert("RGBA")))


def png_of_bits(pixels: NDArray[np.uint8], bits: int, transparent: int | None = None) -> bytes:
    """Return a grey PNG whose pixels have so few bits; Pillow writes none."""
    rows = (np.unpackbits(row[:, np.newaxis], axis=1)[:, 8 - bits :].ravel() for row in pixels)
    packed = zlib.compress(b"".join(b"\0" + np.packbits(row).tobytes() for row in rows))
    height, width = pixels.shape
    parts = {b"IHDR": struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)}
    parts |= {} if transparent is None else {b"tRNS": struct.pack(">H", transparent)}
    found = b"\x89PNG\r\n\x1a\n"
    for kind, content in (parts | {b"IDAT": packed, b"IEND": b""}).items():
        found += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return found


@pytest.mark.parametrize("bits", [2, 4])
def test_c3_values_of_few_bits_are_those_of_the_file(tmp_path: Path, bits: int) -> None:
    """Pillow multiplies them, so that the brightest is 255: labels would be others."""
    pixels = np.random.default_rng(0).integers(0, 2**bits, (9, 13), dtype="uint8")
    (tmp_path / "a.png").write_bytes(png_of_bits(pixels, bits))
    assert (np.asarray(PIL.Image.open(tmp_path / "a.png")) != pixels).any()
    np.testing.assert_array_equal(open_image(tmp_path / "a.png").values, pixels)
    (tmp_path / "b.png").write_bytes(png_of_bits(pixels, bits, transparent=1))
    seen: Any = open_image(tmp_path / "b.png")
    np.testing.assert_array_equal(seen.isel(c=0).values, pixels)
    np.testing.assert_array_equal(seen.isel(c=1).values, np.where(pixels == 1, 0, 255))


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_c3_colours_of_16_bits_are_not_cut_to_8(tmp_path: Path, samples: int, without: Callable[[str], None]) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    pixels = colours(12, 9, samples, dtype="uint16")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    image = open_image(tmp_path / "a.png")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image.values, pixels)
    without("imagecodecs")
    with pytest.raises(MissingDependencyError, match=r'colours of 16 bits.*pip install "xomezarr\[io\]"'):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_moving_pictures_are_read_frame_by_frame_in_any_order(tmp_path: Path, suffix: str) -> None:
    frames = [PIL.Image.fromarray(colours(20, 30, 3) // (index + 1)) for index in range(5)]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == "webp" else {}))
    judge, expected = PIL.Image.open(path), []
    for index in range(5):
        judge.seek(index)
        expected.append(np.asarray(judge.convert("RGB")))
    image = open_image(path)
    assert image.dims == ("t", "y", "x", "c")
    np.testing.assert_array_equal(image[3].values, expected[3])
    np.testing.assert_array_equal(image[1, ::2, 5].values, expected[1][::2, 5])
    np.testing.assert_array_equal(image[::-2].values, np.stack(expected[::-2]))
    assert image[2:2].values.shape == (0, 20, 30, 3)
    again = pickle.loads(pickle.dumps(image))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(np.asarray, [again[index % 5] for index in range(20)]))
    for index, frame in enumerate(found):
        np.testing.assert_array_equal(frame, expected[index % 5])


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_convert_a_photo(tmp_path: Path, version: str) -> None:
    store = tmp_path / "a.ome.zarr"
    assert main(["convert", str(SKIMAGE / "astronaut.png"), str(store), "--version", version]) == 0
    tree: Any = xr.open_datatree(store, engine="omezarr")
    assert tree.omezarr.validate().valid
    assert [channel.color for channel in tree.omezarr.channels] == ["FF0000", "00FF00", "0000FF"]
    np.testing.assert_array_equal(tree.omezarr.level(0).values, skimage.data.astronaut())


def test_labels_in_a_picture(tmp_path: Path) -> None:
    save(tmp_path / "mask.png", (skimage.data.astronaut()[..., 0] > 100).astype("uint8"))
    tree: Any = convert(SKIMAGE / "astronaut.png", tmp_path / "a.ome.zarr", labels={"mask": tmp_path / "mask.png"})
    mask = tree.omezarr.labels["mask"].omezarr.level(0)
    np.testing.assert_array_equal(mask.values, skimage.data.astronaut()[..., 0] > 100)


def test_c7_colours_are_no_labels(tmp_path: Path) -> None:
    numbers = PIL.Image.fromarray(colours(12, 9) % 5).convert("P")
    numbers.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    numbers.save(tmp_path / "mask.png")
    save(tmp_path / "a.png", colours(12, 9, 3))
    with pytest.raises(LabelError, match=r"holds colours, .*of a palette, give the numbers: labels=\{'mask': "):
        convert(tmp_path / "a.png", tmp_path / "a.ome.zarr", labels={"mask": tmp_path / "mask.png"})
    assert not (tmp_path / "a.ome.zarr").exists()


def test_grey_frames_stay_grey(tmp_path: Path) -> None:
    ramp = np.arange(512, dtype="uint16").astype("uint8").reshape(16, 32)  # all 256, so that GIF needs no palette
    grey = [PIL.Image.fromarray(np.roll(ramp, index)) for index in range(3)]
    grey[0].save(tmp_path / "a.gif", save_all=True, append_images=grey[1:])
    image = open_image(tmp_path / "a.gif")
    assert image.dims == ("t", "y", "x")
    np.testing.assert_array_equal(image.values, np.stack([np.asarray(frame) for frame in grey]))


def test_a_photo_with_a_preview_is_one_picture(tmp_path: Path) -> None:
    photo, preview = (PIL.Image.fromarray(colours(*size, 3)) for size in ((40, 50), (8, 10)))
    photo.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview])
    image = open_image(tmp_path / "a.jpg")
    assert image.sizes == {"y": 40, "x": 50, "c": 3}
    np.testing.assert_array_equal(image.values, np.asarray(PIL.Image.open(tmp_path / "a.jpg")))


def test_dims_are_those_of_the_user(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", colours(4, 5, 3))
    assert open_image(path, dims=("row", "column", "sample")).dims == ("row", "column", "sample")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_c7_damaged_pictures_are_named(tmp_path: Path, suffix: str) -> None:
    whole = save(tmp_path / f"a.{suffix}", colours(400, 300, 3)).read_bytes()
    for length in (12, len(whole) // 2):
        (tmp_path / f"b.{suffix}").write_bytes(whole[:length])
        with pytest.raises(OmeZarrError, match=rf"b\.{suffix}"):
            open_image(tmp_path / f"b.{suffix}").load()


def test_c7_pictures_that_pillow_takes_for_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", colours(40, 30))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(OmeZarrError, match=r"larger than what Pillow takes .*PIL\.Image\.MAX_IMAGE_PIXELS = None"):
        open_image(path)


def test_a_png_keeps_its_pixel_size(tmp_path: Path) -> None:
    da: Any = xr.DataArray(np.zeros((6, 9), "u1"), dims=("y", "x"))
    da = da.omezarr.assign_grid(scale={"y": 0.325, "x": 0.25}, units="um")
    found: Any = open_image(xomezarr.export(da, tmp_path / "a.png"))
    assert found.omezarr.scale["x"] == pytest.approx(0.25, rel=1e-5)
    assert found.omezarr.scale["y"] == pytest.approx(0.325, rel=1e-5)
    Image.fromarray(np.zeros((6, 9), "u1")).save(tmp_path / "print.png", dpi=(300, 300))
    assert "x" not in open_image(tmp_path / "print.png").coords


def test_a_picture_that_is_to_be_turned_is_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((6, 9, 3), "u1")).save(tmp_path / "a.jpg", exif=exif)
    with pytest.warns(OmeZarrWarning, match="is to be turned when .* read as it is stored.*exif_transpose"):
        assert open_image(tmp_path / "a.jpg").sizes["y"] == 6


@pytest.mark.parametrize(("mode", "transparent"), [("L", 5), ("RGB", (5, 5, 5))])
def test_a_colour_that_is_seen_through_is_kept(tmp_path: Path, mode: str, transparent: Any) -> None:
    pixels = np.full((4, 5, 3) if mode == "RGB" else (4, 5), 9, "u1")
    pixels[1, 2] = 5
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=transparent)
    image = open_image(tmp_path / "a.png")
    alpha = image.sel(c="alpha").values
    assert alpha[1, 2] == 0
    assert (alpha == 0).sum() == 1


def test_inks_of_a_print_are_told(tmp_path: Path) -> None:
    PIL.Image.fromarray(colours(12, 9, 3)).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.warns(OmeZarrWarning, match=r"inks of a print \(CMYK\).*red, green and blue that Pillow makes") as told:
        image = open_image(tmp_path / "a.jpg")
    np.testing.assert_array_equal(image.values, np.asarray(PIL.Image.open(tmp_path / "a.jpg").convert("RGB")))
    cure = str(told[0].message).rpartition("for the inks, ")[2]
    assert eval(cure, {"numpy": np, "PIL": PIL}).shape == (12, 9, 4)


def test_a_deep_colour_that_is_seen_through_has_a_sample_more(tmp_path: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    pixels = colours(7, 9, 3, dtype="uint16")
    whole = imagecodecs.png_encode(pixels)
    seen = struct.pack(">HHH", *pixels[0, 0])
    chunk = struct.pack(">I", 6) + b"tRNS" + seen + struct.pack(">I", zlib.crc32(b"tRNS" + seen))
    place = whole.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(whole[:place] + chunk + whole[place:])
    image = open_image(tmp_path / "a.png")
    assert image.shape == image.values.shape == (7, 9, 4)
    np.testing.assert_array_equal(image.values[..., :3], pixels)
    assert image.values[0, 0, 3] == 0


def test_a_grey_value_that_is_seen_through_is_told_where_it_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of_bits(np.eye(8, dtype="uint8"), 1, transparent=1))
    with pytest.warns(OmeZarrWarning, match="grey value that is to be seen through, which is left out"):
        image = open_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.values, np.eye(8, dtype=bool))
