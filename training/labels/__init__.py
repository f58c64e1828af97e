"""What labels mean: keypoints, parts, and the sample that carries them."""
