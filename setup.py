"""Puts the specs into the wheel, where an installed package finds them. See pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSpecs(build_py):
    """Copies the folder of specs beside the modules."""

    def run(self) -> None:
        """Build the modules, then copy; an editable installation reads the folder itself."""
        super().run()
        if not self.editable_mode:
            self.copy_tree("benchmarks", str(Path(self.build_lib, "hwbench", "benchmarks")))


setup(cmdclass={"build_py": BuildWithSpecs})
