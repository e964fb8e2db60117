"""Runs a program in a terminal and closes the terminal: hang_up.py signal|silent PROGRAM [ARGS]. Prints how it ended.

"silent" starts it with SIGHUP ignored, as under nohup or some ssh servers: then only the terminal itself tells that it is gone.
LIMIT: seconds until it must have ended (20). PROCESSOR: seconds of processor time it may use for that (no limit).
"""

import os
import pty
import signal
import sys
import time

mode, program, *arguments = sys.argv[1:]
limit = float(os.environ.get("LIMIT", "20"))
processor = float(os.environ.get("PROCESSOR", "inf"))
pid, terminal = pty.fork()
if pid == 0:
    if mode == "silent":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ["TERM"] = "xterm-256color"
    os.execv(program, [program, *arguments])

seen = b""
while b"\x1b[?2026l" not in seen:
    seen += os.read(terminal, 65536)


def used():
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


before = used()
os.close(terminal)

end = time.monotonic() + limit
while time.monotonic() < end:
    done, status, usage = os.wait4(pid, os.WNOHANG)
    if done:
        spent = usage.ru_utime + usage.ru_stime - before
        if spent > processor:
            sys.exit(f"it used {spent:.2f} s of processor time to end")
        print("exited", os.waitstatus_to_exitcode(status))
        sys.exit(0)
    time.sleep(0.01)
os.kill(pid, signal.SIGKILL)
sys.exit(f"it still runs {limit:g} s after its terminal was closed")
