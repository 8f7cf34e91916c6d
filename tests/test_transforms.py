"""Coordinate transformations as values, against the official numeric cases, matrices and each other."""

from __future__ import annotations

import itertools
import json
import tomllib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_systems import build, described
from zarr.storage import MemoryStore

import xomezarr
from xomezarr.errors import TransformError
from xomezarr.routes import Edge, Routes
from xomezarr.spec.notes import Notes
from xomezarr.spec.transforms import dump_transform, inputs_of, read_transform
from xomezarr.transforms import (
    Affine,
    Bijection,
    ByDimension,
    Chain,
    Field,
    Identity,
    MapAxis,
    Part,
    ProjectAxis,
    Rotation,
    Scale,
    Stored,
    Transform,
    Translation,
    chain,
    stored,
    with_stored,
)

numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 3))
sizes = st.floats(0.02, 1e3).map(lambda value: round(value, 3))


def rotations(ndim: int) -> st.SearchStrategy[Rotation]:
    def made(angles: list[float]) -> Rotation:
        matrix = np.eye(ndim)
        for (one, other), angle in zip(itertools.combinations(range(ndim), 2), angles, strict=True):
            turn = np.eye(ndim)
            turn[[one, one, other, other], [one, other, one, other]] = [
                np.cos(angle),
                -np.sin(angle),
                np.sin(angle),
                np.cos(angle),
            ]
            matrix = matrix @ turn
        return Rotation(matrix)

    pairs = ndim * (ndim - 1) // 2
    return st.lists(st.floats(-3, 3), min_size=pairs, max_size=pairs).map(made)


def tuples[T](of: st.SearchStrategy[T], count: int) -> st.SearchStrategy[tuple[T, ...]]:
    return st.tuples(*[of] * count)


def simple(ndim: int) -> st.SearchStrategy[Transform]:
    """Return transformations of as many axes before as afterwards, each of which can be undone."""
    affines = st.tuples(rotations(ndim), tuples(sizes, ndim), tuples(numbers, ndim)).map(
        lambda drawn: Affine(np.column_stack([drawn[0].values * drawn[1], drawn[2]]))
    )
    found: list[st.SearchStrategy[Transform]] = [
        st.just(Identity()),
        tuples(sizes, ndim).map(Scale),
        tuples(numbers, ndim).map(Translation),
        affines,
    ]
    if ndim > 1:
        found += [st.permutations(range(ndim)).map(lambda order: MapAxis(tuple(order))), rotations(ndim)]
    return st.one_of(found)


@st.composite
def transforms(draw: st.DrawFn, ndim: int, depth: int = 2) -> Transform:
    kind = draw(st.sampled_from(["simple", "sequence", "parts", "bijection"] if depth else ["simple"]))
    if kind == "sequence":
        return Chain(tuple(draw(transforms(ndim, depth - 1)) for _ in range(draw(st.integers(0, 3)))))
    if kind == "bijection":
        forward = draw(transforms(ndim, depth - 1))
        return Bijection(forward, forward.inverse())
    if kind == "parts":
        before, after = draw(st.permutations(range(ndim))), draw(st.permutations(range(ndim)))
        cut = draw(st.integers(1, ndim))
        cuts = [slice(0, cut), slice(cut, ndim)] if cut < ndim else [slice(0, ndim)]
        return ByDimension(
            ndim,
            tuple(
                Part(draw(transforms(len(before[part]), depth - 1)), tuple(before[part]), tuple(after[part]))
                for part in cuts
            ),
        )
    return draw(simple(ndim))


@st.composite
def with_points(draw: st.DrawFn) -> tuple[Transform, np.ndarray]:
    ndim = draw(st.integers(1, 5))
    points = draw(st.lists(tuples(numbers, ndim), min_size=1, max_size=4))
    return draw(transforms(ndim)), np.array(points)


@given(with_points())
def test_points_come_back(drawn: tuple[Transform, np.ndarray]) -> None:
    transform, points = drawn
    there = transform(points)
    assert there.shape == points.shape
    scale = max(1.0, np.abs(there).max(), np.abs(points).max())
    np.testing.assert_allclose(transform.inverse()(there), points, rtol=1e-6, atol=1e-6 * scale)


@given(with_points())
def test_a_matrix_maps_as_what_it_is_of(drawn: tuple[Transform, np.ndarray]) -> None:
    transform, points = drawn
    matrix = transform.matrix(points.shape[-1])
    assert matrix is not None
    expected = points @ matrix[:, :-1].T + matrix[:, -1]
    np.testing.assert_allclose(transform(points), expected, rtol=1e-9, atol=1e-9 * max(1, np.abs(expected).max()))


