"""Labels, plates and collections in stores: each rule that needs the store, broken alone, in 0.4 and 0.5."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import test_spec
import test_spec_kinds
import test_validate
import zarr
from hypothesis import given
from hypothesis import strategies as st
from test_validate import DIMS, SHAPES, VERSIONS, ZARR_FORMATS, metadata
from zarr.storage import LocalStore, MemoryStore

from xomezarr import checks, spec
from xomezarr.errors import NotOmeZarrError
from xomezarr.model import Acquisition, Field, LabelColor, LabelImage, Plate, PlateLine, PlateWell, Well
from xomezarr.validate import validate
from xomezarr.validate.images import LABEL_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LABEL_SHAPES = tuple((1, *shape[1:]) for shape in SHAPES)
XML = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'
IMAGE = '<Image ID="Image:{0}"><Pixels ID="Pixels:{0}" Type="uint8"><MetadataOnly/></Pixels></Image>'
PLATE = '<Plate ID="Plate:0"><Well ID="Well:0" Row="0" Column="0"/></Plate>'


class Tree:
    """A store in the making, whose groups and arrays tests add, change and remove."""

    def __init__(self, version: str, store: Any = None) -> None:
        self.version = version
        self.store = MemoryStore() if store is None else store

    def group(self, path: str, attrs: dict[str, Any]) -> None:
        zarr.create_group(
            self.store,
            path=path,
            zarr_format=ZARR_FORMATS[self.version],  # type: ignore[arg-type]
            attributes=attrs,
        )

    def opened(self, path: str = "") -> zarr.Group:
        return zarr.open_group(self.store, path=path, mode="r+", use_consolidated=False)

    def image(
        self,
        path: str,
        label: LabelImage | None = None,
        *,
        shapes: Sequence[tuple[int, ...]] = SHAPES,
        dtype: str = "uint8",
        channels: bool = True,
    ) -> None:
        attrs = metadata(self.version, levels=len(shapes))
        if not channels:
            del attrs.get("ome", attrs)["omero"]
        image = spec.parse(attrs)
        if label is not None:
            attrs = spec.dump(type(image)(image.multiscales, None, label=label), self.version)
        self.group(path, attrs)
        for index, shape in enumerate(shapes):
            self.array(f"{path}/{index}" if path else str(index), shape, dtype)

    def array(self, path: str, shape: tuple[int, ...], dtype: str = "uint8") -> None:
        options: dict[str, Any] = {"dimension_names": DIMS}
        if self.version == "0.4":
            options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        zarr.create_array(
            self.store,
            name=path,
            shape=shape,
            dtype=dtype,
            overwrite=True,
            zarr_format=ZARR_FORMATS[self.version],  # type: ignore[arg-type]
            **options,
        )

    def change(self, path: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change the OME metadata of a group."""
        group = self.opened(path)
        attrs = json.loads(json.dumps(group.attrs.asdict()))
        change(attrs.get("ome", attrs) if self.version == "0.5" else attrs)
        group.attrs.put(attrs)

    def remove(self, *paths: str) -> None:
        for path in paths:
            del self.opened()[path]

    def forget(self, path: str) -> None:
        """Remove what makes a group one, and leave all that lies in it."""
        for name in ("zarr.json", ".zgroup", ".zattrs"):
            self.store._store_dict.pop(f"{path}/{name}", None)

    def xml(self, content: str) -> None:
        from zarr.core.buffer import default_buffer_prototype
        from zarr.core.sync import sync

        value = default_buffer_prototype().buffer.from_bytes(content.encode())
        sync(self.store.set("OME/METADATA.ome.xml", value))

    def found(self, *, strict: bool = False) -> list[tuple[str, str, str]]:
        report = validate(self.store, strict=strict)
        assert report.version == self.version
        return [
            (finding.rule, finding.severity, finding.location.replace(" ome.", " ").removeprefix("ome."))
            for finding in report
        ]


LABEL = LabelImage((LabelColor(1, (255, 0, 0, 255)),), None, "../../")


