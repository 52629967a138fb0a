"""Links in the documents lead somewhere: in the repository, and where `make install` puts them."""

import pathlib
import re

SOURCE = pathlib.Path(__file__).resolve().parents[1]
PAGES = [SOURCE / "README.md", SOURCE / "ARCHITECTURE.md", *sorted((SOURCE / "docs").glob("*.md"))]


def targets(page):
    """The files that a page links to."""
    for link in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if "://" not in link:
            yield (page.parent / link).resolve()


def installed():
    text = (SOURCE / "cmake/Install.cmake").read_text()
    for files in re.findall(r"install\(FILES ([^)]*?)\s+DESTINATION \$\{CMAKE_INSTALL_DOCDIR\}", text):
        yield from (SOURCE / file for file in files.split())


def test_links_lead_to_files():
    for page in PAGES:
        for target in targets(page):
            assert target.exists(), f"{page.name} links to {target.relative_to(SOURCE)}, which is not there"


def test_installed_pages_link_to_installed_files():
    files = set(installed())
    assert SOURCE / "README.md" in files
    for page in files & set(PAGES):
        for target in targets(page):
            assert target in files, f"{page.name} is installed, but not {target.relative_to(SOURCE)}, to which it links"


def test_the_page_on_cards_repeats_the_table_of_builds():
    """src/slices/cuda_build.h, docs/cuda.md and the compiler's flag agree."""
    source = (SOURCE / "src/slices/cuda_build.h").read_text()
    builds = re.findall(r'\{"([^"]+)",\s+"([^"]+)",\s+\{([^}]*)\},\s+"([^"]+)",\s+"([^"]+)",\s+(\d+),\s+"([^"]+)"\}', source)
    assert len(builds) == 3
    rows = (SOURCE / "docs/cuda.md").read_text().splitlines()
    for command, compiled_for, capabilities, _, cards, cuda, driver in builds:
        (row,) = [row for row in rows if row.startswith(f"| `{command}` |")]
        for words in compiled_for, cards, f"{driver} or later", f"CUDA {int(cuda) // 1000}":
            assert words in row, f"docs/cuda.md does not say {words}"
        assert set(re.findall(r"sm_(\d+)", compiled_for)) <= set(capabilities.split(", "))
    targets = [";".join(re.findall(r"sm_(\w+)", compiled_for)) for _, compiled_for, *_ in builds]
    assert f"SHEAF_CUDA_ARCHITECTURES {targets[0]} " in (SOURCE / "cmake/Cuda.cmake").read_text()
    for target in targets[1:]:
        assert f'"SHEAF_CUDA_ARCHITECTURES": "{target}"' in (SOURCE / "CMakePresets.json").read_text()