@given(with_points())
def test_json_says_all(drawn: tuple[Transform, np.ndarray]) -> None:
    transform, points = drawn
    raw = json.loads(json.dumps(dump_transform(transform)))
    notes = Notes()
    read = read_transform(raw, points.shape[-1], "here", notes)
    assert not notes.findings
    assert read is not None
    # OME-Zarr has reciprocals for the one, and no sequence of nothing
    if "Divided" not in repr(transform) and "steps=()" not in repr(transform):
        assert read == transform
    np.testing.assert_allclose(read.matrix(points.shape[-1]), transform.matrix(points.shape[-1]), rtol=1e-12)


@st.composite
def with_axes_gone(draw: st.DrawFn) -> tuple[Transform, np.ndarray, set[int]]:
    """Draw transformations that are made axis by axis, and some of the axes."""
    ndim = draw(st.integers(2, 5))
    order = draw(st.permutations(range(ndim)))
    steps: list[Transform] = [
        draw(st.sampled_from([Identity(), draw(tuples(sizes, ndim).map(Scale)).inverse(), MapAxis(tuple(order))])),
        draw(tuples(sizes, ndim).map(Scale)),
        Affine(np.column_stack([np.diag(draw(tuples(sizes, ndim)))[order], draw(tuples(numbers, ndim))])),
        Rotation(np.eye(ndim)[order]),
        Bijection(there := draw(tuples(numbers, ndim).map(Translation)), there.inverse()),
        ByDimension(ndim, tuple(Part(Translation((float(axis),)), (axis,), (order[axis],)) for axis in range(ndim))),
        ProjectAxis(ndim, (order[0],), tuple(draw(st.sets(st.integers(0, ndim - 1))))),
    ]
    points = np.array(draw(st.lists(tuples(numbers, ndim), min_size=1, max_size=4)))
    kept = order[1:]  # of which something is left in the end
    return (
        Chain(tuple(steps[: draw(st.integers(0, 7))])),
        points,
        draw(st.sets(st.sampled_from(kept), max_size=ndim - 2)),
    )


@given(with_axes_gone(), st.lists(numbers, min_size=5, max_size=5))
def test_axes_that_are_gone_take_with_them_what_comes_from_them_alone(
    drawn: tuple[Transform, np.ndarray, set[int]], others: list[float]
) -> None:
    transform, points, gone = drawn
    made = transform.without(gone, points.shape[-1])
    assert made is not None
    left, lost = made
    found = left(np.delete(points, list(gone), axis=1))
    np.testing.assert_array_equal(found, np.delete(transform(points), list(lost), axis=1))
    matrix = transform.matrix(points.shape[-1])
    assert matrix is not None
    np.testing.assert_array_equal(np.flatnonzero(matrix[:, sorted(gone)].any(axis=1)), lost)
    assert left.leads_to(points.shape[-1] - len(gone)) == transform.leads_to(points.shape[-1]) - len(lost)  # type: ignore[operator]


@given(with_points(), st.data())
def test_where_axes_mix_nothing_is_made_up(drawn: tuple[Transform, np.ndarray], data: st.DataObject) -> None:
    transform, points = drawn
    ndim = points.shape[-1]
    gone = data.draw(st.sets(st.integers(0, ndim - 1)))
    made = transform.without(gone, ndim)
    matrix = transform.matrix(ndim)
    assert matrix is not None
    # what rounding leaves behind is no more than that
    linear = np.where(np.abs(matrix[:, :-1]) > 1e-12 * np.abs(matrix).max(), matrix[:, :-1], 0)
    from_gone = linear[:, sorted(gone)].any(axis=1)
    mixed = from_gone & np.delete(linear, list(gone), axis=1).any(axis=1)
    if mixed.any() or len(gone) == ndim:
        assert made is None
    elif made is not None:
        left, lost = made
        expected = np.delete(transform(points), list(lost), axis=1)
        np.testing.assert_allclose(left(np.delete(points, list(gone), axis=1)), expected, rtol=1e-9, atol=1e-9)


