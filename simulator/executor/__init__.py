"""The executor: the same Program that the simulator prices, run for real with torch.distributed.

torch is imported only by the modules that a rank's own process loads; `execution.py` and `launcher.py` do without.
"""
