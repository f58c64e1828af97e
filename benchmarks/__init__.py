"""hbcore beside its peers, in one process and one run: `python -m benchmarks`.

    timing       candidates take turns; medians, quartiles, ratios
    report       tables of such ratios, as text and as JSON
    machine      what the numbers depend on: CPU, kernels, versions
    topology     a network as a list of steps, so that every peer runs the same one
    numpy_twin, torch_twin, onnx_graph      that list in NumPy, PyTorch and ONNX
    peers/       one file per peer, each optional
    layer, network, step, loading, memory, scaling   the tables (loading has two: batches, and runs)

`python -m benchmarks.layout` is a table of its own, about the order of axes.
"""
