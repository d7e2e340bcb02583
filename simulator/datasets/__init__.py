"""Real data to run on. Needs no torch and nothing of the executor but the shape of a batch: loading and splitting are
pure, and the one effect, fetching a file, is in `movielens.py`."""
