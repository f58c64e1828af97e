"""hbcore beside its peers, in one process and one run: `python -m benchmarks`.

    timing       candidates take turns; medians, quartiles, ratios
    report       tables of such ratios, as text and as JSON
    machine      what the numbers depend on: CPU, kernels, versions
    topology     a network as a list of steps, so that every peer runs the same one
    numpy_twin, torch_twin, onnx_graph, tflite_graph    that list in NumPy, PyTorch, ONNX and TensorFlow Lite
    tflite       files of TensorFlow Lite, without TensorFlow
    peers/       one file per peer, each optional
    material     what training is measured on
    layer, network, points, step, loading, memory, scaling    the tables (loading has two: batches, and runs)
    against, served   this checkout beside another one, which answers from a process of its own

Tables of their own: `python -m benchmarks.layout`, about the order of axes; `python -m benchmarks.landmarkers`, with
whole landmarkers of others; `python -m benchmarks.generated`, with C that others generate.
"""
