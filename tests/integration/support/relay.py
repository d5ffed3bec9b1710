"""Stands between a client and the agent, and cuts connections at chosen bytes."""

import os
import select
import socket
import struct
import threading


class Relay:
    """Listens on a unix socket and passes everything on. cuts: for each connection in turn, after how
    many bytes from the agent it is reset; connections beyond the list are left alone. hybrid: behave
    as Firecracker's vsock socket, whose client must ask for that port first."""

    def __init__(self, case, target, cuts=(), hybrid=None):
        self.path = case.path("relay.sock")
        self.address = f"unix:{self.path}"
        self.target = target
        self.cuts = list(cuts)
        self.hybrid = hybrid
        self.connections = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self._stop_read, self._stop_write = os.pipe()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        case.defer(self.close)

    def close(self):
        os.write(self._stop_write, b"x")
        for thread in list(self._threads):
            thread.join(5)
        self.listener.close()
        os.close(self._stop_read)
        os.close(self._stop_write)

    def _accept(self):
        while True:
            ready, _, _ = select.select([self.listener, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            client, _ = self.listener.accept()
            cut = self.cuts[self.connections] if self.connections < len(self.cuts) else None
            self.connections += 1
            thread = threading.Thread(target=self._pass, args=(client, cut), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _shake_hands(self, client):
        """Byte by byte, since what follows the line is the agent's."""
        line = b""
        while not line.endswith(b"\n") and len(line) < 64:
            byte = client.recv(1)
            if not byte:
                return False
            line += byte
        if line != b"CONNECT %d\n" % self.hybrid:
            return False
        client.sendall(b"OK 1073741824\n")
        return True

    def _pass(self, client, cut):
        if self.hybrid is not None and (cut == 0 or not self._shake_hands(client)):
            client.close()
            return
        agent = socket.socket(socket.AF_UNIX)
        agent.connect(self.target)
        passed = 0
        try:
            while True:
                ready, _, _ = select.select([client, agent, self._stop_read], [], [])
                if self._stop_read in ready:
                    return
                if client in ready:
                    data = client.recv(1 << 16)
                    if not data:
                        return
                    agent.sendall(data)
                if agent in ready:
                    size = 1 << 16 if cut is None else min(1 << 16, cut - passed)
                    data = agent.recv(size) if size else b""
                    if not data:
                        return
                    passed += len(data)
                    client.sendall(data)
        except OSError:
            return
        finally:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            agent.close()
