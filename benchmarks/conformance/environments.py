"""Make the environments in which the engines' own code runs.

    python -m benchmarks.conformance.environments vllm

Each holds an engine's wheel and what it imports, pinned in ``vllm.txt`` and ``sglang.txt``. The
wheels' compiled libraries want the GPU driver's library: a stand-in is compiled whose functions all
fail, which is what they find on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.conformance.asking import DRIVER, ENVIRONMENTS, HERE

LIBRARY = "libcuda.so.1"
COMPILED = {"vllm": ("vllm",), "sglang": ("sglang", "sgl_kernel")}
"""Packages of an engine whose libraries call the driver."""
NOT_INITIALIZED = 3
"""What every function of the stand-in returns: CUDA_ERROR_NOT_INITIALIZED."""

_WANTED = re.compile(r" U (cu[A-Z]\w*)$", re.MULTILINE)
_CUDA = re.compile(r"cu(?!blas|dnn|fft|sparse|solver|rand)[A-Z]")


def make(engine: str, uv: str) -> Path:
    """Make an engine's environment, or bring it up to date, and return its folder."""
    place = ENVIRONMENTS / engine
    if not (place / "bin" / "python").exists():
        subprocess.run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, place])
    pins = HERE / f"{engine}.txt"
    python = str(place / "bin" / "python")
    install = [uv, "pip", "install", "--no-deps", "--python", python, "-r", str(pins)]
    subprocess.run(install, check=True)
    libraries = [
        library
        for package in COMPILED[engine]
        for library in sorted((place / "lib").glob(f"python*/site-packages/{package}/**/*.so"))
    ]
    write_driver(place / DRIVER, wanted_by(libraries))
    return place


def wanted_by(libraries: Sequence[Path]) -> list[str]:
    """Return the functions of the driver that compiled libraries call."""
    if not libraries:
        return []
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", *libraries], capture_output=True, text=True, check=True
    )
    return sorted({name for name in _WANTED.findall(listed.stdout) if _CUDA.match(name)})


def write_driver(folder: Path, functions: Sequence[str]) -> None:
    """Compile a driver library in which every function fails."""
    folder.mkdir(exist_ok=True)
    source = folder / "driver.c"
    source.write_text(
        "".join(f"int {name}(void) {{ return {NOT_INITIALIZED}; }}\n" for name in functions),
        "utf-8",
    )
    names = ["-o", str(folder / LIBRARY), f"-Wl,-soname,{LIBRARY}", str(source)]
    subprocess.run(["cc", "-shared", "-fPIC", *names], check=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the environments that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conformance.environments")
    parser.add_argument("engines", nargs="+", choices=("vllm", "sglang"))
    parser.add_argument("--uv", default="uv", help="the uv that installs")
    asked = parser.parse_args(argv)
    for engine in asked.engines:
        print(make(engine, asked.uv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
