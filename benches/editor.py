"""What an editor waits for: findings after a keystroke, of `riskweir lsp` over a rule folder.

usage: python3 benches/editor.py RISKWEIR FOLDER FILE [CHANGES]

A mistake is typed at the end of FILE, another one each time; the answer to each is waited for.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time


class Server:
    def __init__(self, binary):
        command = [binary, "lsp"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, **message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self, wanted):
        while True:
            size = 0
            while line := self.process.stdout.readline().strip():
                name, value = line.split(b":")
                size = int(value) if name.lower() == b"content-length" else size
            message = json.loads(self.process.stdout.read(size))
            if wanted(message):
                return message

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(binary, folder, name, changes="40"):
    root = pathlib.Path(folder).resolve()
    uri = (root / name).as_uri()
    text = (root / name).read_text(encoding="utf-8")
    server = Server(binary)
    folders = [{"uri": root.as_uri(), "name": "rules"}]
    params = {"processId": None, "rootUri": root.as_uri(), "capabilities": {}, "workspaceFolders": folders}
    server.send(id=1, method="initialize", params=params)
    server.receive(lambda message: message.get("id") == 1)
    server.send(method="initialized", params={})
    waits = []
    before = 0.0
    for version in range(1, int(changes) + 2):
        typed = f"{text}\nrule typed_{version} on nothing"
        document = {"uri": uri, "version": version}
        began = time.perf_counter()
        if version == 1:
            opened = {**document, "languageId": "riskweir", "text": typed}
            server.send(method="textDocument/didOpen", params={"textDocument": opened})
        else:
            params = {"textDocument": document, "contentChanges": [{"text": typed}]}
            server.send(method="textDocument/didChange", params=params)
        server.receive(
            lambda message: message.get("method") == "textDocument/publishDiagnostics"
            and message["params"]["uri"] == uri
            and message["params"].get("version", version) == version
        )
        if version == 1:
            before = server.cpu_s()
        else:
            waits.append(time.perf_counter() - began)
    cpu_ms = (server.cpu_s() - before) / len(waits) * 1e3
    waits.sort()
    median, worst = statistics.median(waits) * 1e3, waits[-1] * 1e3
    print(f"{len(waits)} changes: median {median:.1f} ms, worst {worst:.1f} ms, CPU {cpu_ms:.1f} ms each")
    server.send(id=2, method="shutdown")
    server.receive(lambda message: message.get("id") == 2)
    server.send(method="exit")
    server.process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
