"""Calibration: turns the machine it runs on into a cost profile (`rehearse calibrate`).

    points.py grid.py sizes.py what is measured, in a CPU's or a GPU's sizes: kernels of every family, collectives,
                               collectives beside compute
    scenarios.py asked.py      what given scenarios will ask for: their very kernels, messages and pieces
    pieces.py typical.py       pieces: units, updates and compressors as the executor runs them; those always measured
    checks.py facts.py         what is timed only to judge the prices; launches and copies of a GPU
    measure/                   the measuring processes, the only part that imports torch; torchrun's are joined
    session.py journal.py      rounds over everything until the time is up; every sample that was taken
    build.py fits.py files.py  samples -> profile with held-out errors, written in one piece
    imports/ assumed.py        times that were taken elsewhere, into a profile; what nobody measured
    published/ profiles/       profiles made of published tables, and the files that ship

How: all ranks of the machine run the same op at once, and one rank alone; rounds visit every point once, so that drift
meets all alike, and a sentinel product is timed every few seconds. A sample is what passed on the clock, waits for a
core included. Whole samples are kept, by visit: within a visit a step's own scatter, which it pays as a sum of means;
from visit to visit the machine's, of which a median step sees the middle. A single kernel, a single unit and a single
message are measured, never a step of a plan; a unit of a tensor-parallel plan with its collectives, whose time is kept
apart.

Not measured: launches beside a busy device and reductions in 16 bits on CPUs; groups of more than 4 processes; a rank
that has all cores to itself (a cluster of one rank is priced as one of two, the other idle). The same code measures a
CUDA device; no GPU has seen it yet.
"""
