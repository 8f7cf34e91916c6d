"""NIfTI and Analyze: voxels and their order by nibabel's headers, places as the forms say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.channels import assign_channels, rgb_channels
from xomezarr.coords import assign_grid
from xomezarr.errors import (
    DtypeError,
    MissingDependencyError,
    OmeZarrError,
    OmeZarrWarning,
    StoreNotFoundError,
    warn,
)
from xomezarr.grid import REGULAR_WITHIN
from xomezarr.readers.filearray import (
    PLACED,
    REVERSED,
    FileArray,
    chunks_in_memory_order,
    dimensions,
    lazy_image,
    with_place,
)
from xomezarr.readers.raw import Raw, opened_bytes, shortest
from xomezarr.systems import assign_affine

__all__ = ["open_nifti"]

WORLD = ("x", "y", "z")
"""The axes of the space that the forms lead to, which run to the right, to the front and upward."""

ORIENTATION: Mapping[str, str] = {
    "x": "left-to-right",
    "y": "posterior-to-anterior",
    "z": "inferior-to-superior",
}

SPACES: Mapping[int, str] = {1: "scanner", 2: "aligned", 3: "talairach", 4: "mni", 5: "template"}
"""What space a form leads to, by its code."""

SPACE_UNITS: Mapping[int, str] = {1: "m", 2: "mm", 3: "um"}
TIME_UNITS: Mapping[int, str] = {8: "s", 16: "ms", 24: "us"}
SPECTRAL_UNITS: Mapping[int, str] = {32: "Hz", 40: "ppm", 48: "rad/s"}
"""Units of the fourth dimension that make it one of channels, not of time."""

CIFTI = range(3000, 3100)
"""Codes of intents of files that only begin as NIfTI does."""

LONG: Mapping[int, str] = {1536: "float128", 2048: "complex256"}
"""Codes of dtypes that neither Zarr nor every machine has."""

HEADER_SIZE = 348
"""That of NIfTI-1 and Analyze, which is how the latter begins."""

HEADERS: Mapping[bytes, str] = {
    b"n+1\0": "nifti1.Nifti1Header",
    b"ni1\0": "nifti1.Nifti1PairHeader",
    b"n+2\0": "nifti2.Nifti2Header",
    b"ni2\0": "nifti2.Nifti2PairHeader",
}
"""nibabel's classes by the magic; those of Analyze have none."""


def open_nifti(path: str, dims: str | Sequence[str] | None, series: int | None) -> xr.DataArray:
    """Open a NIfTI or an Analyze image; see `opening.open_image`."""
    header_path, pixels_path = _files(path)
    header = _header(header_path)
    if "intent_code" in header and int(header["intent_code"]) in CIFTI:
        raise OmeZarrError(
            f'"{path}" is CIFTI, whose rows are points of surfaces and voxels, and no image; take the voxels out of '
            "it: wb_command -cifti-separate"
        )
    raw = _raw(header, pixels_path)
    raw.check()
    samples: tuple[str, ...] = header.get_data_dtype().names or ()
    form = _form(header, path)
    voxels = tuple(int(size) for size in header.get_data_shape())
    way = None if form is None else _aligned(form.matrix, voxels[:3])
    named = dimensions(dims, raw.shape, path, _names(header, voxels, way, samples))
    space = named[len(voxels) - 1 :: -1][:3] if len(voxels) else ()  # of the voxels' first three axes, in their order
    opener, dtype = _scaled(raw, header, path)
    image = lazy_image(
        FileArray(opener, raw.shape, dtype, path),
        named,
        chunks=chunks_in_memory_order(np.broadcast_to(np.zeros((), raw.dtype), raw.shape)),
        attrs=_attributes(header, form),
        mapped=True,
    )
    if form is None or way is None:
        image = _sized(image, header, form, space)
    else:
        image = _placed(image, form, way, space, _space_unit(header))
        image = _beside(image, form, way, _space_unit(header), path)
    if len(voxels) > 3:
        image = _along_fourth(image, header, named[len(voxels) - 4], path)
    elif (start := _start(header, path)) and _time_code(header) not in SPECTRAL_UNITS:
        image = with_place(image, "t", start, path, unit=TIME_UNITS.get(_time_code(header)))
    if dims is None and len(voxels) == 5 and "t" in image.dims and image.sizes["t"] == 1:
        # there because the fifth dimension, of vectors, comes after that of time; 0 is what is written where none is
        image = image.isel(t=0, drop="t" not in image.coords or not image["t"].item())
    return _with_samples(image, samples, named[-1])


