"""Imports: what was timed elsewhere, read into a cost profile (`rehearse calibrate --import KIND FILE`).

    nccl_tests.py       logs of nccl-tests, as text or as the JSON of its -J
    kineto.py           a torch.profiler trace of a user's own run; torch_ops.py: which torch operator is which kernel
    csv_file.py         a table in the form that it documents
    entries.py          what a reader hands over; merging.py: entries into a profile's record, with provenance and fits

Imported kernels stand in tables of their own, beside those of the profile: a shape that was imported costs what it was
timed at, and shapes between imported ones are interpolated where the profile has no table of that op itself. Imported
collectives take the place of the profile's curve of that op and group size.
"""
