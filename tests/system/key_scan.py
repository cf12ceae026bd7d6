# key_scan.py KEY PROCESS...: where private key KEY (PEM) is in the memory of processes: as its text, its number, or its number as OpenSSL has it
#
# A line each: process, kind, "shared" or "own", "locked" or "loose", "dumped" or "hidden" (of a core dump). Needs root.
import re
import subprocess
import sys

text = open(sys.argv[1]).read()
der = subprocess.run(["openssl", "pkey", "-in", sys.argv[1], "-noout", "-text"], check=True, capture_output=True, text=True).stdout
numbers = {name: bytes.fromhex(re.sub(r"[\s:]", "", digits)).lstrip(b"\0")
           for name, digits in re.findall(r"^(priv|prime1|prime2|privateExponent):\n((?:    +[0-9a-f:]+\n)+)", der, re.M)}
assert numbers, der
kinds = {"text": text.split("\n")[2 if len(text) > 400 else 1][:48].encode()}
for name, n in numbers.items():
    kinds[name] = n
    kinds[name + "-limbs"] = n[::-1]

for pid in sys.argv[2:]:
    found, regions = set(), []
    for line in open("/proc/%s/smaps" % pid):
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line)
        if head:
            regions.append([int(head[1], 16), int(head[2], 16), head[3], head[4], ""])
        elif line.startswith("VmFlags:"):
            regions[-1][4] = line.split()[1:]
    with open("/proc/%s/mem" % pid, "rb", 0) as mem:
        for start, end, perms, name, flags in regions:
            if "r" not in perms or name in ("[vvar]", "[vsyscall]") or end - start > 1 << 31:
                continue
            try:
                mem.seek(start)
                data = mem.read(end - start)
            except OSError:
                continue
            for kind, octets in kinds.items():
                if octets in data:
                    found.add("%s %s %s %s %s" % (pid, kind, "shared" if "s" in perms else "own", "locked" if "lo" in flags else "loose",
                                                  "hidden" if "dd" in flags else "dumped"))
    print("\n".join(sorted(found)) or pid + " none")
