"""Sweeps: closed forms over grids of sizes, runs and devices, exact, in memory, to files, and on clusters.

>>> from symflops.sweeping import sweep
>>> found = sweep("llama3-8b", {"seq": [4096, 8192], "device": ["a100", "h100"], "tokens": 15e12, "count": 1024,
...     "mfu": 0.4}, ["days"], numbers="float64")
>>> print(found.text())
  seq  device              tokens  count  mfu     days
-----  ------  ------------------  -----  ---  -------
...
"""

from symflops.sweeping.measures import MEASURES, Measure
from symflops.sweeping.parts import Column, Sweep
from symflops.sweeping.preparing import prepared
from symflops.sweeping.swept import Swept, held, stream, sweep

__all__ = ["MEASURES", "Column", "Measure", "Sweep", "Swept", "held", "prepared", "stream", "sweep"]