# --- files -------------------------------------------------------------------


def _files(path: str) -> tuple[str, str]:
    """Return the files of the header and of the pixels, which may be one."""
    for own, other in ((".hdr", ".img"), (".img", ".hdr")):
        match = re.search(rf"\{own}(\.gz)?$", path, flags=re.IGNORECASE)
        if match is None:
            continue
        stem = path[: match.start()]
        endings = [f"{ending}{packed}" for packed in ("", ".gz") for ending in (other, other.upper())]
        beside = next((stem + ending for ending in endings if Path(stem + ending).exists()), None)
        if beside is None:
            raise StoreNotFoundError(
                f'"{path}" is one of two files of an image, and "{stem}{other}" is not there; put it beside it'
            )
        return (path, beside) if own == ".hdr" else (beside, path)
    return path, path


def _header(path: str) -> Any:
    """Read the header by nibabel's class for its magic."""
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError(
            f'"{path}" is a NIfTI or Analyze image, and nibabel, which reads them, is not installed; '
            'install it: pip install "xomezarr[io]"'
        ) from error
    with opened_bytes(path) as file:
        head = file.read(HEADER_SIZE)
        file.seek(0)
        named = HEADERS.get(head[344:348]) or HEADERS.get(head[4:8])
        if named is None and not {int.from_bytes(head[:4], order) for order in ("little", "big")} & {HEADER_SIZE}:
            raise OmeZarrError(f'"{path}" begins as no header of NIfTI or Analyze; give the path of one that is')
        try:
            header = attrgetter(named or "spm2analyze.Spm2AnalyzeHeader")(nibabel).from_fileobj(file, check=False)
            header.get_data_shape(), header.get_data_dtype(), header.get_data_offset()
        except Exception as error:  # nibabel raises many kinds
            raise OmeZarrError(f'"{path}" has a header that nibabel cannot read ({error}); write it again') from error
    return header


def _raw(header: Any, path: str) -> Raw:
    """Return where the pixels lie: as NIfTI has them, the first axis fastest, and the samples of a colour last."""
    dtype = header.get_data_dtype()
    if (name := LONG.get(int(header["datatype"]))) is not None:
        raise DtypeError(
            f'"{path}" holds {name}, which OME-Zarr cannot hold; write it as float64 or complex128: '
            "img = nibabel.load(path); img.set_data_dtype(float); nibabel.save(img, …)"
        )
    if not dtype.itemsize:
        raise DtypeError(
            f'"{path}" holds pixels of one bit, or says not what; write it as uint8, by what has written it: '
            "fslmaths in.nii out.nii -odt char"
        )
    shape = tuple(int(size) for size in header.get_data_shape()[::-1])
    if min(shape, default=0) < 1:
        raise OmeZarrError(f'"{path}" has no pixels, or is damaged: its shape is {shape[::-1]}; write it again')
    if samples := dtype.names:
        dtype, shape = np.dtype(np.uint8), (*shape, len(samples))
    return Raw(path, dtype, _offset(header, path), shape)


def _offset(header: Any, path: str) -> int:
    """Return where the pixels begin: in a file of both, not within the header."""
    offset = int(header.get_data_offset())
    least = int(header.single_vox_offset) if bytes(header.get("magic", b"")).startswith(b"n+") else 0
    if offset >= least:
        return offset
    warn(
        f'"{path}" says that its voxels begin at byte {offset}, which is within its header; they are taken to begin '
        f'behind it, at byte {least}: mend it: img.header["vox_offset"] = {least}',
        OmeZarrWarning,
    )
    return least


# --- values ------------------------------------------------------------------


