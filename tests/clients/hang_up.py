"""Runs a program in a terminal and closes the terminal: hang_up.py signal|silent PROGRAM [ARGS]. Prints how it ended.

"silent" starts it with SIGHUP ignored, as under nohup or some ssh servers: then only the terminal itself tells that it is gone.
"""

import os
import pty
import signal
import sys
import time

mode, program, *arguments = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    if mode == "silent":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ["TERM"] = "xterm-256color"
    os.execv(program, [program, *arguments])

seen = b""
while b"\x1b[?2026l" not in seen:
    seen += os.read(terminal, 65536)
os.close(terminal)

end = time.monotonic() + 20
while time.monotonic() < end:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        print("exited", os.waitstatus_to_exitcode(status))
        sys.exit(0)
    time.sleep(0.01)
os.kill(pid, signal.SIGKILL)
sys.exit("it still runs 20 s after its terminal was closed")
