"""What pose, face and parts do differently."""
