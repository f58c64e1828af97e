"""Boards, and whether a network has room there."""

from __future__ import annotations

from typing import NamedTuple

from hbcore.plan.work import Work

KIB = 1024
CODE = 32 * KIB
"""Left for code: of face68-tiny, by GCC 12 for a Cortex-M4, 8 KiB with -Os, 28 with -O3."""
OTHERS = 16 * KIB
"""RAM left for the stack and whatever else the device does."""


M4 = Work(words=157, products=5.0, sums=77, numbers=12.7)
M7 = Work(words=156, products=5.0, sums=75, numbers=12.5)
WHOLE = Work(words=159, products=7.4, sums=101, numbers=13.6)
"""Instructions for each, by GCC 12 with -O2, that QEMU counted (-icount) over eleven networks: what fits these best,
within 6 % of all but the smallest one. WHOLE: of a file in whole numbers, on a Cortex-M3."""


class Board(NamedTuple):
    """ram: the largest piece that one array can lie in, without external memory; flash: all of it; in bytes.

    mhz: of its CPU; cost: what is taken for the CPU's instructions.
    """

    name: str
    ram: int
    flash: int
    mhz: int
    cost: Work

    def has_room(self, ram: int, flash: int) -> bool:
        """Whether an arena and constants of so many bytes fit beside what is left for others."""
        return ram + OTHERS <= self.ram and flash + CODE <= self.flash

    def milliseconds(self, work: Work) -> float:
        """For the maps of one picture, at one instruction in a cycle."""
        return work.instructions(self.cost) / self.mhz / 1000


BOARDS = (
    Board("ESP32", 160 * KIB, 4096 * KIB, 240, M4),
    Board("ESP32-S3", 320 * KIB, 8192 * KIB, 240, M4),
    Board("STM32F407", 128 * KIB, 1024 * KIB, 168, M4),
    Board("STM32F746", 320 * KIB, 1024 * KIB, 216, M7),
    Board("STM32H743", 512 * KIB, 2048 * KIB, 480, M7),
    Board("RP2040", 264 * KIB, 2048 * KIB, 133, WHOLE),
    Board("RP2350", 520 * KIB, 4096 * KIB, 150, M4),
    Board("nRF52840", 256 * KIB, 1024 * KIB, 64, M4),
    Board("Raspberry Pi Zero", 512 * KIB * KIB, 4096 * KIB * KIB, 1000, M4),
)
"""By the makers' data sheets. ESP32: what may be static. STM32H743: its AXI memory. Raspberry Pi: a card of 4 GiB. The
CPUs of ESP32, RP2040, RP2350 and Raspberry Pi are others than those whose instructions were counted."""
