"""What the containers of tests of local mode run, and what is left of them."""

from __future__ import annotations

import re

TRAIN = """#!/usr/bin/env python3
import json, os, shutil, socket, urllib.request
if os.environ.get("FAIL"):
    raise SystemExit("ValueError: there are no rows")
hosts = json.load(open("/opt/ml/input/config/resourceconfig.json"))["hosts"]
s3 = os.environ["AWS_ENDPOINT_URL_S3"]
facts = {
    "environment": dict(os.environ),
    "shm": shutil.disk_usage("/dev/shm").total,
    "found": [bool(socket.gethostbyname(host)) for host in hosts],
    "s3": urllib.request.urlopen(s3, timeout=10).status if "docker.internal" in s3 else None,
}
with open("/opt/ml/model/facts.json", "w") as file:
    json.dump(facts, file)
"""
SERVE = """#!/usr/bin/env python3
import json, os, shutil, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
if os.environ.get("FAIL"):
    raise SystemExit("ImportError: libcudart.so.12: cannot open shared object file")
time.sleep(float(os.environ.get("LOADING", 0)))
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"])).strip(b'"')
        if asked == b"die":
            os._exit(3)
        self.send_response(500 if asked == b"fail" else 200)
        self.end_headers()
        facts = {"answers_since": since, "environment": dict(os.environ), "shm": shutil.disk_usage("/dev/shm").total}
        facts["model"] = sorted(os.path.join(at, name) for at, _, names in os.walk("/opt/ml/model") for name in names)
        self.wfile.write(json.dumps(facts).encode())
server = ThreadingHTTPServer(("", 8080), Handler)
since = time.time()
server.serve_forever()
"""


def text_below(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def left_in(engine, image, output):
    """What the engine still has of the containers and networks that the output tells of."""
    projects = set(re.findall(r"sagemaker-custom-[0-9a-f]{12}", output))
    assert projects
    networks = [network.name for network in engine.networks.list()]
    containers = engine.api.containers(all=True, filters={"ancestor": image})
    return [name for name in networks if any(project in name for project in projects)] + containers