@dataclass(frozen=True)
class _Scaled:
    """Opener of pixels that are multiplied by a slope, and added to, as they are read."""

    raw: Raw
    slope: float
    inter: float

    def __call__(self) -> tuple[Any, Callable[[], None]]:
        pixels, close = self.raw()
        return _ScaledPixels(pixels, self), close

    def of(self, pixels: NDArray[Any]) -> NDArray[Any]:
        from nibabel.volumeutils import apply_read_scaling

        scaled: NDArray[Any] = apply_read_scaling(pixels, np.float64(self.slope), np.float64(self.inter))
        return scaled


class _ScaledPixels:
    def __init__(self, pixels: NDArray[Any], scaled: _Scaled) -> None:
        self._pixels, self._scaled = pixels, scaled

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return self._scaled.of(np.asarray(self._pixels[key]))


def _scaled(raw: Raw, header: Any, path: str) -> tuple[Any, np.dtype[Any]]:
    """Return what opens the pixels, scaled where the header says that they are, and the dtype that they have then."""
    try:
        slope, inter = header.get_slope_inter()
    except Exception as error:  # nibabel's, of an intercept that is no number
        raise OmeZarrError(
            f'"{path}" says that its values are scaled, and not how ({error}); mend it: img.header.set_slope_inter(…)'
        ) from error
    if "scl_slope" in header and np.isinf(header["scl_slope"]):
        warn(
            f'"{path}" says that its values are scaled by {header["scl_slope"]:g}, and they are read as they are '
            "stored; mend it: img.header.set_slope_inter(…)",
            OmeZarrWarning,
        )
    slope, inter = 1.0 if slope is None else float(slope), 0.0 if inter is None else float(inter)
    if (slope, inter) == (1.0, 0.0) or header.get_data_dtype().names:
        return raw, raw.dtype
    scaled = _Scaled(raw, slope, inter)
    dtype = scaled.of(np.zeros(1, raw.dtype)).dtype
    if dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise DtypeError(
            f'"{path}" is scaled by {slope} and {inter}, whose results no float64 holds; write it as float64: '
            "img = nibabel.load(path); img.set_data_dtype(float); nibabel.save(img, …)"
        )
    return scaled, dtype


def _with_samples(image: xr.DataArray, samples: Sequence[str], dim: str) -> xr.DataArray:
    """Name the samples of colours."""
    if not samples or dim not in image.dims:
        return image
    return assign_channels(image, rgb_channels(np.dtype(np.uint8), len(samples)), dim=dim)


# --- places ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Form:
    """Where voxels lie.

    Parameters
    ----------
    name
        That of the header's form.
    space
        The space that it leads to.
    matrix
        Shape (3, 4): from indices i, j, k to x, y, z, in the unit of the header.
    """

    name: str
    space: str
    matrix: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Way:
    """How an axis of the voxels runs along one of the world."""

    axis: int
    step: float
    start: float


def _form(header: Any, path: str) -> _Form | None:
    """Return the form that counts: sform before qform, as nibabel has it; None where neither has a code."""
    if "sform_code" not in header:  # Analyze
        return None
    for name, matrix in (("sform", _sform), ("qform", _qform)):
        if not (code := int(header[f"{name}_code"])):
            continue
        try:
            found = matrix(header)
        except Exception as error:  # nibabel's, of quaternions that are none
            warn(f'"{path}" has a {name} that cannot be read ({error}), and is left out; give scale=…', OmeZarrWarning)
            continue
        if np.isfinite(found).all() and np.linalg.matrix_rank(found[:, :3]) == 3:
            return _Form(name, SPACES.get(code, "other"), found)
        warn(
            f'"{path}" has a {name} by which different voxels lie at one place, and it is left out; mend it: '
            f"img.set_{name}(…)",
            OmeZarrWarning,
        )
    return None


def _sform(header: Any) -> NDArray[np.float64]:
    return np.array([[shortest(value) for value in header[f"srow_{axis}"]] for axis in WORLD])


