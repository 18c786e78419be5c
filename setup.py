"""Maps the folders `golden/` and `sim/` to the packages `triptych.golden` and `triptych.sim`."""

from setuptools import find_packages, setup

FOLDERS = ("golden", "sim")

inside = [f"{folder}.{name}" for folder in FOLDERS for name in find_packages(folder)]
setup(
    packages=[f"triptych.{name}" for name in (*FOLDERS, *inside)],
    package_dir={f"triptych.{folder}": folder for folder in FOLDERS},
)
