"""The recurrent cells, each with its equations as a plain loop and its fast path."""
