"""A model as WebAssembly: the exported C, compiled for browsers and Node.js."""
