"""PyTorch beside other tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def one_torch_thread(torch: ModuleType) -> Iterator[None]:
    """On a busy machine PyTorch's threads wait for each other: ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
