import numpy as np
import pytest
import xarray as xr

from faconv_cli.compare.labels import read_labels
from faconv_cli.cube.time.timeaxis import TimeAxis
from faconv_cli.errors import InputError


def _time(start="2001-01-01", count=5, freq="D"):
    return TimeAxis.from_values(xr.date_range(start, periods=count, freq=freq).values)


def _read(tmp_path, text, time=None):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return read_labels(path, time or _time())


def test_labels_are_matched_by_date(tmp_path):
    found = _read(
        tmp_path, "date,type,index\n2001-01-03,B,0.5\n2001-01-01,A,0.1\n2001-01-02,,0.2\n2001-01-09,A,0\n"
    )
    assert list(found) == ["type"]
    assert found["type"].tolist() == ["A", "", "B", "", ""]


def test_whole_numbers_are_labels(tmp_path):
    found = _read(tmp_path, "date,type\n2001-01-01,1\n2001-01-02,2\n")
    assert found["type"].tolist() == ["1", "2", "", "", ""]


def test_a_month_is_matched_whatever_its_day(tmp_path):
    time = _time("2001-01-16", 3, "MS")
    found = _read(tmp_path, "time,phase\n2001-02-01,L\n2001-03-01,N\n2001-04-01,E\n", time)
    assert found["phase"].tolist() == ["L", "N", "E"]


def test_every_hour_of_a_day_has_its_label(tmp_path):
    found = _read(tmp_path, "date,type\n2001-01-01,A\n2001-01-02,B\n", _time(count=6, freq="6h"))
    assert found["type"].tolist() == ["A"] * 4 + ["B"] * 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "No columns"),
        ("date\n2001-01-01\n", "1 columns"),
        ("date,type\nJanuary,A\n", "the first column holds 'January'"),
        ("date,type\n1999-01-01,A\n1999-01-02,B\n", "no labels for 2001-01-01 to 2001-01-05"),
        ("date,index\n2001-01-01,0.5\n2001-01-02,0.6\n", "no labels"),
        ("date,same\n2001-01-01,A\n2001-01-02,A\n", "no labels"),
    ],
)
def test_a_table_without_labels_is_refused(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        _read(tmp_path, text)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv"):
        read_labels(tmp_path / "none.csv", _time())


def test_the_real_label_tables_are_read(real_data):
    daily = _time("2001-01-01", 3652)
    lamb = read_labels(real_data / "labels/lamb_jc_lwt11_2001-2010.csv", daily)
    assert len(set(lamb["lwt11"])) == 11
    nao = read_labels(real_data / "labels/nao_phase_2001-2010.csv", daily)
    assert list(nao) == ["nao_phase"]
    oni = read_labels(real_data / "labels/oni_phase_1950-2009.csv", _time("1950-01-01", 720, "MS"))
    assert np.unique(oni["phase"]).size in (3, 4)
