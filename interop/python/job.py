"""What the peers share.

The job is the first line of standard input; what they have to tell is one JSON object a
line on standard output.
"""

import json
import sys

import hl7

job = json.loads(sys.stdin.readline())


def tell(**what):
    print(json.dumps(what), flush=True)


def read(ack):
    """What python-hl7's parser reads in an answer."""
    msa = ack.segment("MSA")

    def get(n):
        return str(msa[n]) if len(msa) > n else ""

    number = family = ""
    if "PID" in [str(s[0]) for s in ack]:
        pid = ack.segment("PID")
        number = str(pid[3][len(pid[3]) - 1][0])
        family = ack.extract_field("PID", 1, 5, 1, 1)
    return dict(ack=get(1), id=get(2), text=get(3), number=number, family=family)
