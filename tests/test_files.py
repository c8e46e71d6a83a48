import os
from pathlib import Path

import pytest

from faconv_cli.errors import OutputError
from faconv_cli.files import atomic_output, check_output, log_file, without_credentials


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.nc"
    with pytest.raises(ValueError, match="no"), atomic_output(path, overwrite=False) as temporary:
        temporary.write_text("half")
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []
    with atomic_output(path, overwrite=False) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_replacement_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.nc"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_output(path, overwrite=True) as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_exists_is_refused_unless_it_may_be_replaced(tmp_path):
    path = tmp_path / "out.nc"
    path.write_text("old")
    with pytest.raises(OutputError, match=r"already exists.*--overwrite"):
        check_output(path, overwrite=False)
    check_output(path, overwrite=True)


def test_an_output_without_a_folder_or_that_is_one_is_refused(tmp_path):
    with pytest.raises(OutputError, match="is not a folder"):
        check_output(tmp_path / "none" / "out.nc", overwrite=False)
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path, overwrite=True)


def test_an_unwritable_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="cannot be written"):
        check_output(tmp_path / "out.nc", overwrite=False)


def test_a_full_disk_is_told_as_an_output_error(tmp_path):
    with (
        pytest.raises(OutputError, match="No space left"),
        atomic_output(tmp_path / "out.nc", overwrite=False),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_command_made_in_the_meantime_is_kept(tmp_path):
    path = tmp_path / "out.nc"
    with (
        pytest.raises(OutputError, match="already exists"),
        atomic_output(path, overwrite=False) as temporary,
    ):
        temporary.write_text("ours")
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_an_input_is_not_replaced_even_where_outputs_may_be(tmp_path):
    path, link = tmp_path / "data.nc", tmp_path / "link.nc"
    path.write_text("data")
    link.symlink_to(path)
    for output in (path, link):
        with pytest.raises(OutputError, match="is an input and would be replaced"):
            check_output(output, overwrite=True, inputs=[tmp_path / "none.nc", path])


def test_what_a_link_points_at_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "scratch").mkdir()
    path, link = tmp_path / "scratch" / "out.nc", tmp_path / "link.nc"
    link.symlink_to(path)
    for text in ("first", "second"):
        with atomic_output(link, overwrite=True) as temporary:
            temporary.write_text(text)
        assert link.is_symlink()
        assert path.read_text() == text
    assert list((tmp_path / "scratch").iterdir()) == [path]


def test_a_pipe_or_a_device_is_no_output(tmp_path):
    os.mkfifo(tmp_path / "pipe.nc")
    for path in (tmp_path / "pipe.nc", Path(os.devnull)):
        with pytest.raises(OutputError, match="is a device or a pipe"):
            check_output(path, overwrite=True)


def test_a_name_that_netcdf_cannot_have_is_refused(tmp_path):
    with pytest.raises(OutputError, match="is not UTF-8"):
        check_output(tmp_path / "\udcff.nc", overwrite=False)


def test_a_name_that_the_system_cannot_have_is_refused(tmp_path):
    with pytest.raises(OutputError, match="name too long"):
        check_output(tmp_path / ("x" * 300), overwrite=False)


def test_one_process_at_a_time_writes_a_log(tmp_path):
    path = tmp_path / "log"
    with log_file(path, append=False) as one:
        one("first")
        with (
            pytest.raises(OutputError, match="being written by another process"),
            log_file(path, append=False),
        ):
            pass
    assert path.read_text() == "first\n"
    with log_file(path, append=True) as more:
        more("second")
    assert path.read_text() == "first\nsecond\n"
    with log_file(path, append=False) as anew:
        assert path.read_text() == "first\nsecond\n"  # until there is something new
        anew("third")
    assert path.read_text() == "third\n"


def test_a_log_that_got_no_line_does_not_stay(tmp_path):
    with pytest.raises(ValueError, match="failed"), log_file(tmp_path / "log", append=False):
        raise ValueError("failed")
    assert list(tmp_path.iterdir()) == []


def test_credentials_stay_out_of_what_is_written():
    told = without_credentials("read s3::https://me:secret@host.org/a@b.zarr and /data/x@y.nc")
    assert told == "read s3::https://host.org/a@b.zarr and /data/x@y.nc"