def test_what_cannot_do_without_an_axis() -> None:
    for step in (Stored("affine", "matrix"), Field(np.zeros((2, 3, 3)))):
        assert step.without({0}, 2) is None
        assert Chain((Scale((1.0, 2.0)), step)).without({0}, 2) is None
    assert Affine([[1, 1, 0], [0, 1, 0]]).without({1}, 2) is None
    assert Affine([[0, 1, 0]]).without({1}, 2) is None
    assert Scale((1.0, 2.0)).without({0, 1}, 2) is None
    # the way back would lack another axis
    assert Bijection(Identity(), MapAxis((1, 0))).without({0}, 2) is None


def test_how_many_coordinates_an_array_gives_is_not_known() -> None:
    assert Stored("coordinates", "field").leads_to(2) is None
    assert Stored("displacements", "field").leads_to(2) == 2
    scale = Scale((1.0, 2.0))
    assert Chain((scale, Stored("affine", "matrix"))).leads_to(2) is None
    assert Chain((Stored("affine", "matrix"), scale)).leads_to(3) == 2
    assert Bijection(Stored("affine", "matrix"), scale).leads_to(3) == 2


def test_the_official_numeric_cases(shared: Path) -> None:
    cases = sorted((shared / "conformance" / "0.6" / "transforms_conformance" / "cases").iterdir())
    assert len(cases) == 24
    for case in cases:
        scene = json.loads((case / "zarr.json").read_text())["attributes"]["ome"]["scene"]
        expected = tomllib.loads((case / "conformance.toml").read_text())
        axes = {system["name"]: len(system["axes"]) for system in scene["coordinateSystems"]}
        notes = Notes()
        edges: list[Edge[str]] = []
        for index, raw in enumerate(scene["coordinateTransformations"]):
            read = read_transform(raw, axes[raw["input"]], f"scene.coordinateTransformations[{index}]", notes)
            assert read is not None, (case.name, notes.findings)
            edges.append(Edge(raw["input"], raw["output"], read))
        systems = Routes(axes, edges)
        source, target = expected["source"], expected["target"]
        if expected["should_error"]:
            with pytest.raises(TransformError, match="there is no coordinate system"):
                systems.transform(source["name"], target["name"])
            continue
        found = systems.transform(source["name"], target["name"])(source["coordinates"])
        tolerance = {"rtol": expected["relative_tolerance"], "atol": expected["absolute_tolerance"]}
        np.testing.assert_allclose(found, target["coordinates"], err_msg=case.name, **tolerance)


