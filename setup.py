"""Builds the compiled modules; everything else is declared in pyproject.toml."""

import os
import sys
import sysconfig
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

# One wheel a platform serves every CPython from 3.11 on; builds without the GIL have no stable interface yet.
STABLE = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")


def extension(name: str, sources: list[str]) -> Extension:
    # No -march=native and no -ffast-math: the wheel runs on every CPU of its architecture and rounds as IEEE 754 says.
    flags = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]
    return Extension(
        f"hbcore.{name}",
        [f"hbcore/{name}.pyx", *sources],
        include_dirs=["hbcore"],
        depends=[*sorted(glob("hbcore/csrc/**/*.h", recursive=True)), *sorted(glob("hbcore/_*.px[di]"))],
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE else [],
        py_limited_api=STABLE,
        extra_compile_args=[] if os.name == "nt" else flags,
        libraries=[] if os.name == "nt" else ["m"],
    )


class BuildWhatCan(build_ext):
    """Without a compiler the install goes on: hbcore then computes in NumPy and says so once.

    An extension marked as optional would not do: an editable install copies it into the tree even where it was not
    built, and one of the modules could be built without the other. HBCORE_REQUIRE_KERNELS makes it an error.
    """

    def run(self) -> None:
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            if os.environ.get("HBCORE_REQUIRE_KERNELS"):
                raise
            self.warn(f"no compiled kernels ({error}): hbcore will compute in NumPy, several times slower")
            for module in self.extensions:
                Path(self.get_ext_fullpath(module.name)).unlink(missing_ok=True)
            self.extensions = []

    def copy_extensions_to_source(self) -> None:
        # Python prefers a module built for its own version alone, which a checkout may hold from before.
        ending = Path(sysconfig.get_config_var("EXT_SUFFIX")).suffix
        for module in self.extensions:
            for old in Path("hbcore").glob(f"{module.name.removeprefix('hbcore.')}.*{ending}"):
                old.unlink()
        super().copy_extensions_to_source()


wide = sorted(glob("hbcore/csrc/**/*.c", recursive=True))
modules = [extension("_kernels", []), extension("_pictures", []), extension("_wide", wide)]
setup(
    ext_modules=cythonize(modules, build_dir="build"),
    cmdclass={"build_ext": BuildWhatCan},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE else {},
)
