"""How speed is measured: cases, turns, processes, and the files of results."""
