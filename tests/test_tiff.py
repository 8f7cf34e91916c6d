"""TIFFs as microscopes, ImageJ and others write them: what their pixels stand for comes along, or it is told."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.typing import NDArray

from xomezarr import open_image
from xomezarr.errors import MissingDependencyError, OmeZarrError, OmeZarrWarning
from xomezarr.readers import table


def ramp(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.arange(np.prod(shape), dtype=np.int64).reshape(shape).astype(dtype)


def alone(path: Path) -> str:
    """Open a file where imagecodecs is not installed; tifffile looks for it when it is imported."""
    code = f"import sys; sys.modules['imagecodecs'] = None; from xomezarr import open_image; open_image({str(path)!r})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr


# --- values ------------------------------------------------------------------


@pytest.mark.parametrize("bits", [10, 12])
def test_c7_packed_integers_without_their_codec_are_told_at_once(tmp_path: Path, bits: int) -> None:
    """It was the file that was called damaged, and only when its pixels were read."""
    pixels = ramp(50, 70) % 2**bits
    try:
        tifffile.imwrite(tmp_path / "a.tif", pixels, bitspersample=bits)
    except NotImplementedError:
        pytest.skip("this tifffile does not know how this imagecodecs packs integers")
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").values, pixels)
    told = alone(tmp_path / "a.tif")
    assert "MissingDependencyError" in told
    assert f"samples of {bits} bits" in told
    assert 'pip install "xomezarr[io]"' in told
    tifffile.imwrite(tmp_path / "b.tif", pixels > 7)
    assert not alone(tmp_path / "b.tif"), "NumPy unpacks single bits"


def test_c3_values_that_imagej_calibrates_are_told(tmp_path: Path) -> None:
    """So ImageJ keeps signed integers of 16 bits: moved by 32768."""
    said = {"axes": "ZYX", "cf": 0, "c0": -32768.0, "c1": 1.0, "vunit": "gray value"}
    tifffile.imwrite(tmp_path / "a.tif", ramp(2, 4, 5), imagej=True, metadata=said)
    with pytest.warns(OmeZarrWarning, match=r"a\.tif.*value = -32768 \+ 1 · stored.*: image\.astype"):
        image = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.values, ramp(2, 4, 5))
    curved = {"axes": "ZYX", "cf": 3, "c0": 1.0, "c1": 2.0, "vunit": "OD"}
    tifffile.imwrite(tmp_path / "b.tif", ramp(2, 4, 5), imagej=True, metadata=curved)
    with pytest.warns(OmeZarrWarning, match=r"b\.tif.*by a curve \(function 3 of ImageJ.*1, 2.*OD"):
        open_image(tmp_path / "b.tif")
    for plain in ({}, {"cf": 0, "c0": 0.0, "c1": 1.0}):
        tifffile.imwrite(tmp_path / "c.tif", ramp(2, 4, 5), imagej=True, metadata={"axes": "ZYX", **plain})
        with warnings.catch_warnings(action="error"):
            open_image(tmp_path / "c.tif")


@pytest.mark.parametrize(
    ("photometric", "count", "what"),
    [("ycbcr", 3, "brightness and two differences of colour"), ("separated", 4, "inks")],
)
def test_c6_samples_that_are_not_red_green_and_blue_are_told(
    tmp_path: Path, photometric: str, count: int, what: str
) -> None:
    pixels = ramp(16, 16, count, dtype="uint8")
    options: dict[str, Any] = {"subsampling": (1, 1), "compression": "lzw"} if photometric == "ycbcr" else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, **options)
    with pytest.warns(OmeZarrWarning, match=rf"a\.tif.*{what}.*read as they are stored"):
        image = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.values, pixels)
    assert "c" not in image.coords
    assert np.asarray(PIL.Image.open(tmp_path / "a.tif").convert("RGB")).shape == (16, 16, 3)


def test_colours_of_jpeg_are_red_green_and_blue(tmp_path: Path) -> None:
    """They are decoded so, and the file says how they are stored."""
    pixels = np.full((32, 32, 3), (200, 30, 90), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression="jpeg")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages.first.photometric.name == "YCBCR"
    with warnings.catch_warnings(action="error"):
        image = open_image(tmp_path / "a.tif")
    assert image.c.values.tolist() == ["red", "green", "blue"]
    np.testing.assert_allclose(image.values.astype(int), pixels, atol=8)


def test_colours_of_a_kind_that_nobody_knows_are_samples(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5, 3, dtype="uint8"), photometric="rgb")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        tiff.pages.first.tags["PhotometricInterpretation"].overwrite(12345)
    image = open_image(tmp_path / "a.tif")
    assert "c" not in image.coords
    np.testing.assert_array_equal(image.values, ramp(4, 5, 3, dtype="uint8"))


# --- what is elsewhere -------------------------------------------------------

OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:a">{}</OME>'


def test_c6_ome_xml_in_another_file_is_told(tmp_path: Path) -> None:
    text = OME.format('<BinaryOnly MetadataFile="plate.companion.ome" UUID="urn:uuid:b"/>')
    tifffile.imwrite(tmp_path / "a.ome.tif", ramp(4, 5), description=text, metadata=None)
    with pytest.warns(OmeZarrWarning, match=r'a\.ome\.tif.* OME-XML is in "plate\.companion\.ome".*left out.*scale='):
        image = open_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.values, ramp(4, 5))


def test_c6_ome_xml_that_is_broken_is_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", ramp(4, 5), description=OME.format("<Image>"), metadata=None)
    with pytest.warns(OmeZarrWarning, match=r"a\.ome\.tif.* OME-XML that cannot be read.*mismatched tag.*left out"):
        image = open_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.values, ramp(4, 5))


def test_c6_ome_xml_that_does_not_fit_is_told(tmp_path: Path) -> None:
    """tifffile reads the planes as if there were none."""
    sizes = 'SizeX="7" SizeY="9" SizeZ="2" SizeC="1" SizeT="1" PhysicalSizeX="3"'
    pixels = f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {sizes}><TiffData/></Pixels>'
    text = OME.format(f'<Image ID="Image:0">{pixels}</Image>')
    tifffile.imwrite(tmp_path / "a.ome.tif", ramp(4, 5), description=text, metadata=None)
    with pytest.warns(OmeZarrWarning, match=r"a\.ome\.tif.* OME-XML that describes no image of .*left out"):
        open_image(tmp_path / "a.ome.tif")


@pytest.mark.parametrize(
    ("names", "size", "known"),
    [(("one", "one"), 2, False), (("one", "two"), 2, True), (("one", "one"), 1, True)],
)
def test_c6_images_that_other_files_hold_take_no_pixel_sizes_along_unsaid(
    tmp_path: Path, names: tuple[str, str], size: float, known: bool
) -> None:
    """Where an image is missing, another is known by its name, if that is its own; or all say the same."""
    sizes = 'SizeX="5" SizeY="4" SizeZ="1" SizeC="1" SizeT="1"'
    images = "".join(
        f'<Image ID="Image:{i}" Name="{name}"><Pixels ID="Pixels:{i}" DimensionOrder="XYZCT" Type="uint16" {sizes} '
        f'PhysicalSizeX="{size**i}" PhysicalSizeY="{size**i}"><TiffData IFD="0" PlaneCount="1">'
        f'<UUID FileName="{file}.ome.tif">urn:uuid:{file}</UUID></TiffData></Pixels></Image>'
        for i, (file, name) in enumerate(zip(("absent", "a"), names, strict=True))
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", ramp(4, 5), description=OME.format(images), metadata=None)
    if known:
        with warnings.catch_warnings(action="error"):
            assert open_image(tmp_path / "a.ome.tif").omezarr.scale == {"y": size, "x": size}
        return
    with pytest.warns(OmeZarrWarning, match=r"a\.ome\.tif.* 2 images, of which it holds 1.*left out.*scale="):
        image = open_image(tmp_path / "a.ome.tif")
    assert not image.coords


@pytest.mark.parametrize(("said", "factor", "told"), [("", 1, True), ("", 0, False), ('TimeIncrement="2.5"', 1, False)])
def test_c6_times_of_single_planes_are_told_where_no_step_is_said(
    tmp_path: Path, said: str, factor: int, told: bool
) -> None:
    planes = "".join(
        f'<Plane TheT="{t}" TheZ="{z}" TheC="0" DeltaT="{factor * (time + z / 10)}" DeltaTUnit="min"/>'
        for t, time in enumerate((0.5, 2.75, 5.5))
        for z in range(2)
    )
    sizes = f'SizeX="5" SizeY="4" SizeZ="2" SizeC="1" SizeT="3" {said}'
    pixels = f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {sizes}><TiffData/>{planes}</Pixels>'
    text = OME.format(f'<Image ID="Image:0">{pixels}</Image>')
    tifffile.imwrite(tmp_path / "a.ome.tif", ramp(6, 4, 5), description=text, metadata=None, photometric="minisblack")
    with warnings.catch_warnings(record=True, action="always") as found:
        image = open_image(tmp_path / "a.ome.tif")
    assert len(found) == told
    assert ("t" in image.coords) == bool(said)
    if told:
        assert str(found[0].message).endswith("""scale={"t": 2.5}, units={"t": 'min'}""")


def test_c7_dimensions_are_guessed_in_the_order_of_files(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(3, 2, 4, 5), photometric="minisblack")
    with pytest.raises(ValueError, match=r"dims='tzyx'"):
        open_image(tmp_path / "a.tif")


# --- Micro-Manager -----------------------------------------------------------


def micromanager(path: Path, pixels: NDArray[np.uint16], ome: str, *, lost: int = 0) -> Path:
    """Write planes as Micro-Manager does: pixels right behind each header, and an index, which may name some beyond."""
    count, height, width = pixels[..., 0, 0].size, *pixels.shape[-2:]
    summary = {"MicroManagerVersion": "2.0.1", "Frames": pixels.shape[0], "Slices": pixels.shape[1]}
    summary |= {"Channels": pixels.shape[2], "Positions": 1, "SlicesFirst": False, "TimeFirst": False}
    said = json.dumps(summary).encode()
    first = position = 40 + len(said) + len(said) % 2
    planes, index = b"", b""
    for number, (t, z, c) in enumerate(np.ndindex(pixels.shape[:3])):
        plane, about, described = pixels[t, z, c].astype("<u2").tobytes(), b'{"a": 1}\0\0', ome.encode() + b"\0\0"
        begin = position + 2 + 12 * (13 + (not number)) + 4
        behind = begin + len(plane)
        tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1)]
        tags += [(270, 2, len(described), behind + 26)] if not number else []
        tags += [(273, 4, 1, begin), (277, 3, 1, 1), (278, 3, 1, height), (279, 4, 1, len(plane))]
        tags += [(282, 5, 1, behind), (283, 5, 1, behind + 8), (296, 3, 1, 3), (51123, 2, len(about), behind + 16)]
        end = behind + 26 + (len(described) + len(described) % 2 if not number else 0)
        header = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        header += struct.pack("<I", 0 if number == count - 1 else end)
        found = header + plane + struct.pack("<4I", 1, 1, 1, 1) + about + (b"" if number else described)
        index += struct.pack("<5I", c, z, t, 0, position if number < count - lost else 10**9)
        planes, position = planes + found.ljust(end - position, b"\0"), end
    behind = position + 8 + len(index)
    head = b"II*\0" + struct.pack(
        "<9I", first, 54773648, position, 483765892, behind, 99384722, behind + 8, 2355492, len(said)
    )
    ends = struct.pack("<4I", 347834724, 0, 84720485, 0)
    path.write_bytes((head + said).ljust(first, b"\0") + planes + struct.pack("<2I", 3453623, count) + index + ends)
    return path


@pytest.mark.parametrize("shape", [(2, 3, 2), (2, 1, 1)])
def test_c6_ome_xml_of_micromanager_comes_along(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    """Its planes are known by an index of its own, and all else by OME-XML."""
    pixels = ramp(*shape, 12, 16)
    names = ["DAPI", "GFP"][: shape[2]]
    channels = "".join(f'<Channel ID="Channel:0:{i}" Name="{name}" Color="16711935"/>' for i, name in enumerate(names))
    planes = "".join(
        f'<TiffData FirstT="{t}" FirstZ="{z}" FirstC="{c}" IFD="{number}" PlaneCount="1"/>'
        for number, (t, z, c) in enumerate(np.ndindex(shape))
    )
    said = 'PhysicalSizeX="0.325" PhysicalSizeY="0.325" PhysicalSizeZ="2" TimeIncrement="500" TimeIncrementUnit="ms"'
    sizes = f'SizeX="16" SizeY="12" SizeZ="{shape[1]}" SizeC="{shape[2]}" SizeT="{shape[0]}"'
    image = f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" {sizes} {said}>{channels}{planes}</Pixels>'
    text = OME.format(f'<Image ID="Image:0" Name="cells_MMStack_Pos0">{image}</Image>')
    path = micromanager(tmp_path / "cells_MMStack_Pos0.ome.tif", pixels, text)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].kind == "mmstack"
    opened = open_image(path)
    assert opened.name == "cells_MMStack_Pos0"
    assert {dim: (opened[dim].attrs["scale"], opened[dim].attrs["units"]) for dim in "tzyx"} == {
        "t": (500.0, "ms"),
        "z": (2.0, "µm"),
        "y": (0.325, "µm"),
        "x": (0.325, "µm"),
    }
    assert opened.c.values.tolist() == names
    np.testing.assert_array_equal(opened.transpose("t", "z", "c", "y", "x").values, pixels)


def test_c6_positions_of_micromanager_that_say_the_same_are_any(tmp_path: Path) -> None:
    """OME-XML has an image for each position, and the file the planes of one."""
    sizes = 'SizeX="16" SizeY="12" SizeZ="1" SizeC="1" SizeT="2" PhysicalSizeX="0.5" PhysicalSizeY="0.5"'
    images = "".join(
        f'<Image ID="Image:{i}" Name="Pos{i}"><Pixels ID="Pixels:{i}" DimensionOrder="XYCZT" Type="uint16" {sizes}/>'
        "</Image>"
        for i in range(3)
    )
    image = open_image(micromanager(tmp_path / "a_MMStack_Pos1.ome.tif", ramp(2, 1, 1, 12, 16), OME.format(images)))
    assert image.name == "a_MMStack_Pos1"
    assert image.omezarr.scale == {"t": 1.0, "y": 0.5, "x": 0.5}


def test_c6_planes_that_micromanager_lost_are_told(tmp_path: Path) -> None:
    path = micromanager(tmp_path / "a_MMStack.ome.tif", ramp(2, 2, 1, 12, 16), "", lost=1)
    with pytest.warns(OmeZarrWarning, match=r"1 of 4 planes of .* are missing, and read as 0"):
        image = open_image(path)
    np.testing.assert_array_equal(image[-1, -1].values, 0)
    np.testing.assert_array_equal(image[0].values, ramp(2, 12, 16))


def test_what_is_told_is_not_logged_too(tmp_path: Path) -> None:
    """Where nobody listens, what is logged goes to the terminal."""
    sizes = 'SizeX="5" SizeY="4" SizeZ="3" SizeC="1" SizeT="1"'
    pixels = f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {sizes}><TiffData PlaneCount="1"/></Pixels>'
    text = OME.format(f'<Image ID="Image:0">{pixels}</Image>')
    tifffile.imwrite(tmp_path / "a.ome.tif", ramp(4, 5), description=text, metadata=None)
    code = f"import xomezarr; xomezarr.open_image({str(tmp_path / 'a.ome.tif')!r}).load()"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert "2 of 3 planes" in told
    assert "TiffFile" not in told


# --- LSM and SVS -------------------------------------------------------------


def lsm(path: Path, pixels: NDArray[np.uint16]) -> Path:
    """Write channels and sections as Zeiss does: each plane is followed by its preview, and a tag says all else."""
    depth, channels, height, width = pixels.shape
    said = struct.pack("<2I5i", 67127628, 512, width, height, depth, channels, 1)
    said += struct.pack("<3i", 2, 8, 8) + struct.pack("<6d", 1e-7, 1.3e-7, 5e-7, 0, 0, 0) + struct.pack("<2HI", 0, 0, 0)
    names = b"".join(struct.pack("<I", len(name)) + name for name in (b"Ch1\0", b"Ch2-T\0", b"Ch3\0"))
    colors = struct.pack("<6I", 36 + len(names), 3, 3, 24, 36, 0)
    colors += bytes([255, 0, 0, 0, 0, 255, 0, 0, 9, 9, 255, 0]) + names
    said += struct.pack("<4I", 0, 0, 0, 0) + struct.pack("<d", 2.5)
    said = said.ljust(512, b"\0")
    with tifffile.TiffWriter(path, byteorder="<") as tiff:
        for number, plane in enumerate(pixels):
            tags = [(34412, 1, len(said), said, True)] if not number else []
            tiff.write(plane, photometric="minisblack", planarconfig="separate", metadata=None, extratags=tags)
            tiff.write(
                plane[:, :8, :8], photometric="minisblack", planarconfig="separate", metadata=None, subfiletype=1
            )
    # where the colours lie, beyond all else
    whole = bytearray(path.read_bytes())
    place = whole.index(said)
    whole[place + 108 : place + 112] = struct.pack("<I", len(whole))
    path.write_bytes(whole + colors)
    return path


@pytest.mark.filterwarnings("ignore::xomezarr.errors.OtherImagesWarning")
def test_c6_voxel_sizes_and_channels_of_lsm_come_along(tmp_path: Path) -> None:
    pixels = ramp(2, 3, 12, 16)
    path = lsm(tmp_path / "a.lsm", pixels)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].kind == "lsm"
    image = open_image(path)
    assert image.dims == ("z", "c", "y", "x")
    assert {dim: (image[dim].attrs["scale"], image[dim].attrs["units"]) for dim in "zyx"} == {
        "z": (0.5, "µm"),
        "y": (0.13, "µm"),
        "x": (0.1, "µm"),
    }
    assert image.c.values.tolist() == ["Ch1", "Ch2-T", "Ch3"]
    assert image.channel_color.values.tolist() == ["FF0000", "00FF00", "0909FF"]
    np.testing.assert_array_equal(image.values, pixels)


def test_c3_previews_are_not_taken_for_the_image(tmp_path: Path) -> None:
    """A VSI is a TIFF, whose image lies in a folder beside it."""
    tifffile.imwrite(tmp_path / "a.vsi", ramp(4, 5))
    with pytest.raises(MissingDependencyError, match="pip install bioio bioio-bioformats"):
        open_image(tmp_path / "a.vsi")


def test_c7_who_reads_a_file_is_said_once() -> None:
    """What begins as a TIFF is read as one; BioIO has the others."""
    assert not {*table.BY_BIOIO.suffixes} & {suffix for reader in table.READERS for suffix in reader.suffixes}
    assert {".lsm", ".svs"} < {*table.TIFF.suffixes}


@pytest.mark.filterwarnings("ignore::xomezarr.errors.OtherImagesWarning")
@pytest.mark.parametrize(("said", "size"), [("MPP = 0.2525", 0.2525), ("AppMag = 40", None), ("MPP = none", None)])
def test_c6_pixel_sizes_of_svs_come_along(tmp_path: Path, said: str, size: float | None) -> None:
    """And are not those of its previews, which have the same text."""
    text = f"Aperio Image Library v10.2\r\n64x64 (16x16) none|AppMag = 40|{said}|Left = 3"
    with tifffile.TiffWriter(tmp_path / "a.svs") as tiff:
        options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "description": text}
        tiff.write(ramp(64, 64, 3, dtype="uint8"), tile=(16, 16), **options)
        tiff.write(ramp(16, 16, 3, dtype="uint8"), **options)
    image = open_image(tmp_path / "a.svs")
    np.testing.assert_array_equal(image.values, ramp(64, 64, 3, dtype="uint8"))
    if size is None:
        assert "x" not in image.coords
    else:
        assert image.omezarr.scale == {"y": size, "x": size, "c": 1.0}
        assert image.x.attrs["units"] == "µm"
    assert "x" not in open_image(tmp_path / "a.svs", series=1).coords


# --- what is written of pixels in few words, or cut off ----------------------


@pytest.mark.parametrize("unit", ["CENTIMETER", "INCH"])
@pytest.mark.parametrize("size", [0.325, 0.65, 1.3, 0.1625, 0.108, 2.0, 7 / 3])
def test_c1_pixel_sizes_are_those_that_were_written_as_fractions(tmp_path: Path, size: float, unit: str) -> None:
    along = Fraction({"CENTIMETER": 10_000, "INCH": 25_400}[unit] / size).limit_denominator(10**6)
    both: Any = (along.as_integer_ratio(),) * 2
    tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5), resolution=both, resolutionunit=unit)
    found: Any = open_image(tmp_path / "a.tif")
    assert found.omezarr.scale["x"] == size


@pytest.mark.parametrize("cut", [int, round])
def test_c1_pixel_sizes_are_those_that_imagej_counted_by_millionths(tmp_path: Path, cut: Any) -> None:
    for size in (0.2, 0.325, 0.3333, 1.0331, 2.238, 2.33, 9.99):
        along = ((cut(1e6 / size), 10**6),) * 2
        tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5), imagej=True, resolution=along, metadata={"unit": "um"})
        found: Any = open_image(tmp_path / "a.tif")
        assert found.omezarr.scale["x"] == size


@pytest.mark.parametrize("size", [0.325, 0.65, 0.1625, 0.108])
@pytest.mark.parametrize("per", [10_000, 25_400])
def test_c1_pixel_sizes_are_those_of_fractions_as_fine_as_a_tiff_has_them(
    tmp_path: Path, size: float, per: int
) -> None:
    along = ((2**32 - 1, round((2**32 - 1) * size / per)),) * 2
    unit = "CENTIMETER" if per == 10_000 else "INCH"
    tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5), resolution=along, resolutionunit=unit)
    found: Any = open_image(tmp_path / "a.tif")
    assert found.omezarr.scale["x"] == size


@pytest.mark.parametrize("first", ["turned", "black", "green"])
def test_c6_a_channel_without_a_colour_takes_none_from_the_others(tmp_path: Path, first: str) -> None:
    values = np.arange(256, dtype="uint8")
    green = np.array([0 * values, values, 0 * values])
    tables = {"turned": [np.array([values[::-1]] * 3), green], "black": [0 * green, green], "green": [green]}[first]
    said: dict[str, Any] = {"axes": "CYX", "LUTs": tables, "mode": "composite"}
    tifffile.imwrite(tmp_path / "a.tif", ramp(2, 4, 5), imagej=True, metadata=said)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found: Any = open_image(tmp_path / "a.tif")
    assert len(told) == (first != "green")
    colors = [channel.color for channel in found.omezarr.channels]
    assert colors == [None, None if first == "green" else "00FF00"], "one table does not say whose it is"


def test_c6_lookup_tables_that_are_no_ramps_of_one_colour_are_told(tmp_path: Path) -> None:
    """A table that is turned over ends in black, by which nothing would be seen."""
    values = np.arange(256, dtype="uint8")
    turned, fire = np.array([values[::-1]] * 3), np.array([np.minimum(values, 127) * 2 + 1, values, values // 2])
    green = np.array([0 * values, values, 0 * values])
    said: dict[str, Any] = {"axes": "CYX", "LUTs": [turned, fire, green], "mode": "composite", "Labels": list("abc")}
    tifffile.imwrite(tmp_path / "a.tif", ramp(3, 4, 5), imagej=True, metadata=said)
    with pytest.warns(OmeZarrWarning, match=r"channels \(0, 1\).* their brightest colour.*: channels="):
        found: Any = open_image(tmp_path / "a.tif")
    assert [channel.color for channel in found.omezarr.channels] == [None, "FFFF7F", "00FF00"]
    said |= {"LUTs": [green, green[[1, 0, 2]], green[[0, 2, 1]]]}
    tifffile.imwrite(tmp_path / "b.tif", ramp(3, 4, 5), imagej=True, metadata=said)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = open_image(tmp_path / "b.tif")
    assert [channel.color for channel in found.omezarr.channels] == ["00FF00", "FF0000", "0000FF"]


@pytest.mark.parametrize("planes", [1, 3])
def test_c7_an_ome_tiff_that_ends_in_its_xml_is_refused(tmp_path: Path, planes: int) -> None:
    """Its pixels are whole, and nothing would be known of them."""
    said = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
    path, cut = tmp_path / "a.ome.tif", tmp_path / "cut.ome.tif"
    tifffile.imwrite(path, ramp(planes, 40, 50), metadata=said)
    whole = path.read_bytes()
    assert whole.rstrip(b"\0").endswith(b"</OME>")
    cut.write_bytes(whole[:-200])
    with pytest.raises(OmeZarrError, match=r"cut\.ome\.tif.* is cut off.*copy the file again") as caught:
        open_image(cut)
    exec(
        f"import tifffile; {str(caught.value).rpartition('alone: ')[2].replace('pixels.tif', str(tmp_path / 'p.tif'))}"
    )
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "p.tif").ravel(), ramp(planes * 40 * 50))


@pytest.mark.parametrize("turned", [2, 3, 6, 8])
def test_an_image_that_is_to_be_turned_is_told(tmp_path: Path, turned: int) -> None:
    tag = [(274, "H", 1, turned, False)]
    tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5), extratags=tag)
    with pytest.warns(OmeZarrWarning, match=r"turned or mirrored.*read as it is stored.*numpy\.flip"):
        image = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.values, ramp(4, 5))