def _qform(header: Any) -> NDArray[np.float64]:
    from nibabel.quaternions import quat2mat

    vector = np.array([float(header[f"quatern_{name}"]) for name in "bcd"])
    square = float(vector @ vector)
    # as in the standard's own code: a turn by half a circle is one, however its numbers were rounded
    rest = np.sqrt(1 - square) if 1 - square >= 1e-7 else 0.0
    turned: NDArray[np.float64] = quat2mat([rest, *(vector if rest else vector / np.sqrt(square))])  # type: ignore[no-untyped-call]
    nearest = np.round(turned)
    if np.abs(turned - nearest).max() < 1e-6:
        turned = nearest
    if header["pixdim"][0] < 0:
        turned = turned * [1, 1, -1]
    offset = [[shortest(header[f"qoffset_{axis}"][()])] for axis in WORLD]
    return np.hstack([turned * [_pixdim(header, axis) or 1.0 for axis in range(3)], offset])


def _pixdim(header: Any, axis: int) -> float | None:
    """Return the size of a voxel; None where it is none."""
    size = abs(shortest(header["pixdim"][axis + 1]))
    return size if np.isfinite(size) and size else None


def _aligned(matrix: NDArray[np.float64], sizes: Sequence[int]) -> tuple[_Way, ...] | None:
    """Return how the axes of the voxels run along those of the world; None where they run askew.

    They run along them where no voxel is farther away than coordinates may be from a regular grid.
    """
    linear, offset = matrix[:, : len(sizes)], matrix[:, 3]
    along = np.abs(linear).argmax(axis=0).tolist()
    if len({*along}) < len(along):
        return None
    ways = tuple(_Way(axis, float(linear[axis, i]), float(offset[axis])) for i, axis in enumerate(along))
    beside = np.abs(linear)
    beside[along, range(len(along))] = 0
    spacing = np.full(3, min(abs(way.step) for way in ways))
    spacing[along] = [abs(way.step) for way in ways]
    farthest = beside @ (np.asarray(sizes) - 1.0)
    return ways if (farthest <= REGULAR_WITHIN * spacing).all() else None


def _placed(
    image: xr.DataArray, form: _Form, ways: Sequence[_Way], space: Sequence[str], unit: str | None
) -> xr.DataArray:
    """Put voxels at their places; where an axis runs backward, its last voxel comes first."""
    backward = [dim for dim, way in zip(space, ways, strict=True) if way.step < 0]
    image = image.isel({dim: slice(None, None, -1) for dim in backward})
    scale = {dim: abs(way.step) for dim, way in zip(space, ways, strict=True)}
    first = {dim: _first(way, image.sizes[dim]) for dim, way in zip(space, ways, strict=True)}
    image = assign_grid(
        image, scale=scale, translation=first, units=None if unit is None else dict.fromkeys(space, unit)
    )
    for dim, way in zip(space, ways, strict=True):
        image[dim].attrs["orientation"] = ORIENTATION[WORLD[way.axis]]
    image.encoding[PLACED] = True
    image.encoding[REVERSED] = tuple(backward)
    return image


def _beside(image: xr.DataArray, form: _Form, ways: Sequence[_Way], unit: str | None, path: str) -> xr.DataArray:
    """Keep where an image of less than three dimensions lies along the others."""
    for axis in {*range(3)} - {way.axis for way in ways}:
        name = WORLD[axis]
        image = with_place(image, name, float(form.matrix[axis, 3]), path, unit=unit, orientation=ORIENTATION[name])
    return image


def _first(way: _Way, size: int) -> float:
    """Return the lowest place of a voxel, reckoned in decimals.

    >>> _first(_Way(0, -0.1, 0.3), 4)
    0.0
    """
    start, step = Decimal(str(way.start)), Decimal(str(way.step))
    return float(min(start, start + step * (size - 1)))


def _sized(image: xr.DataArray, header: Any, form: _Form | None, space: Sequence[str]) -> xr.DataArray:
    """Give voxels their sizes, and a coordinate system where they lie askew."""
    sizes = {dim: _pixdim(header, axis) for axis, dim in enumerate(space)}
    if form is not None:
        norms = np.linalg.norm(form.matrix[:, : len(space)], axis=0)
        for (dim, size), norm in zip([*sizes.items()], norms, strict=True):
            # which of the two is rounder; where they differ, the form counts
            sizes[dim] = size if size and np.isclose(size, norm, rtol=1e-4) else shortest(np.float32(norm))
    unit = _space_unit(header)
    scale = {dim: size for dim, size in sizes.items() if size}
    image = assign_grid(image, scale=scale, units=dict.fromkeys(scale, unit) if unit else None)
    if form is None:
        return image
    matrix = np.hstack([form.matrix[:, : len(space)] / [sizes[dim] for dim in space], form.matrix[:, 3:]])
    rows, columns = [2, 1, 0], [*range(len(space))[::-1], -1]
    image = assign_affine(
        image, matrix[rows][:, columns], system=form.space, dims=space[::-1], axes=[WORLD[row] for row in rows]
    )
    image.encoding[PLACED] = True
    return image


