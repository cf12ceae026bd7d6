"""handover_lib.py - what the tests share in which the ends of a connection go to children: bytes that show where they belong, children, their ends"""
import os
import signal


def data(seed, n):
    return bytes((i * seed + (i >> 8)) & 255 for i in range(n))


def die(text):
    os.write(1, (text + "\n").encode())
    os._exit(1)


def same(got, want, who):
    if got != want:
        at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
        die(f"{who}: {len(got)} bytes of {len(want)}, the first wrong one is {at}")


def read_all(s, n, message=0):
    """Up to n bytes, or the end. message: of SCTP, where each of them but the last is as long as that."""
    got = b""
    while len(got) < n and (b := s.recv(message or n - len(got))):
        if message and len(b) != min(message, n - len(got)):
            die(f"a message of {len(b)} bytes after {len(got)}")
        got += b
    return got


def child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(150)
        try:
            work()
        except SystemExit as e:
            os._exit(e.code)
        except BaseException as e:
            die(f"{type(e).__name__}: {e}")
        os._exit(0)
    return pid


def ended(pid):
    """Its exit status, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
