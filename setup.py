"""Builds the compiled modules; everything else is declared in pyproject.toml."""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError


def extension(name: str, sources: list[str]) -> Extension:
    # No -march=native and no -ffast-math: the wheel runs on every CPU of its architecture and rounds as IEEE 754 says.
    flags = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]
    return Extension(
        f"hbcore.{name}",
        [f"hbcore/{name}.pyx", *sources],
        include_dirs=["hbcore"],
        depends=[*sorted(glob("hbcore/csrc/**/*.h", recursive=True)), *sorted(glob("hbcore/_*.px[di]"))],
        extra_compile_args=[] if os.name == "nt" else flags,
    )


class BuildWhatCan(build_ext):
    """Without a compiler the install goes on: hbcore then computes in NumPy and says so once.

    An extension marked as optional would not do: an editable install copies it into the tree even where it was not
    built. HBCORE_REQUIRE_KERNELS makes it an error.
    """

    def build_extensions(self) -> None:
        try:
            super().build_extensions()
        except (BaseError, CCompilerError, OSError) as error:
            if os.environ.get("HBCORE_REQUIRE_KERNELS"):
                raise
            self.warn(f"no compiled kernels ({error}): hbcore will compute in NumPy, several times slower")
            self.extensions = []


modules = [extension("_kernels", []), extension("_wide", sorted(glob("hbcore/csrc/**/*.c", recursive=True)))]
setup(ext_modules=cythonize(modules, build_dir="build"), cmdclass={"build_ext": BuildWhatCan})
