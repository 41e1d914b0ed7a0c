"""Runs a program at a pseudo-terminal: pseudo_terminal.py COLUMNS ROWS PROGRAM ARGUMENT…

Whatever the program writes goes to standard output as it is. Lines on standard input drive it: `size COLUMNS ROWS`, `key HEX`.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

columns, rows = int(sys.argv[1]), int(sys.argv[2])


def resize(descriptor, columns, rows):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


pid, terminal = pty.fork()
if pid == 0:
    # The parent sets the size; the program must not look before.
    os.read(0, 1)
    os.execvp(sys.argv[3], sys.argv[3:])
resize(terminal, columns, rows)
attributes = termios.tcgetattr(terminal)
attributes[3] &= ~termios.ECHO
termios.tcsetattr(terminal, termios.TCSANOW, attributes)
os.write(terminal, b"\n")

commands = b""
watched = [terminal, 0]
while terminal in watched:
    for descriptor in select.select(watched, [], [])[0]:
        try:
            data = os.read(descriptor, 65536)
        except OSError:
            data = b""
        if descriptor == terminal:
            if not data:
                watched.remove(terminal)
                continue
            os.write(1, data)
            continue
        if not data:
            watched.remove(0)
            continue
        commands += data
        *lines, commands = commands.split(b"\n")
        for line in lines:
            word, *arguments = line.split()
            if word == b"size":
                resize(terminal, int(arguments[0]), int(arguments[1]))
                os.kill(pid, signal.SIGWINCH)
            elif word == b"key":
                os.write(terminal, bytes.fromhex(arguments[0].decode()))
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
