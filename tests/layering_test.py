"""The arrows between folders: ARCHITECTURE.md's table, the link lines of CMakeLists.txt and the includes agree."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Rows that the table gives in words.
ENGINE_SIDE = {"tensor", "kernels", "kernels/cuda", "model", "engine", "replica"}
FOR_TESTS_ALONE = {"core/simulation", "slices/nvml_simulation"}
# Libraries inside another's folder.
NESTED = {"kernels/cuda", "model/spec", "core/simulation", "slices/nvml_simulation"}


def folders_of_architecture():
    """{folder: set of folders it may use}, from the table under "Folders and arrows"."""
    rows = {}
    for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines():
        match = re.match(r"\| `src/([\w/]+)` \|.*\| ([^|]*) \|$", line)
        if match:
            words = match[2].strip()
            rows[match[1]] = set() if words == "–" else set(w.strip() for w in words.split(","))
    rows["cli"] = set(rows) - ENGINE_SIDE - FOR_TESTS_ALONE - {"cli"}
    return rows


def folders_of_cmake():
    """{folder: set of sheaf folders it links}, and {folder: set of other libraries}."""
    text = (ROOT / "CMakeLists.txt").read_text()
    own, foreign = {}, {}
    for folder, links in re.findall(r"sheaf_library\(([\w/]+)(?: COLD)?(?: LINKS ([^)]*))?\)", text):
        words = links.split()
        own[folder] = {w[len("sheaf::") :] for w in words if w.startswith("sheaf::")}
        foreign[folder] = {w for w in words if not w.startswith("sheaf::")}
    for links in own.values():
        links |= {folder for folder in NESTED if folder.replace("/", "_") in links}
        links -= {folder.replace("/", "_") for folder in NESTED}
    return own, foreign


ALLOWED = folders_of_architecture()
LINKED, FOREIGN = folders_of_cmake()


def reachable(folder, arrows):
    found, todo = set(), [folder]
    while todo:
        for other in arrows[todo.pop()] - found:
            found.add(other)
            todo.append(other)
    return found


def folder_of(path):
    """src/model/spec/x.h → model/spec, src/model/bert.cc → model, src/kernels/cpu/x.cc → kernels."""
    parts = path.split("/")
    nested = "/".join(parts[:2])
    return nested if nested in NESTED else parts[0]


def includes_of(source):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', source.read_text(), re.M)


def sources():
    return sorted(p for p in (ROOT / "src").rglob("*") if p.suffix in (".h", ".cc", ".cu", ".cuh"))


def test_every_folder_has_a_row():
    present = {folder_of(str(p.relative_to(ROOT / "src"))) for p in sources()}
    assert present <= set(ALLOWED), "folders without a row in ARCHITECTURE.md"
    assert present <= set(LINKED), "folders without a sheaf_library() in CMakeLists.txt"


def test_link_lines_follow_the_table():
    for folder, links in LINKED.items():
        extra = links - ALLOWED[folder] - {"proto"}
        assert not extra, f"CMakeLists.txt links {folder} to {sorted(extra)}, which its row in ARCHITECTURE.md lacks"


def test_table_has_no_arrow_that_is_not_linked():
    arrows = {folder: links - {"proto"} for folder, links in LINKED.items()}
    for folder, allowed in ALLOWED.items():
        missing = allowed - reachable(folder, arrows) if folder in arrows else set()
        assert not missing, f"ARCHITECTURE.md lets {folder} use {sorted(missing)}, which it does not link"


def test_arrows_make_no_circle():
    for folder in ALLOWED:
        assert folder not in reachable(folder, ALLOWED)


@pytest.mark.parametrize("folder", sorted(LINKED))
def test_every_link_is_used(folder):
    used = set()
    for source in sources():
        name = str(source.relative_to(ROOT / "src"))
        if folder_of(name) == folder and not re.search(r"_(test|fuzz|bench)\.cc$", name):
            used |= {folder_of(included) for included in includes_of(source)}
    unused = LINKED[folder] - used - {"proto"}
    assert not unused, f"{folder} links {sorted(unused)}, but includes nothing of it: take the arrow away"


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_includes_follow_the_table(folder):
    # What a folder's arrows lead to is in its reach: its neighbours' headers speak of it.
    allowed = reachable(folder, ALLOWED) | {folder}
    for source in sources():
        name = str(source.relative_to(ROOT / "src"))
        if folder_of(name) != folder:
            continue
        for included in includes_of(source):
            if "/" not in included:  # a generated header of sheaf_proto
                assert included.endswith((".pb.h",)), f"src/{name} includes {included}: say the folder"
                continue
            assert folder_of(included) in allowed, f"src/{name} includes {included}: no arrow {folder} → {folder_of(included)}"


def test_folders_below_the_router_link_no_network_and_no_engine_above():
    network = {"Boost::asio", "simdjson::simdjson", "CURL::libcurl", "sheaf::proto"}
    for folder in ENGINE_SIDE | {"base", "model/spec", "channel", "core"}:
        assert not FOREIGN[folder] & network, folder


DEVICE_WORDS = re.compile(r"#\s*(if|ifdef|elif).*\b(__CUDA\w*|CUDA\w*|__AVX\w*|__SSE\w*|__AMX\w*|SHEAF_CUDA\w*)\b")


def test_device_conditionals_stay_in_the_kernels():
    for source in sources():
        name = str(source.relative_to(ROOT / "src"))
        if not name.startswith("kernels/"):
            found = DEVICE_WORDS.search(source.read_text())
            assert not found, f"src/{name}: {found[0] if found else ''}"


# --- the router's program ---


def router_program():
    folder = pathlib.Path(os.environ.get("SHEAF_BIN_DIR", ROOT / "build/release/bin"))
    program = folder / "sheaf"
    if not program.exists():
        pytest.skip(f"{program} is not built")
    return program


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_sheaf_loads_no_accelerator_library():
    loaded = run("ldd", str(router_program()))
    assert not re.search(r"libcuda|libcudart|libcublas|libnccl|libnvidia|libdnnl|libtorch", loaded), loaded


def test_sheaf_contains_no_kernel():
    symbols = run("nm", "--demangle", "--defined-only", str(router_program()))
    own = set(re.findall(r"\bsheaf::(\w+)::", symbols))
    assert {"router", "core"} <= own, "is this the router?"
    assert not own & {"kernels", "engine", "replica"}, sorted(own)


def test_link_line_of_sheaf_names_no_kernel():
    program = router_program()
    build = program.parent.parent
    if not (build / "build.ninja").exists():
        pytest.skip("not a build folder")
    line = run("ninja", "-C", str(build), "-t", "commands", "-s", "bin/sheaf")
    libraries = set(re.findall(r"libsheaf_(\w+)\.a", line))
    assert "router" in libraries
    assert not libraries & {"kernels", "model", "engine", "replica"}, sorted(libraries)
