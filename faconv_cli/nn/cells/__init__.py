"""The recurrent cells, each with its equations as a plain loop and its fast path.

- convlstm, convgru: the classical cells.
- minconv: what the MinConv cells share; their gates read x alone, so that all steps run at once.
- minconvgru, minconvlstm, minconvexplstm: the MinConv cells.
- faconvlstm: factorised gates and axial attention.
- faconvlstm_parts: its weights and mechanisms.
- faconvlstm_fast: chooses its fast path.
- faconvlstm_run, faconvlstm_fused: the fast paths on a CPU and on a GPU.
- minfaconvlstm: factorised gates that read x alone.
"""
