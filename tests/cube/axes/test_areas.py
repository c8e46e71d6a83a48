"""Cell areas are aligned with the data by their coordinates."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from faconv_cli.cube.join.source import open_cube
from faconv_cli.errors import InputError

NORTH, EAST = {"units": "degrees_north"}, {"units": "degrees_east"}
LAT, LON = np.arange(-50.0, 51, 20), np.arange(0.0, 360, 30)
AREA = np.arange(1.0, 73).reshape(6, 12)
MEASURED = {"units": "K", "cell_measures": "area: areacella"}
FIELDS = np.random.default_rng(0).normal(size=(4, 6, 12)).astype(np.float32)


@pytest.fixture
def data(tmp_path):
    return save(tmp_path / "data.nc", {"t2m": (("time", "lat", "lon"), FIELDS, MEASURED)})


def save(path, variables, lat=LAT, lon=LON, *, time=True):
    coordinates = {"lat": ("lat", lat, NORTH), "lon": ("lon", lon, EAST)}
    if time:
        coordinates["time"] = ("time", np.arange(4), {"units": "days since 2001-01-01"})
    xr.Dataset(variables, coordinates).to_netcdf(path)
    return path


def areas(path, lat=LAT, lon=LON, *, values=AREA, name="areacella"):
    about = {"units": "m2", "standard_name": "cell_area"}
    return save(path, {name: (("lat", "lon"), values, about)}, lat, lon, time=False)


@given(st.booleans(), st.booleans(), st.integers(0, 11), st.sampled_from([0.0, -180.0]), st.booleans())
def test_the_order_of_the_file_of_areas_changes_nothing(tmp_path_factory, south, west, shift, low, repeated):
    folder = tmp_path_factory.mktemp("areas")
    rows, columns = np.arange(6), np.roll(np.arange(12), shift)
    if repeated:
        columns = np.append(columns, columns[0])
    rows, columns = (index[::-1] if turned else index for index, turned in ((rows, south), (columns, west)))
    lon = (LON[columns] - low) % 360 + low
    path = areas(folder / "a.nc", LAT[rows], lon, values=AREA[rows[:, None], columns])
    record = save(folder / "data.nc", {"t2m": (("time", "lat", "lon"), FIELDS, MEASURED)})
    cube = open_cube([record, path])
    np.testing.assert_allclose(cube.grid.area, AREA / AREA.sum())
    assert "Points are weighted by the cell areas 'areacella'." in cube.notes


def test_areas_in_another_group_of_the_file_are_aligned_by_its_own_coordinates(tmp_path):
    path = tmp_path / "x.nc"
    named = {"lon": ("lon", LON, EAST)}
    about = {"units": "m2", "standard_name": "cell_area"}
    fixed = xr.Dataset(
        {"areacella": (("lat", "lon"), AREA[::-1], about)}, named | {"lat": ("lat", LAT[::-1], NORTH)}
    )
    time = ("time", np.arange(4), {"units": "days since 2001-01-01"})
    fields = {"t2m": (("time", "lat", "lon"), FIELDS, MEASURED)}
    xr.Dataset(fields, named | {"lat": ("lat", LAT, NORTH), "time": time}).to_netcdf(path, group="data")
    fixed.to_netcdf(path, group="fixed", mode="a")
    np.testing.assert_allclose(open_cube([path]).grid.area, AREA / AREA.sum())


def test_areas_of_the_globe_weigh_a_region_of_it(tmp_path):
    about = (("time", "lat", "lon"), FIELDS[:, 1:4, [10, 11, 0, 1]], MEASURED)
    record = save(tmp_path / "data.nc", {"t2m": about}, LAT[1:4], np.array([-60.0, -30, 0, 30]))
    cube = open_cube([record, areas(tmp_path / "a.nc", LAT[::-1], LON, values=AREA[::-1])])
    expected = AREA[1:4][:, [10, 11, 0, 1]]
    np.testing.assert_allclose(cube.grid.area, expected / expected.sum())


@pytest.mark.parametrize(
    ("lat", "lon"), [(LAT + 1, LON), (LAT, LON + 1), (LAT[:-1], LON), (np.arange(-50.0, 51, 10), LON)]
)
def test_areas_of_another_grid_are_refused_with_both_told(data, tmp_path, lat, lon):
    path = areas(tmp_path / "a.nc", lat, lon, values=np.ones((len(lat), 12)))
    with pytest.raises(InputError) as error:
        open_cube([data, path])
    assert f"in {path} on {len(lat)} x 12 points, latitudes {lat[0]:g} to {lat[-1]:g}" in str(error.value)
    assert "grid of t2m (6 x 12 points, latitudes -50 to 50, longitudes 0 to 330)" in str(error.value)


def test_areas_of_another_grid_matter_only_to_the_variable_that_names_them(tmp_path):
    variables = {
        "t2m": (("time", "lat", "lon"), FIELDS, MEASURED),
        "pr": (("time", "lat", "lon"), FIELDS, {"units": "mm"}),
    }
    files = [save(tmp_path / "data.nc", variables), areas(tmp_path / "a.nc", LAT + 1)]
    assert [channel.name for channel in open_cube(files, variables=["pr"]).channels] == ["pr"]
    for asked in (None, ["pr", "t2m"]):
        with pytest.raises(InputError, match="t2m names the cell areas"):
            open_cube(files, variables=asked)


def test_areas_without_coordinates_in_a_file_of_their_own_are_refused(data, tmp_path):
    xr.Dataset({"areacella": (("lat", "lon"), AREA)}).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"a.nc with no horizontal grid \(dimensions lat, lon\)"):
        open_cube([data, tmp_path / "a.nc"])


def test_areas_that_change_in_time_are_refused(data, tmp_path):
    path = tmp_path / "a.nc"
    save(path, {"areacella": (("time", "lat", "lon"), FIELDS)})
    with pytest.raises(InputError, match=r"a\.nc along lat, lon, time"):
        open_cube([data, path])


def test_of_areas_of_one_name_those_of_the_grid_are_taken(data, tmp_path):
    files = [areas(tmp_path / "a.nc", LAT + 1), areas(tmp_path / "b.nc", LAT[::-1], values=AREA[::-1])]
    cube = open_cube([data, *files])
    np.testing.assert_allclose(cube.grid.area, AREA / AREA.sum())


def test_areas_in_the_file_of_the_data_lose_the_repeated_meridian_with_them(tmp_path):
    columns = np.append(np.arange(12), 0)
    variables = {
        "t2m": (("time", "lat", "lon"), FIELDS[:, :, columns], MEASURED),
        "areacella": (("lon", "lat"), AREA[:, columns].T),
    }
    cube = open_cube([save(tmp_path / "data.nc", variables, lon=np.append(LON, 360.0))])
    np.testing.assert_allclose(cube.grid.area, AREA / AREA.sum())


def test_areas_that_hold_nothing_are_told(data, tmp_path):
    cube = open_cube([data, areas(tmp_path / "a.nc", values=AREA * 0)])
    assert cube.grid.cell_area is None
    assert (
        "Cell areas 'areacella' hold no valid value: points are weighted by cell areas computed "
        "from their coordinates." in cube.notes
    )


def test_channels_with_other_areas_than_the_first_are_told(tmp_path):
    other = {"units": "mm", "cell_measures": "area: area_of_rain"}
    variables = {
        "t2m": (("time", "lat", "lon"), FIELDS, MEASURED),
        "pr": (("time", "lat", "lon"), FIELDS, other),
        "areacella": (("lat", "lon"), AREA),
        "area_of_rain": (("lat", "lon"), AREA[::-1]),
    }
    cube = open_cube([save(tmp_path / "data.nc", variables)])
    np.testing.assert_allclose(cube.grid.area, AREA / AREA.sum())
    assert "The cell areas of t2m weight all channels, although those of pr differ." in cube.notes


def test_areas_on_two_dimensional_coordinates_are_found_by_them(tmp_path):
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    lat, lon = lat + lon / 40, lon - lat / 10
    order = np.s_[::-1, ::-1]
    time = ("time", np.arange(4), {"units": "days since 2001-01-01"})
    xr.Dataset(
        {"t2m": (("time", "y", "x"), FIELDS, MEASURED)},
        {"lat": (("y", "x"), lat, NORTH), "lon": (("y", "x"), lon, EAST), "time": time},
    ).to_netcdf(tmp_path / "data.nc")
    xr.Dataset(
        {"areacella": (("y", "x"), AREA[order])},
        {"lat": (("y", "x"), lat[order], NORTH), "lon": (("y", "x"), lon[order] % 360, EAST)},
    ).to_netcdf(tmp_path / "a.nc")
    cube = open_cube([tmp_path / "data.nc", tmp_path / "a.nc"])
    np.testing.assert_allclose(cube.grid.area, AREA / AREA.sum())


# --- bounds ---------------------------------------------------------------------------------------

EDGES = np.array([-90.0, -45, -25, 0, 20, 48, 90])


def bounded(path, edges, lat=LAT, lon=LON, *, units="degrees_north", lon_edges=None, factor=1.0):
    """A record whose latitudes, and perhaps longitudes, have bounds."""
    pairs = np.stack([edges[:-1], edges[1:]], axis=1)
    variables = {"t2m": (("time", "lat", "lon"), FIELDS), "lat_bnds": (("lat", "two"), pairs * factor)}
    about = {"lat": {"units": units, "bounds": "lat_bnds"}, "lon": dict(EAST)}
    if lon_edges is not None:
        variables["lon_bnds"] = (("lon", "two"), np.stack([lon_edges[:-1], lon_edges[1:]], axis=1))
        about["lon"]["bounds"] = "lon_bnds"
    coordinates = {
        "lat": ("lat", lat * factor, about["lat"]),
        "lon": ("lon", lon, about["lon"]),
        "time": ("time", np.arange(4), {"units": "days since 2001-01-01"}),
    }
    xr.Dataset(variables, coordinates).to_netcdf(path)
    return path


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("units", "factor"), [("degrees_north", 1.0), ("radian", np.pi / 180)])
def test_bounds_of_latitude_tell_how_high_cells_are(tmp_path, turned, units, factor):
    order = slice(None, None, -1 if turned else 1)
    cube = open_cube([bounded(tmp_path / "b.nc", EDGES[order], LAT[order], units=units, factor=factor)])
    heights = np.diff(np.sin(np.radians(EDGES)))
    np.testing.assert_allclose(cube.grid.area, np.outer(heights, np.full(12, 1 / 12)) / heights.sum())
    assert "Points are weighted by the areas between the bounds of latitude and longitude." in cube.notes


@pytest.mark.parametrize("turned", [False, True])
def test_bounds_need_not_touch_across_a_hole(tmp_path, turned):
    order = slice(None, None, -1 if turned else 1)
    lat = np.array([-60.0, -50, -40, 40, 50, 60])
    pairs = np.array([[-65, -55], [-55, -45], [-45, -38], [38, 45], [45, 55], [55, 65]])
    path = bounded(tmp_path / "b.nc", np.arange(7.0), lat[order])
    with xr.open_dataset(path, decode_times=False) as file:
        changed = file.load().assign(lat_bnds=(("lat", "two"), pairs[order]))
    changed.to_netcdf(path)
    heights = np.diff(np.sin(np.radians(pairs)))[:, 0]
    np.testing.assert_allclose(open_cube([path]).grid.area.sum(axis=1), heights / heights.sum())


@pytest.mark.parametrize("turned", [False, True])
def test_bounds_of_longitude_tell_how_wide_cells_are(tmp_path, turned):
    order = slice(None, None, -1 if turned else 1)
    edges = np.append(LON - 10, 350.0)[order]
    middles = np.arange(-60, 61, 20.0)
    lon = (LON - 180)[order]
    cube = open_cube([bounded(tmp_path / "b.nc", middles, lon=lon, lon_edges=edges - 180)])
    assert cube.grid.cell_area is None  # all are 30 degrees wide: as without bounds
    uneven = np.array([-20.0, 20, 40, 80, 110, 130, 160, 190, 230, 250, 280, 310, 340])
    cube = open_cube([bounded(tmp_path / "u.nc", middles, lon=LON[order], lon_edges=uneven[order])])
    np.testing.assert_allclose(cube.grid.area[2] / cube.grid.area[2].sum(), np.diff(uneven) / 360)


@pytest.mark.parametrize(
    "edges",
    [
        EDGES + 30,  # of other points
        np.array([-90.0, -45, -25, 0, 20, np.nan, 90]),
    ],
)
def test_bounds_that_contradict_their_coordinate_are_not_used_and_told(tmp_path, edges):
    cube = open_cube([bounded(tmp_path / "b.nc", edges)])
    assert cube.grid.cell_area is None
    assert "The bounds of 'lat' contradict the coordinate and are not used." in cube.notes


def test_bounds_midway_between_the_points_are_as_none(tmp_path):
    cube = open_cube([bounded(tmp_path / "b.nc", np.arange(-60.0, 61, 20))])
    assert cube.grid.cell_area is None
    assert not cube.notes


def test_named_areas_come_before_bounds(tmp_path):
    path = bounded(tmp_path / "b.nc", EDGES)
    with xr.open_dataset(path, decode_times=False) as file:
        both = file.load().assign(areacella=(("lat", "lon"), AREA))
    both.t2m.attrs["cell_measures"] = "area: areacella"
    both.to_netcdf(tmp_path / "both.nc")
    np.testing.assert_allclose(open_cube([tmp_path / "both.nc"]).grid.area, AREA / AREA.sum())


def test_areas_that_are_used_are_not_left_out_for_want_of_a_time(data, tmp_path):
    cube = open_cube([data, areas(tmp_path / "a.nc")])
    assert cube.left_out == {"areacella": "a cell measure"}


@pytest.mark.parametrize("fill", [9.969209968386869e36, 1e20, -9999.0])
def test_undeclared_fill_among_areas_carries_no_weight_and_is_told(data, tmp_path, fill):
    odd = AREA.copy()
    odd[2, 5] = fill
    cube = open_cube([data, areas(tmp_path / "area.nc", values=odd)])
    known = np.where(odd == fill, 0.0, AREA)
    np.testing.assert_allclose(cube.grid.area, known / known.sum())
    assert any(
        f"1 of 72 cell areas 'areacella' are not valid areas ({fill:.6g})" in note for note in cube.notes
    )


def test_areas_that_differ_much_are_areas(data, tmp_path):
    steep = AREA.copy()
    steep[0] *= 1e-3
    steep[5] *= 20
    cube = open_cube([data, areas(tmp_path / "area.nc", values=steep)])
    np.testing.assert_allclose(cube.grid.area, steep / steep.sum())


@pytest.mark.parametrize("dated", [False, True])
def test_areas_may_have_a_time_of_one_step(data, tmp_path, dated):
    path = areas(tmp_path / "area.nc")
    with xr.open_dataset(path) as ds:
        ds = ds.load().expand_dims("time")
    if dated:
        ds["time"] = ("time", [100.0], {"units": "days since 2001-01-01"})
    ds.to_netcdf(path)
    np.testing.assert_allclose(open_cube([data, path]).grid.area, AREA / AREA.sum())