def labelled(version: str, store: Any = None) -> Tree:
    tree = Tree(version, store)
    tree.image("")
    tree.group("labels", spec.dump_labels(["nuclei", "deep/cells"], version))
    tree.image("labels/nuclei", LABEL, shapes=LABEL_SHAPES, dtype="uint16")
    tree.group("labels/deep", {})
    # "../../" of this one would be the group of the labels
    deep = LabelImage((LabelColor(1, (255, 0, 0, 255)),), None, "../../../")
    tree.image("labels/deep/cells", deep, shapes=SHAPES, dtype="int64")
    return tree


def plate(version: str, store: Any = None, *, path: str = "", extra: dict[str, Any] | None = None) -> Tree:
    tree = Tree(version, store)
    described = Plate(
        (PlateLine("A"), PlateLine("B")),
        (PlateLine("1"), PlateLine("2")),
        (PlateWell("A/1", 0, 0), PlateWell("B/2", 1, 1)),
        "screen",
        (Acquisition(0, "first", None, 1), Acquisition(7, "second", None, 1)),
        2,
        extra=extra or {},
    )
    tree.group("", spec.dump_plate(described, version))
    for row in "AB":
        tree.group(row, {})
    for well in described.wells:
        tree.group(well.path, spec.dump_well(Well((Field("0", 0), Field("1", 7))), version))
        for name in "01":
            tree.image(f"{well.path}/{name}")
    return tree


def collection(version: str, store: Any = None) -> Tree:
    tree = Tree(version, store)
    tree.group("", spec.dump_layout(version))
    tree.group("OME", spec.dump_series(["0", "1"], version))
    tree.xml(XML.format(IMAGE.format(0) + IMAGE.format(1)))
    for name in "01":
        tree.image(name)
    return tree


def numbered(version: str, store: Any = None) -> Tree:
    tree = collection(version, store)
    tree.opened("OME").attrs.put({})
    return tree


def plate_of_collection(version: str, store: Any = None) -> Tree:
    tree = plate(version, store, extra={"ome": {"bioformats2raw.layout": 3}})
    tree.group("OME", spec.dump_series(["A/1/0", "A/1/1", "B/2/0", "B/2/1"], version))
    tree.xml(XML.format(PLATE + "".join(IMAGE.format(index) for index in range(4))))
    return tree


