"""A model file as an ONNX file: the network, and what its maps say if that is asked for."""

from __future__ import annotations

from pathlib import Path

from hbcore.deploy.model_file import write_whole
from hbcore.export.c.files import c_model
from hbcore.export.folder import require_other
from hbcore.export.onnx_decoding import write_decoding
from hbcore.export.onnx_graph import OnnxGraph


def write_onnx(model: str, target: Path, decode: bool = False) -> str:
    """Write it; what there is to say. ModelFileError, in one line, if that cannot be done."""
    require_other(target, model)
    made = c_model(model)
    graph = OnnxGraph(made.table)
    if decode:
        write_decoding(graph, graph.planes, made.table.maps.shape[3], made.description.codec, made.description.output)
    content = graph.model(made.name, {"model_sha256": made.digest})
    write_whole(target, content)
    return f"{target}: {len(content):,} bytes, {len(graph.nodes)} nodes"
