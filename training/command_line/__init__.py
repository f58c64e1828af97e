"""The command line that pose, face and parts share."""