def test_the_official_examples_are_read(shared: Path) -> None:
    folder = shared / "conformance" / "0.6" / "tests" / "attributes" / "spec" / "valid" / "transforms"
    kinds = set()
    for file in sorted(folder.glob("*.json")):
        (multiscale,) = json.loads(file.read_text())["ome"]["multiscales"]
        count = {system["name"]: len(system["axes"]) for system in multiscale["coordinateSystems"]}
        for raw in multiscale.get("coordinateTransformations", []):
            notes = Notes()
            read = read_transform(raw, count[raw["input"]["name"]], file.stem, notes)
            assert read is not None, (file.name, notes.findings)
            if "path" in raw:  # a matrix in an array
                with pytest.raises(TransformError, match=f"array at '{raw['path']}', which is not read"):
                    read([0.0] * count[raw["input"]["name"]])
                assert dump_transform(read) == {"type": raw["type"], "path": raw["path"]}
                continue
            assert read.outputs in (None, count[raw["output"]["name"]])
            kinds.add(raw["type"])
    assert len(kinds) > 3


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: MapAxis((0, 2)), r"no order of 2 axes; name each of \[0, 1\] once"),
        (lambda: ProjectAxis(2, dropped=(2,)), r"drops the axes \[2\], and there are 2"),
        (lambda: ProjectAxis(2, created=(0, 0)), r"creates the axes \[0, 0\]"),
        (lambda: Affine(np.array([1.0, 2.0])), "no matrix of finite numbers"),
        (lambda: Affine(np.array([[np.nan, 2.0]])), "no matrix of finite numbers"),
        (lambda: Rotation(np.array([[2.0, 0.0], [0.0, 1.0]])), "changes distances"),
        (lambda: Chain((Scale((1.0,)), Scale((1.0, 2.0)))), "step 1 of the sequence maps points of 2 coordinates"),
        (lambda: ByDimension(2, (Part(Identity(), (0,), (1,)),)), "makes the axes"),
        (lambda: ByDimension(1, (Part(Identity(), (1,), (0,)),)), r"of the axes \[1\], and there are 1"),
        (lambda: ByDimension(2, (Part(Scale((1.0,)), (0, 1), (0, 1)),)), "give as many axes"),
        (lambda: Bijection(Scale((1.0,)), Scale((1.0, 2.0))), "1 axes forward and 2 backward"),
        (lambda: Scale((1.0, 2.0))([1.0, 2.0, 3.0]), "has 3 coordinates, and Scale maps points of 2"),
        (lambda: Scale((1.0, 0.0)).inverse(), "scale of axis 1 is 0.0, which nothing undoes"),
        (lambda: ProjectAxis(2, dropped=(0,)).inverse(), "cannot be told from the others"),
        (lambda: Affine(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])).inverse(), "of rank 1, cannot"),
        (lambda: Affine(np.array([[1.0, 1.0, 0.0]])).inverse(), "from 2 to 1 axes"),
        (lambda: ByDimension(2, (Part(Identity(), (0,), (0,)),)).inverse(), "let it use each once"),
    ],
)
def test_what_cannot_be_is_told(make: Any, told: str) -> None:
    with pytest.raises(TransformError, match=told):
        make()


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        ([], "38"),
        ({}, "38"),
        ({"type": "shear"}, "27"),
        ({"type": "scale"}, "39"),
        ({"type": "scale", "scale": [1, "2"]}, "39"),
        ({"type": "scale", "scale": [1, 2, 3]}, "39"),
        ({"type": "scale", "scale": [1, 0]}, "91"),
        ({"type": "mapAxis", "mapAxis": [0.5, 1]}, "39"),
        ({"type": "affine", "affine": [[1, 0, 0], [0, 1]]}, "39"),
        ({"type": "affine", "path": 1}, "39"),
        ({"type": "displacements"}, "39"),
        ({"type": "scale", "path": "numbers"}, "39"),
        ({"type": "rotation", "rotation": [[3, 0], [0, 1]]}, "39"),
        ({"type": "sequence"}, "39"),
        ({"type": "sequence", "transformations": [{"type": "scale", "scale": [1]}]}, "39"),
        ({"type": "projectAxis"}, "39"),
        ({"type": "byDimension", "transformations": [{"type": "identity", "input_axes": [0]}]}, "39"),
        ({"type": "bijection", "forward": {"type": "identity"}}, "38"),
    ],
)
def test_json_that_is_none_is_told_by_its_rule(raw: Any, rule: str) -> None:
    notes = Notes()
    assert read_transform(raw, 2, "here", notes) is None
    assert {finding.rule for finding in notes.stops} == {rule}
    assert all(finding.location.startswith("here") for finding in notes.stops)


