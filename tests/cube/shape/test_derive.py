import numpy as np
import pytest

from faconv_cli.cube.channel import Channel
from faconv_cli.cube.shape.derive import derive, inputs_of, parse_all
from faconv_cli.errors import InputError, UsageError


def _winds(make_cube, steps=30, seed=0):
    fields = np.random.default_rng(seed).normal(0, 5, (steps, 2, 3, 4)).astype(np.float32)
    fields[4, 0, 1, 2] = np.nan
    cube = make_cube(fields, chunks=7)
    object.__setattr__(cube, "channels", (Channel("u", "m s-1"), Channel("v", "m/s")))
    return cube, fields.astype(float)


def test_a_channel_is_worked_out_point_by_point_and_missing_where_an_input_is(make_cube):
    cube, fields = _winds(make_cube)
    made = derive(cube.pick([1]), cube, parse_all(["wind=hypot(u,v)", "energy=wind**2/2"]))
    assert made.channels == (
        cube.channels[1],
        Channel("wind", "m s-1", "hypot(u,v)"),
        Channel("energy", "m2 s-2", "wind**2/2"),
    )
    expected = np.hypot(fields[:, 0], fields[:, 1])
    np.testing.assert_allclose(made.read(0, 30)[:, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(made.read(0, 30)[:, 2], expected**2 / 2, rtol=1e-6)
    np.testing.assert_array_equal(made.read(0, 30)[:, 0], fields[:, 1].astype(np.float32))
    assert np.isnan(made.read(4, 5)[0, 1, 1, 2])
    assert "wind is hypot(u,v), in m s-1." in made.notes


def test_only_derived_channels_may_be_left(make_cube):
    cube, fields = _winds(make_cube)
    made = derive(cube.pick([]), cube, parse_all(["w=u-v"]))
    assert made.shape == (30, 1, 3, 4)
    np.testing.assert_allclose(
        made.read(2, 9)[:, 0], (fields[:, 0] - fields[:, 1])[2:9], rtol=1e-5, atol=1e-5
    )
    assert "w is u-v, in m s-1." in made.notes


def test_what_has_no_finite_value_is_missing(make_cube):
    cube, fields = _winds(make_cube)
    read = derive(cube, cube, parse_all(["x=log(u)", "y=1/(u-u)", "z=1e30*v"])).read(0, 30)
    np.testing.assert_array_equal(np.isnan(read[:, 2]), ~(fields[:, 0] > 0))
    assert np.isnan(read[:, 3]).all()
    np.testing.assert_array_equal(np.isnan(read[:, 4]), np.abs(fields[:, 1]) > 1)


def test_units_that_are_not_known_are_said(make_cube):
    cube, _ = _winds(make_cube)
    made = derive(cube, cube, parse_all(["x=exp(u)"]))
    assert made.channels[2].units == ""
    assert "x is exp(u), in unknown units." in made.notes


def test_inputs_are_those_that_no_earlier_formula_makes():
    assert inputs_of(parse_all(["a=u+v", "b=a*w", "c=b+u"])) == ("u", "v", "w")


@pytest.mark.parametrize(
    ("items", "told"), [(["a=u", "a=v"], "defines a twice"), (["exp=u"], "although it is a function")]
)
def test_each_result_has_a_name_of_its_own(items, told):
    with pytest.raises(UsageError, match=told):
        parse_all(items)


@pytest.mark.parametrize(
    ("item", "told"),
    [("x=u+z500", "no channel z500"), ("u=v", "already has a channel u"), ("x=y+u", "no channel y")],
)
def test_inputs_that_are_not_there_and_names_that_are_taken_are_refused(make_cube, item, told):
    cube, _ = _winds(make_cube)
    with pytest.raises(InputError, match=told):
        derive(cube, cube, parse_all([item]))


@pytest.mark.parametrize("name", ["time", "lat", "lon"])
def test_a_result_cannot_have_the_name_of_a_coordinate(name):
    with pytest.raises(UsageError, match=f"--derive names a channel '{name}'.*coordinates"):
        parse_all([f"{name}=t*2"])
