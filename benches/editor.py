"""What an editor waits for: findings after a keystroke, of `riskweir lsp` over a rule folder.

usage: python3 benches/editor.py RISKWEIR FOLDER FILE [CHANGES]
       python3 benches/editor.py RISKWEIR --rules 1000 [CHANGES]

Something is typed at the end of FILE, another thing each time, and the answer to each is waited for: a rule that cannot be
right, and then a comment in a folder without mistakes, where everything that can be proved of the rules is looked for, too.
`--rules` makes up so many rules in 20 files: a channel, an amount and two of sixty windows each, that alert or score.
"""

import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

SCHEMA = """event payment
  id    event_id : text
  time  at       : time
  key   account  : account
  key   device   : device
  field merchant : merchant
  field amount   : money currency EUR
  field channel  : one of [pos, ecom, atm, app]
"""
FILES = 20


def made_up(n_rules, folder):
    """Writes the schema and the rules; gives the file in the middle."""
    choose = random.Random(7)
    texts = [""] * FILES
    for index in range(n_rules):
        channel = choose.choice(["pos", "ecom", "atm", "app"])
        text = f'rule g{index:04}\n  id "G{index}"  owner performance\n  on payment\n'
        text += f"  when channel = {channel} and amount > {choose.randrange(1, 901)} EUR\n"
        for _ in range(2):
            asked = choose.choice(["count(payment)", "distinct(payment.merchant)"])
            least = f"{choose.randrange(4, 60)}"
            if choose.random() < 0.6:
                asked = f"{choose.choice(['sum', 'avg', 'max'])}(payment.amount)"
                least = f"{choose.randrange(500, 90_500)} EUR"
            key = choose.choice(["account", "device"])
            window = choose.choice(["10m", "30m", "1h", "6h", "24h", "7d"])
            text += f"   and {asked} by {key} over last {window} > {least}\n"
        does = "alert queue l1" if index % 2 else f"score +{choose.randrange(1, 41)} in g{index % 9} cap 60"
        texts[index * FILES // n_rules] += f"{text}  then {does}\n\n"
    (folder / "schema.risk").write_text(SCHEMA, encoding="utf-8")
    for index, text in enumerate(texts):
        (folder / f"rules_{index:02}.risk").write_text(text, encoding="utf-8")
    return f"rules_{FILES // 2:02}.risk"


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


def measured(binary, root, name, n_changes, typed):
    """Prints the wait and the CPU of each answer; `typed` makes of a number what stands at the end of the file."""
    uri = (root / name).as_uri()
    text = (root / name).read_text(encoding="utf-8")
    server = Server(binary)
    folders = [{"uri": root.as_uri(), "name": "rules"}]
    params = {"processId": None, "rootUri": root.as_uri(), "capabilities": {}, "workspaceFolders": folders}
    params["initializationOptions"] = {"rules": str(root)}
    server.send(id=1, method="initialize", params=params)
    server.receive(lambda message: message.get("id") == 1)
    server.send(method="initialized", params={})
    waits = []
    before = 0.0
    for version in range(1, n_changes + 2):
        document = {"uri": uri, "version": version}
        began = time.perf_counter()
        if version == 1:
            opened = {**document, "languageId": "riskweir", "text": text + typed(version)}
            server.send(method="textDocument/didOpen", params={"textDocument": opened})
        else:
            params = {"textDocument": document, "contentChanges": [{"text": text + typed(version)}]}
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


def main(binary, folder, name, changes="40"):
    with tempfile.TemporaryDirectory() as made:
        root = pathlib.Path(made if folder == "--rules" else folder).resolve()
        if folder == "--rules":
            name = made_up(int(name), root)
        print("a rule that cannot be right:")
        measured(binary, root, name, int(changes), lambda version: f"\nrule typed_{version} on nothing\n")
        print("a comment, in a folder without mistakes:")
        # It accepts what is not there, a line further down each time, which is a warning.
        measured(binary, root, name, int(changes), lambda version: "\n" * version + "# accept W0501: typed\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
