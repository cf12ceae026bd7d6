# late_accept.py - a master listens and never accepts, as nginx's does; its child accepts late: a connection of before and one of after the fork
#   late_accept.py ADDRESS PORT DIR: "ready"; forks when DIR/fork is there, the child accepts when DIR/accept is there
import os
import socket
import sys
import time

addr, port, where = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def wait_for(name):
    while not os.path.exists(os.path.join(where, name)):
        time.sleep(0.005)


with socket.create_server((addr, port), family=socket.AF_INET6 if ":" in addr else socket.AF_INET) as listener:
    print("ready", flush=True)
    wait_for("fork")
    child = os.fork()
    if child == 0:
        wait_for("accept")
        for _ in range(2):
            with listener.accept()[0] as c:
                while data := c.recv(4096):
                    c.sendall(data)
        os._exit(0)
    print("forked", flush=True)
    os.waitpid(child, 0)  # without a call on a socket until the child has served both
