"""Data, codec, augmentation, metrics and command lines that train the networks of `hbcore`.

Runs from a checkout (`python -m training.pose`) and is not installed. Reading order: errors, skeletons, pictures,
geometry, datasets, codec, augment, metrics, loader, config, testset, model, predict, report, task, points, evaluate,
checkpoint, loop, cli, pose.
"""