@pytest.mark.parametrize(
    "matrix",
    [
        [[1e-9, 0, 1], [0, 1e9, 2]],  # nanoseconds in seconds, and meters in nanometers
        [[1e-9, 1e-9, 0], [1e9, -1e9, 0]],
        [[1e200, 0, 0], [0, 1e-200, 0]],
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_units_of_any_size_do_not_keep_an_affine_from_being_undone(matrix: list[list[float]]) -> None:
    affine = Affine(matrix)
    assert Routes({"a": 2, "b": 2}, [Edge("a", "b", affine)]).transform("b", "a")(affine([3, 4])) == pytest.approx(
        [3, 4]
    )
    image = described({"type": "affine", "affine": matrix, "input": {"name": "intrinsic"}, "output": {"name": "world"}})
    assert list(xomezarr.validate(build(MemoryStore(), image))) == []


@pytest.mark.parametrize("count", [200, 600, 5000])
def test_transformations_in_transformations_without_end_are_told(count: int) -> None:
    sequence: dict[str, Any] = {"type": "identity"}
    bijection: dict[str, Any] = {"type": "identity"}
    for _ in range(count):
        sequence = {"type": "sequence", "transformations": [sequence]}
        bijection = {"type": "bijection", "forward": bijection, "inverse": {"type": "identity"}}
    for raw in (sequence, bijection):
        notes = Notes()
        assert inputs_of(raw) == 1
        assert read_transform(raw, 2, "here", notes) is None
        assert [(finding.rule, finding.location) for finding in notes.stops] == [("39", "here")]


def test_systems_are_reached_by_the_shortest_way_and_backward() -> None:
    edges = [
        Edge("a", "b", Scale((2.0,))),
        Edge("c", "b", Translation((3.0,))),
        Edge("c", "d", Translation((1.0,))),
        Edge("a", "d", chain([Scale((2.0,)), Translation((-2.0,))])),
        Edge("e", "f", Identity()),
    ]
    routes = Routes(dict.fromkeys("abcdef", 1), edges)
    assert routes.transform("a", "c")([1]) == [-1]
    assert routes.transform("c", "a")([-1]) == [1]
    assert routes.transform("a", "d")([5]) == [8]
    assert routes.transform("b", "b")([5]) == [5]
    with pytest.raises(TransformError, match=r"nothing leads from the coordinate system 'a' to 'e'; .*'b'.*'d'"):
        routes.transform("a", "e")
    with pytest.raises(TransformError, match=r"no coordinate system <z>; there are <a>, <b>"):
        Routes({"a": 1, "b": 1}, edges[:1], lambda name: f"<{name}>").transform("a", "z")
    lost = Routes({"a": 2, "b": 1}, [Edge("a", "b", ProjectAxis(2, dropped=(0,)))])
    assert lost.transform("a", "b")([1, 2]) == [2]
    with pytest.raises(TransformError, match=r"'b' to 'a' \(projectAxis drops the axes \[0\]"):
        lost.transform("b", "a")


def test_of_two_transformations_between_systems_the_one_that_can_be_walked_is() -> None:
    edges = [Edge("a", "b", Field(np.zeros((2, 3, 3)))), Edge("a", "b", MapAxis((1, 0)))]
    assert Routes({"a": 2, "b": 2}, edges).transform("b", "a")([1, 2]).tolist() == [2, 1]


def test_ways_that_contradict_each_other_are_told_wherever_one_is_walked() -> None:
    """The loop a, b, c is closed by an edge that leads elsewhere; what hangs on it is not all in doubt."""
    edges = [
        Edge("z", "a", Translation((7.0,))),
        Edge("a", "b", Scale((2.0,))),
        Edge("c", "b", Translation((3.0,))),
        Edge("c", "a", chain([Translation((3.0,)), Scale((0.5 + 1e-7,))])),
        Edge("c", "d", Scale((3.0,))),
        Edge("d", "e", Scale((3.0,))),
    ]
    routes = Routes(dict.fromkeys("abcdez", 1), edges)
    told = r"two ways lead from the coordinate system 'c' to 'a', and to different places: .*Divided.* and .*0\.5000001"
    for source, target in ("ab", "ac", "ze", "eb"):
        with pytest.raises(TransformError, match=told):
            routes.transform(source, target)
    assert routes.transform("z", "a")([1.0]) == [8.0]
    assert routes.transform("c", "e")([1.0]) == [9.0]
    edges[3] = Edge("c", "a", chain([Translation((3.0,)), Scale((0.5 + 1e-12,))]))
    assert Routes(routes.systems, edges).transform("z", "e")([1.0]).round(6) == [117.0]


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_ways_are_compared_in_any_order_where_not_all_can_be_walked_backward(order: tuple[int, ...]) -> None:
    project = Affine([[0, 1, 0, 0], [0, 0, 1, 0]])
    edges = [Edge("a", "c", project), Edge("b", "c", Translation((100.0, 0.0)) @ project), Edge("a", "b", Identity())]
    with pytest.raises(TransformError, match="two ways lead from"):
        Routes({"a": 3, "b": 3, "c": 2}, [edges[number] for number in order]).transform("a", "c")
    edges[1] = Edge("b", "c", project)
    assert not Routes({"a": 3, "b": 3, "c": 2}, [edges[number] for number in order]).loops


def test_steps_of_pixels_are_compared_however_far_from_the_origin_these_lie() -> None:
    def ways(step: float, moved: float = 0.0) -> Routes[str]:
        edges = [Edge("a", "b", Affine([[one, 0, 5e7 + far], [0, 100, 0]])) for one, far in ((100.0, 0), (step, moved))]
        return Routes({"a": 2, "b": 2}, edges)

    assert len(ways(100.04).loops) == len(ways(100.0, 1.0).loops) == 1
    assert not ways(100 + 1e-9, 1e-3).loops


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "bspline-cubic", "cubic"])
def test_fields_map_by_their_samples(interpolation: str) -> None:
    y, x = np.meshgrid(np.arange(6.0), np.arange(8.0), indexing="ij")
    samples = np.stack([2 * y + x, x - y + 1])
    to_samples = Scale((0.5, 0.5)).inverse()
    points = np.array([[1.0, 1.5], [0.0, 3.0], [2.5, 0.5]])
    linear = np.array([[2.0, 1.0], [-1.0, 1.0]])
    expected = (points / 0.5) @ linear.T + [0, 1]
    where = Field(samples, to_samples, interpolation=interpolation)
    np.testing.assert_allclose(where(points), expected, atol=1e-2 if "cubic" in interpolation else 1e-12)
    by = Field(samples, to_samples, relative=True, interpolation=interpolation)
    np.testing.assert_allclose(by(points), points + where(points))
    # beyond the samples the nearest of them counts, and nowhere stays nowhere
    np.testing.assert_allclose(where([[-9.0, 99.0]]), where([[0.0, 3.5]]))
    assert np.isnan(where([[1.0, np.nan], [1.0, 1.0]])).all(axis=1).tolist() == [True, False]
    assert where(np.zeros((0, 2))).shape == (0, 2)
    with pytest.raises(TransformError, match="a bijection"):
        by.inverse()
    with pytest.raises(TransformError, match="displacements of 2 coordinates cannot be added to points of 1"):
        Field(samples[:, 0], relative=True)
    with pytest.raises(TransformError, match=r"of shape .* has no samples along an axis"):
        Field(samples[0, 0])
    with pytest.raises(TransformError, match="none of 'nearest'"):
        Field(samples, interpolation="spline")


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_of_a_field_no_more_is_read_than_points_ask_for(interpolation: str) -> None:
    class Watched:
        shape = (2, 1000, 1000)
        boxes: ClassVar[list[Any]] = []

        def __getitem__(self, box: Any) -> Any:
            self.boxes.append(tuple((part.start, part.stop) for part in box[1:]))
            sizes = [part.stop - part.start for part in box[1:]]
            y, x = np.meshgrid(*(np.arange(part.start, part.stop) for part in box[1:]), indexing="ij")
            return np.stack([y, x]).reshape(2, *sizes)

    watched = Watched()
    points = np.array([[10.25, 700.75], [12.0, 703.25]])
    made = Field(watched, interpolation=interpolation)(points)
    np.testing.assert_allclose(made, points if interpolation == "linear" else np.round(points))
    assert watched.boxes == [((10, 13), (700, 705))]


