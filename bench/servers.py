"""The servers of a benchmark: how they are started, pinned, measured and stopped."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEY = "bench-admin-key-of-this-run-only"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as s:
            s.settimeout(0.2)
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit(f"nothing listens on port {port} after {seconds} s")


class Process:
    """A server with its children, pinned to one core."""

    def __init__(self, name, words, core, port, log, patience=20.0):
        self.name, self.port = name, port
        self.log = open(log, "wb")
        self.process = subprocess.Popen(["taskset", "-c", str(core), *words], stdout=self.log, stderr=self.log)
        wait_for(port, patience)

    def pids(self):
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            try:
                children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            except OSError:
                continue
            queue.extend(int(c) for c in children)
        return found

    def cpu_ns(self):
        total = 0
        for pid in self.pids():
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    total += int(task.read_text().split()[0])
                except OSError:
                    pass
        return total

    def rss_mib(self):
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        return total / 1024

    def signal(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def stop(self):
        self.signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Group:
    """Servers that are stopped together, whatever happens."""

    def __init__(self):
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.stop()

    def add(self, process):
        self.processes.append(process)
        return process


def start_origin(folder):
    port = free_port()
    (folder / "www").mkdir()
    (folder / "www/1k").write_bytes(b"x" * 1024)
    (folder / "www/100k").write_bytes(b"y" * 102400)
    config = folder / "origin.conf"
    config.write_text(
        f"""daemon off; master_process off; worker_processes 1; pid {folder}/origin.pid; error_log {folder}/origin.err;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s; sendfile on; tcp_nodelay on; default_type application/octet-stream;
  client_body_temp_path {folder}/ob; proxy_temp_path {folder}/op; fastcgi_temp_path {folder}/of; uwsgi_temp_path {folder}/ou; scgi_temp_path {folder}/os;
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location ~ /1k$ {{ alias {folder}/www/1k; }} location ~ /100k$ {{ alias {folder}/www/100k; }} }} }}
"""
    )
    return Process("origin", ["nginx", "-c", str(config)], 1, port, folder / "origin.log")


def admin(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, f"/apisix/admin{path}", json.dumps(body) if body is not None else None,
                       {"X-API-KEY": KEY, "Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status not in (200, 201):
        raise SystemExit(f"{method} {path} answered {answer.status}: {text.decode()}")


def usher_words(binary, ports, data, store="embedded"):
    return [str(binary), "serve", "--data", str(data), "--store", store, "--workers", "1", "--proxy-listen", f"127.0.0.1:{ports[0]}",
            "--admin-listen", f"127.0.0.1:{ports[1]}", "--chat-listen", "off", "--metrics-listen", f"127.0.0.1:{ports[2]}"]
