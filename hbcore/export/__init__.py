"""Model files in other forms: `python -m hbcore.export pack|unpack|c|wasm|onnx MODEL`."""
