"""Sends by the program mllp_send, and reads what it prints by python-hl7's parser."""

import os
import subprocess
import sys
import tempfile

import hl7

from job import job, read, tell

PROGRAM = "from hl7.client import mllp_send; mllp_send()"


def send(messages):
    with tempfile.NamedTemporaryFile(dir=os.environ["TMPDIR"]) as f:
        for m in messages:
            f.write(b"\x0b" + m.encode(job["charset"]) + b"\x1c\r")
        f.flush()
        run = [sys.executable, "-c", PROGRAM, "-p", str(job["port"]), "-f", f.name, job["host"]]
        printed = subprocess.run(run, check=True, stdout=subprocess.PIPE, timeout=60).stdout
    for frame in printed.split(b"\x1c\r\n"):
        if frame:
            tell(**read(hl7.parse(frame.lstrip(b"\x0b"), encoding=job["charset"])))


if job["keep"]:
    send(job["messages"])
else:
    for message in job["messages"]:
        send([message])
