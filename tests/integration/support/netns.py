"""An agent with a network and an /etc of its own: nothing of the machine's is touched."""

import json
import os
import shutil

from support.agent import Agent
from support.fuse import _libc, _must, unshare_mounts
from support.tap import Skip, check

CLONE_NEWNET = 0x40000000
MS_BIND = 4096


class Guest:
    """before: called last in the child, before the agent's program is executed."""

    def __init__(self, case, before=None, **options):
        if not shutil.which("ip"):
            raise Skip("ip is not installed")
        self.case = case
        self.etc = case.path("etc")
        os.makedirs(self.etc, exist_ok=True)
        self._before = before
        self._probe()
        self.agent = Agent(case, before_exec=self._enter, **options)
        self.connection = self.agent.connect()

    @staticmethod
    def _probe():
        child = os.fork()
        if child == 0:
            os._exit(0 if _libc.unshare(CLONE_NEWNET) == 0 else 1)
        if os.waitpid(child, 0)[1] != 0:
            raise Skip("no network namespaces")

    def _enter(self):
        unshare_mounts()
        _must(_libc.unshare(CLONE_NEWNET), "unshare")
        _must(_libc.mount(os.fsencode(self.etc), b"/etc", None, MS_BIND, None), "mount etc")
        if self._before:
            self._before()

    def run(self, *argv):
        """Its output; fails when it does."""
        run = self.connection.run([str(word) for word in argv])
        check(run.code == 0, f"{argv}: {run.code} {run.stderr}")
        return run.stdout

    def ip(self, *words):
        """What ip says, as JSON where it is asked for objects."""
        text = self.run(shutil.which("ip"), "-j", *words)
        return json.loads(text) if text.strip() else []

    def add_pair(self, name="v0", peer="v1"):
        """Two links, each the other's cable; the peer is up."""
        self.ip("link", "add", name, "type", "veth", "peer", "name", peer)
        self.ip("link", "set", peer, "up")

    def addresses(self, link, family="inet"):
        (found,) = self.ip("addr", "show", "dev", link)
        return {
            f"{a['local']}/{a['prefixlen']}"
            for a in found["addr_info"]
            if a["family"] == family and a["scope"] != "link"
        }

    def link(self, name):
        (found,) = self.ip("link", "show", "dev", name)
        return found

    def routes(self, link, *options):
        """{destination: (gateway, metric, flags)} of routes that somebody set."""
        return {
            r["dst"]: (r.get("gateway"), r.get("metric"), r["flags"])
            for r in self.ip(*options, "route", "show", "dev", link)
            if r.get("protocol") != "kernel"
        }

    def neighbours(self, link):
        return {n["dst"]: n["lladdr"] for n in self.ip("neigh", "show", "dev", link, "nud", "permanent")}

    def configure(self, *links, **others):
        """net.configure; (changes, failed) as the agent answers."""
        answer = self.connection.call("net.configure", links=list(links), **others)
        return answer["changes"], answer["failed"]

    def configure_well(self, *links, **others):
        changes, failed = self.configure(*links, **others)
        check(failed == 0 and not any("error" in c for c in changes), f"{changes}")
        return changes
