"""The shipped profiles and the clusters they belong to, loaded once."""

import pytest

from simulator.costs.pricer import Pricer
from simulator.costs.profile import load_profile
from simulator.registry import profile_path, topology

MACHINES = {"a100_sxm4_80gb": "dgx_a100", "h100_sxm5_80gb": "dgx_h100"}


@pytest.fixture(scope="session")
def profiles():
    return {name: load_profile(profile_path(name)) for name in MACHINES}


@pytest.fixture(scope="session")
def clusters():
    return {name: topology(machine, nodes=16) for name, machine in MACHINES.items()}


@pytest.fixture(scope="session")
def pricers(profiles, clusters):
    return {name: Pricer(profiles[name], clusters[name]) for name in MACHINES}


@pytest.fixture(scope="session")
def isolated(profiles, clusters):
    """As kernels were measured: alone, at the clock of short runs."""
    return {name: Pricer(profiles[name], clusters[name], under_load=False) for name in MACHINES}
