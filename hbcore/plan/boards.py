"""Boards, and whether a network has room there."""

from __future__ import annotations

from typing import NamedTuple

KIB = 1024
CODE = 32 * KIB
"""Left for code: of face68-tiny, by GCC 12 for a Cortex-M4, 8 KiB with -Os, 28 with -O3."""
OTHERS = 16 * KIB
"""RAM left for the stack and whatever else the device does."""


class Board(NamedTuple):
    """ram: the largest piece that one array can lie in, without external memory; flash: all of it; in bytes."""

    name: str
    ram: int
    flash: int

    def has_room(self, ram: int, flash: int) -> bool:
        """Whether an arena and constants of so many bytes fit beside what is left for others."""
        return ram + OTHERS <= self.ram and flash + CODE <= self.flash


BOARDS = (
    Board("ESP32", 160 * KIB, 4096 * KIB),
    Board("ESP32-S3", 320 * KIB, 8192 * KIB),
    Board("STM32F407", 128 * KIB, 1024 * KIB),
    Board("STM32F746", 320 * KIB, 1024 * KIB),
    Board("STM32H743", 512 * KIB, 2048 * KIB),
    Board("RP2040", 264 * KIB, 2048 * KIB),
    Board("RP2350", 520 * KIB, 4096 * KIB),
    Board("nRF52840", 256 * KIB, 1024 * KIB),
    Board("Raspberry Pi Zero", 512 * KIB * KIB, 4096 * KIB * KIB),
)
"""By the makers' data sheets. ESP32: what may be static. STM32H743: its AXI memory. Raspberry Pi: a card of 4 GiB."""
