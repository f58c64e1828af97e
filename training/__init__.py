"""Data, codec, augmentation, metrics and command lines that train the networks of `hbcore`.

Runs from a checkout (`python -m training.pose`) and is not installed. Reading order: errors, skeletons, part_schemes,
pictures, geometry, datasets, codec, mask_codec, augment, metrics, oks, loader, config, testset, model, predict, report,
task, points, evaluate, checkpoint, techniques, loop, cli, pose, face, part_metrics, part_files, parts, checks, data.
"""
