"""Measuring processes: the only part of the calibration that imports torch."""
