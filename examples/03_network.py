"""The authors' released topology, layer by layer, and a small one that overfits one picture in a few steps."""

import numpy as np

from hbcore import StackedHourglass, Tensor, summary
from hbcore.nn.layers import constrain
from hbcore.optim.losses import heatmap_cross_entropy
from hbcore.optim.optimizers import Adam

print(summary(StackedHourglass(features=256, joints=16), 256, 256))

rng = np.random.default_rng(0)
picture = rng.random((1, 32, 32, 3), dtype=np.float32)
target = np.zeros((1, 8, 8, 2), dtype=np.float32)
target[0, 2, 5, 0] = target[0, 6, 1, 1] = 1  # two landmarks
network = StackedHourglass(features=32, joints=2, depth=2)
optimizer = Adam(dict(network.named_parameters()), lr=1e-2)
for step in range(61):
    loss = heatmap_cross_entropy(network(Tensor(picture))[-1], target, np.ones((1, 2), dtype=np.float32))
    network.zero_grad()
    loss.backward()
    optimizer.step()
    constrain(network)
    if step % 20 == 0:
        print(f"step {step:2d}  loss {loss.item():.3f}")
heatmaps = network(Tensor(picture))[-1].data[0]
for joint in range(2):
    row, column = divmod(int(heatmaps[..., joint].argmax()), 8)
    print(f"landmark {joint} at row {row}, column {column}")
