"""Builds the one compiled module; everything else is declared in pyproject.toml."""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

# No -march=native and no -ffast-math: the wheel runs on every CPU of its architecture and rounds as IEEE 754 says.
kernels = Extension(
    "hbcore._kernels",
    ["hbcore/_kernels.pyx", *sorted(glob("hbcore/csrc/**/*.c", recursive=True))],
    include_dirs=["hbcore"],
    depends=sorted(glob("hbcore/csrc/**/*.h", recursive=True)),
    extra_compile_args=[]
    if os.name == "nt"
    else ["-O3", "-std=c11", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"],
    # Without a compiler the install goes on: hbcore then computes in NumPy and says so once.
    optional=not os.environ.get("HBCORE_REQUIRE_KERNELS"),
)

setup(ext_modules=cythonize([kernels], build_dir="build"))
