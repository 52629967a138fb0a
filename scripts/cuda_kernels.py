"""cuda_kernels.py TOOLKIT OBJECT: what each kernel of an object file takes, one a line; fails if one spills registers."""

import re
import subprocess
import sys


def run(*command, text=None):
    return subprocess.run(command, check=True, capture_output=True, text=True, input=text).stdout


def readable(names):
    for name in run("c++filt", text="\n".join(names)).splitlines():
        name = name.replace("sheaf::kernels::cuda::", "")
        yield re.sub(r"^void |\(\w+Task(<.*>)?\)$", "", name)


def main():
    toolkit, object_file = sys.argv[1:]
    cuobjdump = f"{toolkit}/bin/cuobjdump"
    resources = re.findall(r"Function (\S+):\s+REG:(\d+) STACK:(\d+)", run(cuobjdump, "--dump-resource-usage", object_file))
    code = dict(re.findall(r"Function : (\S+)\n(.*?)(?=\n\s*Function : |\Z)", run(cuobjdump, "-sass", object_file), re.S))
    version = re.search(r"release \S+, (\S+)", run(f"{toolkit}/bin/nvcc", "--version"))[1]
    print(f"Compiled by CUDA {version} for sm_90a: registers and bytes of stack a thread (none: nothing is spilled),")
    print("instructions of the matrix unit (HMMA) and loads of 16 bytes from memory (LDG.E.128) in the code.\n")
    print("registers stack HMMA LDG.128  kernel")
    rows = zip(readable(name for name, _, _ in resources), resources)
    for kernel, (name, registers, stack) in sorted(rows):
        matrix, wide = (len(re.findall(what, code[name])) for what in (r"\bHMMA\.", r"\bLDG\.E\.128\b"))
        print(f"{registers:>9} {stack:>5} {matrix:>4} {wide:>7}  {kernel}")
    spilled = [name for name, _, stack in resources if stack != "0"]
    if spilled:
        sys.exit(f"these spill registers: {', '.join(readable(spilled))}")


if __name__ == "__main__":
    main()
