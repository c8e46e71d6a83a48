"""A small domain for the tests of networks."""

import numpy as np
import pytest
import torch

from faconv_cli.nn.mechanisms.domain import Domain
from faconv_cli.windows.plan import plan_tiles


@pytest.fixture
def make_domain():
    """Make a domain of h x w points, optionally tiled, periodic and with fewer nodes than points."""

    def make(h, w, nodes=None, *, tile=None, halo=0, periodic=False, multiple=1, masked=0.0, seed=0):
        rng = np.random.default_rng(seed)
        tiles = plan_tiles((h, w), tile=tile, halo=halo, periodic=periodic, multiple=multiple)
        area = rng.uniform(0.5, 1.5, (h, w)) * (rng.uniform(size=(h, w)) >= masked)
        gh, gw = nodes or (h, w)
        node_x = np.arange(w) * (gw / w if periodic else (gw - 1) / max(w - 1, 1))
        index = [tiles.index(i) for i in range(len(tiles))]
        return Domain(
            area=torch.from_numpy(area / area.sum()).double(),
            node_y=torch.from_numpy(np.arange(h) * (gh - 1) / max(h - 1, 1)).double(),
            node_x=torch.from_numpy(node_x).double(),
            coordinates=torch.from_numpy(rng.normal(size=(h, w, 5))).double(),
            tile_rows=torch.from_numpy(np.stack([y for y, _ in index])),
            tile_columns=torch.from_numpy(np.stack([x for _, x in index])),
            blend=torch.from_numpy(tiles.blend()).double(),
            statics=torch.zeros(0, h, w).double(),
        )

    return make
