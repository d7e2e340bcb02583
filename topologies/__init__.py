"""Machine rooms: one file each, functions that return a Cluster. Adding one is a file and a line in this table."""

TOPOLOGIES = {
    "single_gpu": "topologies.single_gpu",
    "cpu_host": "topologies.cpu_host",
    "dgx_a100": "topologies.dgx_a100",
    "dgx_a100_40gb": "topologies.dgx_a100",
    "dgx_h100": "topologies.dgx_h100",
    "dgx_h200": "topologies.dgx_h200",
    "p4d": "topologies.p4d",
    "p5": "topologies.p5",
    "dgx_b200": "topologies.dgx_b200",
    "dgx2_v100": "topologies.dgx2_v100",
    "pcie_box": "topologies.pcie_box",
    "fat_tree": "topologies.fat_tree",
    "rail_optimized": "topologies.rail_optimized",
}
"""Name of a function -> the module that holds it; imported when asked for."""