SAMPLES: dict[str, Callable[..., Tree]] = {
    "labelled": labelled,
    "plate": plate,
    "collection": collection,
    "numbered": numbered,
    "plate of collection": plate_of_collection,
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_flawless_store_has_no_findings(version: str, sample: str, tmp_path: Path) -> None:
    assert SAMPLES[sample](version).found(strict=True) == []
    local = SAMPLES[sample](version, LocalStore(tmp_path / "a.zarr"))
    assert list(validate(tmp_path / "a.zarr", strict=True)) == list(validate(local.store, strict=True)) == []


def sized(index: int, **sizes: int) -> str:
    """Describe an image of the samples in OME-XML with its sizes, some of which may be others."""
    all_sizes = dict(zip(DIMS, SHAPES[0], strict=True)) | sizes
    said = " ".join(f'Size{dim.upper()}="{size}"' for dim, size in all_sizes.items())
    return IMAGE.format(index).replace("<Pixels ", f"<Pixels {said} ")


def repeated(tree: Tree) -> None:
    """List an image of a collection once more, by another spelling of its path."""
    tree.change("OME", lambda m: m["series"].append("./1"))


def other_format(tree: Tree, path: str) -> None:
    """Write an image in the other version where there was one."""
    tree.remove(path)
    made = Tree(VERSIONS[tree.version == "0.4"])
    made.image(path)
    # not the groups above it, which are there
    documents = made.store._store_dict.items()
    tree.store._store_dict.update({key: value for key, value in documents if key.startswith(f"{path}/")})


Expected = list[tuple[str, str, str]]
# sample, findings of 0.4 and of 0.5 (None: the same), what breaks the rule
BREAKS: list[tuple[str, Expected, Expected | None, Callable[[Tree], Any]]] = [
    # -- labels
    (
        "labelled",
        [("47", "warning", "labels: labels")],
        [("0.5e", "error", "labels: labels")],
        lambda t: t.opened("labels").attrs.put({}),
    ),
    ("labelled", [("47", "error", "labels: labels")], None, lambda t: t.change("labels", lambda m: m.update(labels=1))),
    ("labelled", [("48", "error", "labels: labels[0]")], None, lambda t: t.remove("labels/nuclei")),
    (
        "labelled",
        [("92", "error", "labels: labels[0]")],
        None,
        lambda t: t.change("labels", lambda m: m.update(labels=["../labels/nuclei"])),
    ),
    (
        "labelled",
        [("49", "warning", f"labels/nuclei: {level}") for level in range(3)],
        None,
        lambda t: [t.array(f"labels/nuclei/{i}", (3, *shape[1:]), "uint16") for i, shape in enumerate(SHAPES)],
    ),
    (
        "labelled",
        [("50", "warning", f"labels/nuclei: {level}") for level in range(3)],
        [("0.5e", "error", f"labels/nuclei: {level}") for level in range(3)],
        lambda t: [t.array(f"labels/nuclei/{i}", shape, "float32") for i, shape in enumerate(LABEL_SHAPES)],
    ),
    (
        "labelled",
        [("50", "warning", f"labels/nuclei: {level}") for level in range(3)],
        [("0.5e", "error", f"labels/nuclei: {level}") for level in range(3)],
        lambda t: [t.array(f"labels/nuclei/{i}", shape, "bool") for i, shape in enumerate(LABEL_SHAPES)],
    ),
    (
        "labelled",
        [("51", "error", "labels/nuclei: multiscales")],
        None,
        lambda t: t.opened("labels/nuclei").attrs.put({}),
    ),
    (
        "labelled",
        [("51", "error", "labels/nuclei: image-label")],
        None,
        lambda t: t.change("labels/nuclei", lambda m: m.pop("multiscales")),
    ),
    (
        "labelled",
        [("52", "error", "labels/nuclei: multiscales[0].datasets")],
        None,
        lambda t: t.change("labels/nuclei", lambda m: m["multiscales"][0]["datasets"].pop()),
    ),
    (
        "labelled",
        [("53", "warning", "labels/nuclei: image-label")],
        None,
        lambda t: t.change("labels/nuclei", lambda m: m["image-label"].pop("colors")),
    ),
    (
        "labelled",
        [("58", "error", "labels/nuclei: image-label.source.image")],
        None,
        lambda t: t.change("labels/nuclei", lambda m: m["image-label"]["source"].update(image="../../raw")),
    ),
    (
        "labelled",
        [("58", "error", "labels/nuclei: image-label.source.image")],
        None,
        lambda t: t.change("labels/nuclei", lambda m: m["image-label"]["source"].update(image="../")),
    ),
    *(
        (
            "labelled",
            [("58", "warning", "labels/nuclei: image-label.source.image")],
            None,
            lambda t, source=source: t.change(
                "labels/nuclei", lambda m: m["image-label"]["source"].update(image=source)
            ),
        )
        for source in ("../../../cells.zarr", "/etc", "s3://bucket/cells.zarr", "..\\..")
    ),
    (
        "labelled",
        [],
        [("0.5e", "warning", "labels/nuclei: image-label")],
        lambda t: t.change("labels/nuclei", lambda m: m.pop("image-label")),
    ),
    (
        "labelled",
        [],
        [("0.5e", "error", "labels: deep")],
        lambda t: t.opened("labels/deep").attrs.put(spec.dump_labels(["cells"], t.version)),
    ),
    (
        "labelled",
        [("98", "error", "labels/nuclei: 2")],
        None,
        lambda t: t.remove("labels/nuclei/2"),
    ),
    (
        "labelled",
        [("34", "warning", "labels/nuclei: multiscales[0]")],
        None,
        lambda t: t.change("labels/nuclei", lambda m: m["multiscales"][0].pop("name")),
    ),
    # -- plates and wells
    ("plate", [("5", "error", "plate.wells[0].path")], None, lambda t: t.remove("A/1")),
    ("plate", [("5", "error", "plate.rows")], None, lambda t: t.forget("A")),
    ("plate", [("5", "error", "A/1: well")], None, lambda t: t.opened("A/1").attrs.put({})),
    ("plate", [("5", "error", "B/2: well.images[1].path")], None, lambda t: t.remove("B/2/1")),
    ("plate", [("5", "error", "B/2/1: multiscales")], None, lambda t: t.opened("B/2/1").attrs.put({})),
    ("plate", [("6", "warning", "C")], None, lambda t: t.group("C", {})),
    (
        "plate",
        [("78", "warning", "B/2: well.images")],
        None,
        lambda t: t.change("B/2", lambda m: m["well"]["images"].pop()),
    ),
    (
        "plate",
        [("66", "error", "plate.rows")],
        None,
        lambda t: (t.group("C", {}), t.group("C/1", spec.dump_well(Well((Field("0", 0),)), t.version))),
    ),
    (
        "plate",
        [("66", "error", "plate.columns")],
        None,
        lambda t: t.group("A/3", spec.dump_well(Well((Field("0", 0),)), t.version)),
    ),
    (
        "plate",
        [("66", "warning", "plate.wells")],
        None,
        lambda t: t.group("B/1", spec.dump_well(Well((Field("0", 0),)), t.version)),
    ),
    (
        "plate",
        [("66", "warning", "plate.wells")],
        None,
        lambda t: (
            t.change("", lambda m: m["plate"]["rows"].append({"name": "C"})),
            t.group("C", {}),
            t.group("C/1", spec.dump_well(Well((Field("0", 0),)), t.version)),
        ),
    ),
    (
        "plate",
        [("75", "error", "plate.wells[0].path")],
        None,
        lambda t: t.change("", lambda m: m["plate"]["wells"][0].update(path="/A/1")),
    ),
    ("plate", [], None, lambda t: t.group("A/notes", {"by": "hand"})),
    (
        "plate",
        [("81", "error", "A/1: well.images[0]")],
        None,
        lambda t: t.change("A/1", lambda m: m["well"]["images"][0].pop("acquisition")),
    ),
    (
        "plate",
        [("81", "error", "A/1: well.images[1].acquisition")],
        None,
        lambda t: t.change("A/1", lambda m: m["well"]["images"][1].update(acquisition=1)),
    ),
    (
        "plate",
        [("81", "warning", f"{well}: well.images[1].acquisition") for well in ("A/1", "B/2")],
        None,
        lambda t: t.change("", lambda m: m["plate"]["acquisitions"].pop()),
    ),
    ("plate", [], None, lambda t: t.change("", lambda m: m["plate"].pop("acquisitions"))),
    (
        "plate",
        [("80", "error", "A/1: well.images[1].path")],
        None,
        lambda t: (t.change("A/1", lambda m: m["well"]["images"][1].update(path="0")), t.remove("A/1/1")),
    ),
    (
        "plate",
        [("11", "warning", "A/1/0: multiscales[0].axes[2]")],
        None,
        lambda t: t.change("A/1/0", lambda m: m["multiscales"][0]["axes"][2].pop("unit")),
    ),
    ("plate", [("98", "error", "A/1/0: 1")], None, lambda t: t.remove("A/1/0/1")),
    (
        "plate",
        [("77", "error", "plate.wells[1]")],
        None,
        lambda t: t.change("", lambda m: m["plate"]["wells"][1].update(rowIndex=0)),
    ),
    ("plate", [("0.5b", "error", "B/2/0: version")], None, lambda t: other_format(t, "B/2/0")),
    # -- collections
    (
        "collection",
        [("85", "warning", "OME/METADATA.ome.xml"), ("88", "error", "attributes")],
        None,
        lambda t: t.remove("OME", "0"),
    ),
    ("collection", [("85", "error", "OME/METADATA.ome.xml")], None, lambda t: t.xml("<OME>")),
    ("collection", [("85", "error", "OME/METADATA.ome.xml")], None, lambda t: t.xml("<OME/>")),
    (
        "collection",
        [("85", "error", "OME/METADATA.ome.xml")],
        None,
        lambda t: t.xml(XML.format(IMAGE.format(0) + IMAGE.format(1).replace("MetadataOnly", "TiffData"))),
    ),
    (
        "collection",
        [("85", "error", "OME/METADATA.ome.xml")],
        None,
        lambda t: t.xml(XML.format(IMAGE.format(0) + IMAGE.format(1).replace("uint8", "uint12"))),
    ),
    ("collection", [], None, lambda t: t.xml(XML.format(IMAGE.format(0) + sized(1)))),
    (
        "collection",
        [("85", "warning", "OME/METADATA.ome.xml")],
        None,
        lambda t: t.xml(XML.format(IMAGE.format(0) + sized(1, x=SHAPES[0][-1] + 1))),
    ),
    (
        "collection",
        [("85", "warning", "OME/METADATA.ome.xml")],
        None,
        lambda t: t.xml(XML.format(IMAGE.format(0) + sized(1, t=2))),
    ),
    (
        "collection",
        [("89", "error", "OME: series[1]"), ("89", "warning", "1")],
        None,
        lambda t: t.change("OME", lambda m: m.update(series=["0", "0"])),
    ),
    ("collection", [("89", "error", "OME: series[2]"), ("87", "error", "OME/METADATA.ome.xml")], None, repeated),
    ("collection", [("89", "warning", "2")], None, lambda t: t.image("2")),
    ("collection", [("89", "warning", "overview")], None, lambda t: t.image("overview")),
    ("collection", [], None, lambda t: (t.group("notes", {"by": "hand"}), t.group("tables", {}))),
    (
        "collection",
        [("84", "error", "plate")],
        None,
        lambda t: t.xml(XML.format(PLATE + IMAGE.format(0) + IMAGE.format(1))),
    ),
    ("collection", [("87", "error", "OME/METADATA.ome.xml")], None, lambda t: t.xml(XML.format(IMAGE.format(0)))),
    ("collection", [("87", "error", "OME: series[1]")], None, lambda t: t.remove("1")),
    ("collection", [("87", "error", "1: multiscales")], None, lambda t: t.opened("1").attrs.put({})),
    (
        "collection",
        [("87", "error", "OME: series"), ("89", "error", "OME/METADATA.ome.xml")],
        None,
        lambda t: (t.change("OME", lambda m: m.update(series=0)), t.xml(XML.format(IMAGE.format(0)))),
    ),
    (
        "collection",
        [("11", "warning", "1: multiscales[0].axes[2]")],
        None,
        lambda t: t.change("1", lambda m: m["multiscales"][0]["axes"][2].pop("unit")),
    ),
    (
        "numbered",
        [("88", "error", "attributes")],
        None,
        lambda t: (t.image("3"), t.xml(XML.format("".join(IMAGE.format(index) for index in range(3))))),
    ),
    (
        "numbered",
        [("88", "error", "attributes"), ("89", "error", "OME/METADATA.ome.xml")],
        None,
        lambda t: t.remove("0", "1"),
    ),
    ("numbered", [("88", "error", "1: multiscales")], None, lambda t: t.opened("1").attrs.put({})),
    ("numbered", [("89", "error", "OME/METADATA.ome.xml")], None, lambda t: t.xml(XML.format(IMAGE.format(0)))),
    ("numbered", [("0.5b", "error", "1: version")], None, lambda t: other_format(t, "1")),
    ("numbered", [("89", "warning", "overview")], None, lambda t: t.image("overview")),
    (
        "plate of collection",
        [("85", "warning", "OME/METADATA.ome.xml")],
        None,
        lambda t: t.xml(XML.format(PLATE + "".join(map(IMAGE.format, range(3))) + sized(3, y=SHAPES[0][-2] * 2))),
    ),
    (
        "plate of collection",
        [("86", "warning", "OME")],
        None,
        lambda t: t.opened("OME").attrs.put({}),
    ),
    (
        "plate of collection",
        [("86", "warning", "OME")],
        None,
        lambda t: t.change("OME", lambda m: m["series"].__setitem__(0, "A/1/1")),
    ),
    (
        "plate of collection",
        [("87", "error", "OME/METADATA.ome.xml")],
        None,
        lambda t: t.xml(XML.format(PLATE + IMAGE.format(0))),
    ),
    (
        "plate of collection",
        [("83", "error", "bioformats2raw.layout")],
        None,
        lambda t: t.change("", lambda m: m.update({"bioformats2raw.layout": 2})),
    ),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("sample", "old", "new", "change"),
    BREAKS,
    ids=[f"{'-'.join(rule for rule, *_ in old) or 'ok'}-{sample}-{i}" for i, (sample, old, *_) in enumerate(BREAKS)],
)
def test_breaking_one_rule_of_stores_gives_that_finding_alone(
    version: str, sample: str, old: Expected, new: Expected | None, change: Callable[[Tree], Any]
) -> None:
    tree = SAMPLES[sample](version)
    change(tree)
    expected = old if version == "0.4" or new is None else new
    assert tree.found() == expected
    assert validate(tree.store).valid == all(severity == "warning" for _, severity, _ in expected)
    assert {severity for _, severity, _ in tree.found(strict=True)} <= {"error" if expected else ""} | (
        {"warning"} if {rule for rule, *_ in expected} & checks.STRICT_LENIENT else set()
    )


def test_each_rule_from_41_on_is_broken_by_some_test() -> None:
    """A rule without a test is a rule that nobody has seen work."""
    of_metadata = {rule for rule, *_ in test_spec.BREAKS} | {rule for _, rule, *_ in test_spec_kinds.BREAKS}
    of_stores = {rule for _, found, _ in test_validate.BREAKS for rule, *_ in found}
    of_stores |= {rule for _, old, new, _ in BREAKS for rule, *_ in [*old, *(new or [])]}
    elsewhere = {
        "0.5b": test_spec_kinds.test_c7_another_version_is_refused_by_name,
        "0.5f": test_spec_kinds.test_rule_0_5f_a_plate_of_0_5_names_the_version_by_the_text_alone,
        "90": None,  # a demand on readers
    }
    covered = of_metadata | of_stores | elsewhere.keys()
    assert {str(number) for number in range(41, 91)} - covered == set()
    assert {"1", "2", "5", "6", "0.5a", "0.5b", "0.5c", "0.5e", "0.5f"} - covered == set()
    assert {str(number) for number in range(91, 100)} - covered == {"95", "96"}, "tests of their own"


def test_every_rule_of_labels_and_plates_names_its_number() -> None:
    rules: list[Any] = [
        *LABEL_RULES,
        *checks.LABEL_RULES,
        *checks.LINE_RULES,
        *checks.ACQUISITION_RULES,
        *checks.PLATE_WELL_RULES,
        *checks.PLATE_RULES,
        *checks.FIELD_RULES,
        *checks.WELL_RULES,
    ]
    for rule in rules:
        assert (rule.__doc__ or "")[0].isdigit(), rule


class Asked(MemoryStore):
    """Knows how often each of its objects was asked for."""

    asked: ClassVar[Counter[str]] = Counter()  # zarr makes others of it

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        self.asked[key] += 1
        return await super().get(key, *args, **kwargs)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_image_of_labels_is_opened_once_however_many_there_are(version: str) -> None:
    store = Asked()
    labelled(version, store)
    store.asked.clear()
    assert validate(store).valid
    assert {key: count for key, count in store.asked.items() if count > 1} == {}


# -- a part of a store -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_label_image_is_judged_by_the_image_above_it(version: str, tmp_path: Path) -> None:
    tree = labelled(version, LocalStore(tmp_path / "a.zarr"))
    place = tmp_path / "a.zarr" / "labels" / "nuclei"
    assert list(validate(place, strict=True)) == []
    assert list(validate(tmp_path / "a.zarr" / "labels", strict=True)) == []
    tree.remove("2")
    tree.change("", lambda m: m["multiscales"][0]["datasets"].pop())
    assert [(found.rule, found.location.split(".")[-1]) for found in validate(place)] == [("52", "datasets")]
    # of the group of labels, each is located
    assert {found.location.split(":")[0] for found in validate(place.parent)} == {"nuclei", "deep/cells"}
    # where nothing is said of the source, it is where labels have it
    tree.change("labels/nuclei", lambda m: m["image-label"].pop("source"))
    assert [found.rule for found in validate(place)] == ["52"]


@pytest.mark.parametrize("version", VERSIONS)
def test_nobody_looks_for_images_outside_of_the_hierarchy(version: str, tmp_path: Path) -> None:
    """A label image that was copied to a folder: what lies beside that is none of its business."""
    labelled(version, LocalStore(tmp_path / "a.zarr"))
    folder = tmp_path / "a.zarr" / "copies" / "of"
    folder.mkdir(parents=True)
    shutil.copytree(tmp_path / "a.zarr" / "labels" / "nuclei", folder / "nuclei")
    (found,) = validate(folder / "nuclei")
    assert (found.rule, found.severity) == ("58", "warning")
    assert "'../../' leads to no image of this store" in found.message
    # a store that is no place has nothing above it
    (found,) = validate(LocalStore(folder / "nuclei"))
    assert (found.rule, found.severity) == ("58", "warning")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_well_and_its_images_are_examined_alone(version: str, tmp_path: Path) -> None:
    tree = plate(version, LocalStore(tmp_path / "a.zarr"))
    assert list(validate(tmp_path / "a.zarr" / "A" / "1", strict=True)) == []
    tree.remove("A/1/1/2")
    assert [(found.rule, found.location) for found in validate(tmp_path / "a.zarr" / "A" / "1")] == [("98", "1: 2")]
    assert [(found.rule, found.location) for found in validate(tmp_path / "a.zarr")] == [("98", "A/1/1: 2")]


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_of_the_images_of_a_plate_are_examined(version: str) -> None:
    tree = plate(version)
    tree.group("A/1/0/labels", spec.dump_labels(["nuclei"], version))
    tree.image("A/1/0/labels/nuclei", LABEL, shapes=LABEL_SHAPES, dtype="float64")
    rule, severity = ("50", "warning") if version == "0.4" else ("0.5e", "error")
    assert tree.found() == [(rule, severity, f"A/1/0/labels/nuclei: {level}") for level in range(3)]


@pytest.mark.parametrize("version", VERSIONS)
def test_groups_that_cannot_be_read_are_named(version: str, tmp_path: Path) -> None:
    plate(version, LocalStore(tmp_path / "a.zarr"))
    document = tmp_path / "a.zarr" / "A" / "1" / ("zarr.json" if version == "0.5" else ".zattrs")
    document.write_text("{")
    found = validate(tmp_path / "a.zarr").errors
    assert [(finding.rule, finding.location.removeprefix("ome.")) for finding in found] == [
        ("98", "plate.wells[0].path")
    ]
    assert "cannot be opened" in found[0].message


@pytest.mark.parametrize("version", VERSIONS)
def test_metadata_that_cannot_be_read_are_told_without_what_they_name(version: str) -> None:
    tree = plate(version)
    tree.change("", lambda m: m["plate"].pop("wells"))
    assert tree.found() == [("74", "error", "plate.wells")]
    tree = collection(version)
    tree.change("OME", lambda m: m.update(series=0))
    assert tree.found() == [("87", "error", "OME: series")]


@pytest.mark.parametrize("version", VERSIONS)
def test_c9_no_pixel_of_a_plate_is_read(version: str, tmp_path: Path) -> None:
    tree = plate(version, LocalStore(tmp_path / "a.zarr"))
    tree.opened("A/1/0")["0"][...] = np.uint8(1)  # type: ignore[index]
    documents = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
    chunks = [path for path in (tmp_path / "a.zarr").rglob("*") if path.is_file() and path.name not in documents]
    assert chunks
    for path in chunks:
        path.write_bytes(b"no pixels")
    assert list(validate(tmp_path / "a.zarr", strict=True)) == []


MADE = {(sample, version): make(version) for sample, make in SAMPLES.items() for version in VERSIONS}


@given(st.data())
def test_c7_any_json_in_any_group_gives_findings_and_no_error(data: st.DataObject) -> None:
    """Fuzzing: one value anywhere in the attributes of a group is replaced by any JSON, or removed."""
    tree = MADE[data.draw(st.sampled_from([*MADE]))]
    paths = sorted(key.rpartition("/")[0] for key in tree.store._store_dict if key.endswith((".zattrs", "zarr.json")))
    path = data.draw(st.sampled_from([path for path in paths if "/c/" not in path]))
    name = f"{path}/" if path else ""
    key = f"{name}{'zarr.json' if tree.version == '0.5' else '.zattrs'}"
    before = tree.store._store_dict[key]
    document = json.loads(before.to_bytes())
    node: Any = document.get("attributes", document) if tree.version == "0.5" else document
    while node:
        at = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[at], dict | list) and node[at] and data.draw(st.booleans()):
            node = node[at]
            continue
        if data.draw(st.booleans()):
            del node[at]
        else:
            node[at] = data.draw(test_spec_kinds.json_values)
        break
    try:
        tree.store._store_dict[key] = type(before).from_bytes(json.dumps(document).encode())
        with suppress(NotOmeZarrError):  # there may be none left
            str(validate(tree.store))
    finally:
        tree.store._store_dict[key] = before