def test_points_that_lie_far_apart_are_looked_up_by_boxes_of_their_own() -> None:
    read: list[int] = []

    class Watched:
        shape = (2, 3000, 3000)

        def __getitem__(self, box: tuple[slice, ...]) -> Any:
            sizes = [part.stop - part.start for part in box[1:]]
            read.append(int(np.prod(sizes)))
            y, x = np.mgrid[box[1:]]
            return np.stack([y * 2.0, x + 0.5])

    points = np.array([[0.25, 0.5], [2990.5, 10.75], [2.5, 2998.0], [2998.0, 2997.25], [1500.0, 1501.5]])
    np.testing.assert_allclose(Field(Watched())(points), points * [2, 1] + [0, 0.5], rtol=1e-12)
    assert sum(read) < 20_000  # of nine million


def test_what_is_stored_is_read_when_it_is_needed() -> None:
    asked: list[str] = []

    def read() -> Transform:
        asked.append("read")
        return Affine([[2, 0, 1], [0, 4, 0]])

    there = Chain((Scale((1.0, 1.0)), Stored("affine", "matrix", read=read)))
    assert there == Chain((Scale((1.0, 1.0)), Stored("affine", "matrix")))
    assert not asked
    assert there([1, 1]).tolist() == [3, 4]
    assert there.inverse()([3, 4]).tolist() == [1, 1]
    np.testing.assert_array_equal(there.matrix(2), [[2, 0, 1], [0, 4, 0]])
    nested = Bijection(there, ByDimension(2, (Part(Stored("rotation", "r"), (0, 1), (0, 1)),)))
    assert [one.path for one in stored(nested)] == ["matrix", "r"]
    assert stored(with_stored(nested, lambda *_: Identity())) == ()


def test_chains_are_flat() -> None:
    scale, moved = Scale((2.0,)), Translation((1.0,))
    assert chain([]) == Identity()
    assert chain([Identity(), scale]) == scale
    assert chain([scale, chain([moved, Identity(), scale])]) == Chain((scale, moved, scale))
    assert (moved @ scale)([1.0]) == [3.0]


def test_a_chain_does_not_guess_how_many_axes_a_stored_step_gives() -> None:
    steps = (Scale((2.0, 3.0)), Stored("affine", "matrix"), Translation((1.0, 2.0, 3.0)))
    assert Chain(steps).leads_to(2) == 3
    with pytest.raises(TransformError, match="step 2 of the sequence maps points of 3 coordinates"):
        Chain((Scale((2.0, 3.0)), Stored("displacements", "field"), Translation((1.0, 2.0, 3.0))))
