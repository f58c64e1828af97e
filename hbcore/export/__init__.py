"""Model files in other forms: `python -m hbcore.export pack|unpack|c|onnx MODEL`."""
