#!/usr/bin/env python3
"""What an idle connection costs in memory: many clients connect, each asks once, and then they are silent.

Prints for cleartext and TLS 1.3 the memory of the gateway before, with all clients there, and after they left. Everything listens on loopback.
"""

import argparse
import asyncio
import os
import pathlib
import resource
import shutil
import ssl
import subprocess
import tempfile
import time

from servers import KEY, ROOT, Process, admin, free_port, start_origin, usher_words, wait_for

HOST = "bench.test"


async def hold(port, count, context, measure):
    """Opens so many connections, asks once on each, and measures while all are idle."""
    gate = asyncio.Semaphore(64)

    async def one(number):
        async with gate:
            named = {"ssl": context, "server_hostname": HOST} if context else {}
            # From many addresses, because one client may hold only so many connections.
            named["local_addr"] = (f"127.0.1.{1 + number % 200}", 0)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096, **named)
            writer.write(f"GET /x/1k HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"answered {head[:60]!r}")
            await reader.readexactly(1024)
            return writer

    writers = await asyncio.gather(*(one(number) for number in range(count)))
    await asyncio.sleep(2)
    held = measure()
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(2)
    return held


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/usher")
    options = parser.parse_args()
    os.environ["USHER_ADMIN_KEY"] = KEY
    os.environ.setdefault("USHER_LOG", "warn")
    # The gateway takes clients up to about half of the files that it may open.
    needed = options.connections * 2 + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        try:
            # Root may go beyond the hard limit.
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard if hard == resource.RLIM_INFINITY else max(hard, needed)))
        except (ValueError, PermissionError):
            raise SystemExit(f"{options.connections} connections need {needed} open files, this process may have {hard}: ulimit -n") from None

    folder = pathlib.Path(tempfile.mkdtemp(prefix="usher-bench-"))
    running = []
    try:
        origin = start_origin(folder)
        running.append(origin)
        cert, key = folder / "cert.pem", folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(key), "-out", str(cert)],
                       check=True, capture_output=True)
        ports, tls = [free_port(), free_port(), free_port()], free_port()
        words = usher_words(options.binary, ports, folder / "usher", "memory") + ["--tls-listen", f"127.0.0.1:{tls}"]
        usher = Process("usher", words, 0, ports[0], folder / "usher.log")
        running.append(usher)
        wait_for(ports[1])
        admin(ports[1], "PUT", "/routes/1", {"uri": "/x/*", "upstream": {"nodes": {f"127.0.0.1:{origin.port}": 1}}})
        admin(ports[1], "PUT", "/ssls/1", {"cert": cert.read_text(), "key": key.read_text(), "snis": [HOST]})
        time.sleep(1)
        context = ssl.create_default_context(cafile=str(cert))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        print(f"### {options.connections} idle connections\n\n| kind | before | with all | a connection | after they left |\n|---|---|---|---|---|")
        for kind, port, how in (("cleartext", ports[0], None), ("TLS 1.3", tls, context)):
            before = usher.rss_mib()
            held = asyncio.run(hold(port, options.connections, how, usher.rss_mib))
            each = (held - before) * 1024 / options.connections
            print(f"| {kind} | {before:.0f} MiB | {held:.0f} MiB | {each:.1f} KiB | {usher.rss_mib():.0f} MiB |", flush=True)
    finally:
        for process in reversed(running):
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


main()
