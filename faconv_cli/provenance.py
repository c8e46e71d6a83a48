"""What every file made from a checkpoint says about where it comes from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import faconv_cli
from faconv_cli import schema
from faconv_cli.cube.cube import Cube

if TYPE_CHECKING:
    from faconv_cli.checkpoint import Checkpoint

REFERENCES = {
    "faconvlstm": "arXiv:2601.10914",
    "minfaconvlstm": "arXiv:2601.10914, arXiv:2508.03614",
    "convlstm": "arXiv:1506.04214",
    "convgru": "arXiv:1511.06432",
    "minconvlstm": "arXiv:2508.03614",
    "minconvgru": "arXiv:2508.03614",
    "minconvexplstm": "arXiv:2508.03614",
    "eof": "Weare and Nasstrom 1982, Mon. Wea. Rev. 110; Penland and Sardeshmukh 1995, J. Climate 8",
}


def global_attributes(title: str, checkpoint: Checkpoint, cube: Cube, command: str) -> dict[str, Any]:
    """Return the global attributes of a file made from ``cube`` by ``checkpoint``."""
    return {
        **checkpoint_attributes(title, checkpoint, command),
        schema.CHANNELS: ", ".join(channel.name for channel in cube.channels),
        schema.SOURCES: ", ".join(cube.sources),
        **notes(cube),
    }


def checkpoint_attributes(title: str, checkpoint: Checkpoint, command: str) -> dict[str, Any]:
    """Return the global attributes of a file made from ``checkpoint``."""
    record = checkpoint.record
    return {
        "Conventions": schema.CONVENTIONS,
        "title": title,
        "institution": "not given",
        "source": f"faconv {faconv_cli.__version__}, encoder {checkpoint.config.encoder.encoder}",
        "references": REFERENCES[checkpoint.config.encoder.encoder],
        "comment": f"Trained on {', '.join(record['training']['sources'])}, "
        f"{' to '.join(record['training']['period'])}",
        "history": history(command),
        "faconv_version": faconv_cli.__version__,
        schema.CHECKPOINT_SHA256: checkpoint.sha256,
        schema.CONFIG: checkpoint.config.model_dump_json(),
        schema.TRAINING: json.dumps(record["training"]),
    }


def notes(cube: Cube) -> dict[str, str]:
    """Report what was done to ``cube``, what was left out, and what was missing in the data read."""
    return {
        "faconv_notes": " ".join((*cube.notes, *cube.masked)),
        "faconv_left_out": json.dumps(cube.left_out or {}),
    }


def history(command: str) -> str:
    """Return the line of ``history`` that a command adds now."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {command}"