# --- what else the header says -----------------------------------------------


def _names(
    header: Any, voxels: Sequence[int], ways: Sequence[_Way] | None, samples: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the dimensions in C order: those of space are called as what they run along; None if they are too many."""
    fourth = "c" if _time_code(header) in SPECTRAL_UNITS else "t"
    names = [*(WORLD if ways is None else (WORLD[way.axis] for way in ways))][: len(voxels)]
    others = [fourth, "c"][: max(len(voxels) - 3, 0)]
    found = (*names, *others)[::-1] + (("c",) if samples else ())
    return found if len(voxels) <= 5 and len({*found}) == len(found) else None


def _units_code(header: Any) -> int:
    return int(header["xyzt_units"]) if "xyzt_units" in header else 0


def _time_code(header: Any) -> int:
    return _units_code(header) & 0b111000


def _space_unit(header: Any) -> str | None:
    """Return the unit of the first three dimensions; that of Analyze is text."""
    if "vox_units" in header:
        return _text(header["vox_units"]) or None
    return SPACE_UNITS.get(_units_code(header) & 0b111)


def _along_fourth(image: xr.DataArray, header: Any, dim: str, path: str) -> xr.DataArray:
    """Say when the volumes were taken, or of what frequency each is."""
    step, code, start = _pixdim(header, 3), _time_code(header), _start(header, path)
    unit = TIME_UNITS.get(code) or SPECTRAL_UNITS.get(code)
    if step is None and start and image.sizes[dim] > 1:
        warn(
            f'"{path}" begins at {dim} = {start:g}{f" {unit}" if unit else ""}, and does not say how far its volumes '
            "are apart; the places of all are left out: give both: "
            f"open_image(path).omezarr.assign_grid(scale={{{dim!r}: …}}, translation={{{dim!r}: {start}}})",
            OmeZarrWarning,
        )
    if step is None and (not start or image.sizes[dim] > 1):
        return image
    if step is None or code in SPECTRAL_UNITS:
        places = start + (step or 0.0) * np.arange(image.sizes[dim])
        return image.assign_coords({dim: (dim, places, {"units": unit} if unit else {})})
    return assign_grid(image, scale={dim: step}, translation={dim: start}, units=None if unit is None else {dim: unit})


def _start(header: Any, path: str) -> float:
    """Return where the fourth dimension begins."""
    start = shortest(header["toffset"][()]) if "toffset" in header else 0.0
    if np.isfinite(start):
        return start
    warn(
        f'"{path}" begins at a time that is none (toffset is {start}), and is taken to begin at 0; mend it: '
        'img.header["toffset"] = 0',
        OmeZarrWarning,
    )
    return 0.0


def _attributes(header: Any, form: _Form | None) -> dict[str, Any]:
    """Return what else the header says, of what is not empty."""
    described = _text(header["descrip"]) if "descrip" in header else ""
    said = {key: value for key, value in _said(header, form) if value}
    return ({"description": described} if described else {}) | ({"nifti": said} if said else {})


def _said(header: Any, form: _Form | None) -> Iterator[tuple[str, Any]]:
    if form is not None:
        yield "form", form.name
        yield "space", form.space
    if "intent_code" in header:
        try:
            intent, parameters, name = header.get_intent()
        except Exception:  # of codes that nibabel does not know
            intent, parameters, name = f"code {int(header['intent_code'])}", (), _text(header["intent_name"])
        yield "intent", "" if intent == "none" else intent
        yield "intent_parameters", [float(value) for value in parameters]
        yield "intent_name", name
    if "aux_file" in header:
        yield "aux_file", _text(header["aux_file"])


def _text(value: Any) -> str:
    return bytes(np.asarray(value).tobytes()).split(b"\0")[0].decode("utf-8", "replace").strip()
