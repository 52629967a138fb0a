"""cuda_kernels.py CUOBJDUMP OBJECT COMPILER: what each kernel of an object file takes on compute capability 9.0, one a line.

Fails if one spills registers there, or if ptxas has each product of warpgroups waited for by itself, as it does where something
touches the registers of one that runs. Those that do on other cards, of which the object file has code too, are named.
"""

import re
import subprocess
import sys

CARD = "90a"
COUNTED = (r"\b(?:HG?|I)MMA\.", r"\bLDSM\.16\.M\w*88\.4\b", r"\bLDG\.E\.128\b", r"\bLDGSTS\.E\.BYPASS\.128\b")


def run(*command, text=None):
    return subprocess.run(command, check=True, capture_output=True, text=True, input=text).stdout


def readable(names):
    for name in run("c++filt", text="\n".join(names)).splitlines():
        name = name.replace("sheaf::kernels::cuda::", "")
        yield re.sub(r"^void |\(\w+Task(<.*>)?\)$", "", name)


def main():
    cuobjdump, object_file, compiler = sys.argv[1:]
    usage = re.split(r"arch = sm_(\w+)", run(cuobjdump, "--dump-resource-usage", object_file))
    taken = {}  # by card; one without a kernel is what PTX is for
    for card, text in zip(usage[1::2], usage[2::2]):
        taken[card] = taken.get(card, []) + re.findall(r"Function (\S+):\s+REG:(\d+) STACK:(\d+)", text)
    sass = run(cuobjdump, "-sass", "-arch", f"sm_{CARD}", object_file)
    code = dict(re.findall(r"Function : (\S+)\n(.*?)(?=\n\s*Function : |\Z)", sass, re.S))
    print(f"Compiled by {compiler} for sm_{CARD}: registers and bytes of stack a thread (none: nothing is spilled),")
    print("instructions in the code: of the matrix unit (HMMA, IMMA, and HGMMA of warpgroups), its operands from shared memory (LDSM), loads of 16 bytes")
    print("from memory to registers (LDG) and to shared memory (LDGSTS).\n")
    print("registers stack HMMA LDSM LDG.128 LDGSTS.128  kernel")
    rows = zip(readable(name for name, _, _ in taken[CARD]), taken[CARD])
    for kernel, (name, registers, stack) in sorted(rows):
        matrix, operands, loads, copies = (len(re.findall(what, code[name])) for what in COUNTED)
        print(f"{registers:>9} {stack:>5} {matrix:>4} {operands:>4} {loads:>7} {copies:>10}  {kernel}")
    for name, (kernel, _, _) in zip(readable(name for name, _, _ in taken[CARD]), taken[CARD]):
        products = re.findall(r"\bHGMMA\..*", code[kernel])
        if products and 2 * sum("gsb0" in product for product in products) > len(products):
            sys.exit(f"{name}: its products of warpgroups do not overlap")
    for card, resources in taken.items():
        spilled = [kernel for kernel, (_, _, stack) in
                   zip(readable(name for name, _, _ in resources), resources) if stack != "0"]
        if spilled:
            print(f"these spill registers on sm_{card}: {', '.join(spilled)}", file=sys.stderr)
        if spilled and card == CARD:
            sys.exit(1)


if __name__ == "__main__":
    main()
