"""What pyproject.toml cannot say: the specs go into the wheel, and links get an address.

The wheel has a copy of `benchmarks`, where an installed package finds them. Relative links of
README.md work in a checkout only: on the page of a package index they have the address of the
repository, which is git's origin.
"""

import email
import re
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
LINK = re.compile(r"(!?)(\[[^\]]*\]\()(?![a-z]+:|#)([^)]+)\)")


class BuildWithSpecs(build_py):
    """Copies the folder of specs beside the modules."""

    def run(self) -> None:
        """Build the modules, then copy; an editable installation reads the folder itself."""
        super().run()
        if not self.editable_mode:
            self.copy_tree("benchmarks", str(Path(self.build_lib, "hwbench", "benchmarks")))


def repository() -> str:
    """Return the address of the repository without a final slash; '' where it is unknown."""
    if (ROOT / "PKG-INFO").is_file():  # a source distribution, whose metadata have the address
        told = email.message_from_string((ROOT / "PKG-INFO").read_text(encoding="utf-8"))
        urls = dict(url.split(", ", 1) for url in told.get_all("Project-URL", []))
        return urls.get("Repository", "")
    if not (ROOT / ".git").exists():
        return ""
    command = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    try:
        origin = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:  # no git
        return ""
    found = re.fullmatch(r"(?:https://|ssh://|)(?:[^@/]+@)?([\w.-]+)[:/](.+?)(?:\.git)?/?", origin)
    remote = found and ("://" in origin or "@" in origin)  # else it is a folder
    return f"https://{found[1]}/{found[2]}" if found and remote else ""


def absolute(text: str, address: str) -> str:
    """Return Markdown whose links to files, and pictures, have the address of the repository."""

    def full(link: re.Match[str]) -> str:
        picture, words, path = link.groups()
        return f"{picture}{words}{address}/{'raw' if picture else 'blob'}/HEAD/{path})"

    return LINK.sub(full, text) if address else text


def main() -> None:
    """Build what setuptools asks for."""
    address = repository()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    urls = {
        "Repository": address,
        "Issues": f"{address}/issues",
        "Changelog": f"{address}/blob/HEAD/CHANGELOG.md",
    }
    setup(
        cmdclass={"build_py": BuildWithSpecs},
        long_description=absolute(readme, address),
        long_description_content_type="text/markdown",
        project_urls=urls if address else {},
    )


if __name__ == "__main__":
    main()
