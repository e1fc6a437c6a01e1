"""Sends by python-hl7's asyncio streams, and reads the answers by its parser."""

import asyncio
import ssl

import hl7
from hl7.mllp import open_hl7_connection

from job import job, read, tell


def connect():
    context = ssl.create_default_context(cafile=job["ca"]) if job.get("ca") else None
    return open_hl7_connection(job["host"], job["port"], ssl=context, encoding=job["charset"])


async def converse(messages):
    """Sends messages over one connection."""
    reader, writer = await connect()
    if job["pipeline"]:  # all are written before an answer is read
        for text in messages:
            writer.writemessage(hl7.parse(text))
    for text in messages:
        if not job["pipeline"]:
            writer.writemessage(hl7.parse(text))
        await writer.drain()
        tell(**read(await reader.readmessage()))
    writer.close()
    await writer.wait_closed()


async def main():
    if job["keep"]:
        await converse(job["messages"])
    else:
        for text in job["messages"]:
            await converse([text])


asyncio.run(main())
