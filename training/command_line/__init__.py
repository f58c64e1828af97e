"""The command line that pose, face and parts share: parser, options, one module per verb, and main for them all."""
