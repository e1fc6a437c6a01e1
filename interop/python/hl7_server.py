"""Receives by python-hl7's asyncio streams, and answers by its create_ack."""

import asyncio
import ssl
import sys

from hl7.mllp import start_hl7_server

from job import job, tell

LIMIT = 1 << 20  # asyncio's own is 64 KiB


async def serve(reader, writer):
    try:
        while True:
            m = await reader.readmessage()
            family = m.extract_field("PID", 1, 5, 1, 1)
            tell(id=str(m.segment("MSH")[10]), family=family, length=len(str(m)))
            writer.writemessage(m.create_ack("AE" if family == "REFUSED" else "AA"))
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()
    except Exception as e:
        tell(error=repr(e))
        writer.close()


async def main():
    context = None
    if job.get("cert"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(job["cert"], job["key"])
    server = await start_hl7_server(serve, "127.0.0.1", 0, ssl=context, limit=LIMIT, encoding=job["charset"])
    tell(port=server.sockets[0].getsockname()[1])
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the test has ended
    server.close()


asyncio.run(main())
