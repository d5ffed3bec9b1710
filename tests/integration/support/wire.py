"""A client of the wire protocol, written from PROTOCOL.md alone.

Connection speaks the binary mode and checks everything that the agent sends: a frame that the text
does not allow is a Violation. It has no thread: bytes move only inside pump(), so that a test
decides when it reads. TextConnection speaks the text mode.
"""

import base64
import json
import select
import socket
import struct
import time

from support.tap import Failure, scaled

REQUEST, RESPONSE, NOTIFY, DATA, END, GAP, CREDIT, CANCEL, PING, PONG, GOAWAY, BLOCKED = range(1, 13)
NAMES = "? REQUEST RESPONSE NOTIFY DATA END GAP CREDIT CANCEL PING PONG GOAWAY BLOCKED".split()
MORE, TRUNCATED = 1, 2
STDIN, STDOUT, STDERR = 1, 2, 3

PREFACE = b"\xc0NSP\x01\x00\x00\x00"
HEADER = struct.Struct(">IIBBBBQ")
NUMBER = struct.Struct(">Q")
FRAME_PAYLOAD = 262144
JSON_MESSAGE = 1048576
INITIAL_CREDIT = 1048576

# What the agent may send: type -> (least payload, most payload, flags, channels, on a stream)
FROM_AGENT = {
    RESPONSE: (1, FRAME_PAYLOAD, MORE, (0,), True),
    NOTIFY: (1, FRAME_PAYLOAD, MORE, (0,), True),
    DATA: (1, FRAME_PAYLOAD, 0, (STDOUT, STDERR), True),
    END: (0, 0, TRUNCATED, (STDOUT, STDERR), True),
    GAP: (8, 8, 0, (STDOUT, STDERR), True),
    CREDIT: (8, 8, 0, (STDIN,), True),
    BLOCKED: (0, 0, 0, (STDOUT, STDERR), True),
    PING: (8, 8, 0, (0,), False),
    PONG: (8, 8, 0, (0,), False),
    GOAWAY: (2, FRAME_PAYLOAD, 0, (0,), False),
}
WITH_OFFSET = (DATA, END, GAP, CREDIT, BLOCKED)


class Violation(Exception):
    """The agent broke the protocol."""


class Lost(ConnectionError):
    """The connection ended. goaway is the error that the agent gave for it, or None."""

    def __init__(self, text, goaway=None):
        super().__init__(f"{text}; goaway: {goaway}" if goaway else text)
        self.goaway = goaway


class Cut(Lost):
    """The connection was cut on purpose, at the byte that was asked for."""


class RpcError(Exception):
    """A typed error of the agent."""

    def __init__(self, error):
        data = error.get("data", {})
        self.code = error["code"]
        self.message = error["message"]
        self.name = data.get("name")
        self.errno = data.get("errno")
        self.op = data.get("op")
        self.object = data.get("object")
        self.retryable = data.get("retryable")
        super().__init__(f"{self.name} ({self.code}): {self.message} {data}")


def to_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def from_json(text):
    """Strict: what the agent writes must be UTF-8 without repeated keys."""

    def unique(pairs):
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise Violation(f"a key twice in {names}")
        return dict(pairs)

    try:
        return json.loads(bytes(text).decode("utf-8"), object_pairs_hook=unique)
    except ValueError as error:
        raise Violation(f"not JSON: {error}: {bytes(text)[:200]!r}") from None


def from_bytes(value):
    """What a JSON value that is bytes by nature means."""
    if isinstance(value, dict):
        if list(value) != ["b64"]:
            raise Violation(f"not bytes: {value}")
        return base64.b64decode(value["b64"], validate=True)
    return value.encode()


def to_bytes(value):
    """bytes as a JSON value: a string when it can be one."""
    try:
        text = value.decode("utf-8")
        if "\0" not in text:
            return text
    except UnicodeDecodeError:
        pass
    return {"b64": base64.b64encode(value).decode()}


def _handshake(link, port):
    """The hybrid handshake; what follows it is not read."""
    link.sendall(b"CONNECT %s\n" % port.encode())
    answer = b""
    while not answer.endswith(b"\n"):
        byte = link.recv(1)
        if not byte:
            raise ConnectionRefusedError(f"closed before OK: {answer}")
        answer += byte


def dial(address, timeout=10):
    kind, rest = address.split(":", 1)
    path, _, port = rest.rpartition(":")
    if kind == "tcp":
        link, target = socket.socket(socket.AF_INET), (path, int(port))
    else:
        link, target = socket.socket(socket.AF_UNIX), path if kind == "hybrid" else rest
    link.settimeout(scaled(timeout))
    try:
        link.connect(target)
        if kind == "hybrid":
            _handshake(link, port)
    except OSError:
        link.close()
        raise
    return link


def frame(kind, stream, payload=b"", flags=0, channel=0, offset=0, length=None, reserved=0):
    """One frame as bytes; nothing is checked, so that wrong ones can be made."""
    length = len(payload) if length is None else length
    return HEADER.pack(length, stream, kind, flags, channel, reserved, offset) + payload


class Incoming:
    """The receiving end of one channel."""

    def __init__(self, sink, credit):
        self.sink = sink  # an object with update(bytes), or None: kept in parts
        self.credit = credit  # "auto", or "manual": the test calls stream.grant
        self.parts = []
        self.gaps = []
        self.end = None
        self.truncated = False
        self.start_at(0)

    def start_at(self, offset):
        self.start = self.next = self.consumed = offset
        self.limit = offset + INITIAL_CREDIT

    @property
    def bytes(self):
        return b"".join(self.parts)

    def data(self, offset, payload):
        if self.end is not None:
            raise Violation("DATA after END")
        if offset != self.next:
            raise Violation(f"DATA at {offset}, expected {self.next}")
        if offset + len(payload) > self.limit:
            raise Violation(f"DATA up to {offset + len(payload)}, the credit ends at {self.limit}")
        self.next += len(payload)
        if self.sink is not None:
            self.sink.update(payload)
        else:
            self.parts.append(payload)

    def gap(self, offset, to):
        if self.end is not None or offset != self.next or to <= offset:
            raise Violation(f"GAP from {offset} to {to}, expected from {self.next}, end {self.end}")
        self.gaps.append((offset, to))
        self.next = to

    def finish(self, offset, truncated):
        if self.end is not None or offset != self.next:
            raise Violation(f"END at {offset}, expected {self.next}, earlier end {self.end}")
        self.end = offset
        self.truncated = truncated


class Outgoing:
    """The sending end of channel 1."""

    def __init__(self):
        self.pending = memoryview(b"")
        self.closing = False
        self.closed = False
        self.start_at(0)

    def start_at(self, offset):
        self.next = self.consumed = offset
        self.limit = offset + INITIAL_CREDIT


class Stream:
    """One call. log has what came, in order: ("notify", name), ("data", channel, offset, length)..."""

    def __init__(self, connection, number, sinks, credit):
        self.connection = connection
        self.number = number
        sinks = sinks or {}
        self.channels = {c: Incoming(sinks.get(c), credit) for c in (STDOUT, STDERR)}
        self.input = Outgoing()
        self.notes = []
        self.log = []
        self.message = None
        self._text = {RESPONSE: bytearray(), NOTIFY: bytearray()}
        self.on_note = None

    @property
    def done(self):
        return self.message is not None

    def wait(self, timeout=15):
        """The result; RpcError for an error."""
        self.connection.until(lambda: self.done, timeout, f"the response of stream {self.number}")
        return self.result()

    def result(self):
        if "error" in self.message:
            raise RpcError(self.message["error"])
        return self.message["result"]

    def note(self, method):
        """The parameters of the first notification of that name, or None."""
        return next((params for name, params in self.notes if name == method), None)

    def wait_note(self, method, timeout=15):
        self.connection.until(lambda: self.note(method) or self.done, timeout, method)
        if self.note(method) is None:
            self.result()
            raise Failure(f"the call ended without {method}")
        return self.note(method)

    def cancel(self):
        self.connection.send(frame(CANCEL, self.number))

    def grant(self, channel, limit, consumed=None):
        """Sends CREDIT; consumed: everything that came, unless told otherwise."""
        incoming = self.channels[channel]
        incoming.consumed = incoming.next if consumed is None else consumed
        incoming.limit = max(incoming.limit, limit)
        payload = NUMBER.pack(incoming.limit)
        self.connection.send(frame(CREDIT, self.number, payload, channel=channel, offset=incoming.consumed))

    def write(self, data):
        """Queues standard input; it goes out as the credit permits."""
        pending = self.input.pending
        self.input.pending = memoryview(bytes(pending) + data if len(pending) else data)
        self.connection._feed(self)

    def close_input(self):
        self.input.closing = True
        self.connection._feed(self)

    # What the connection calls.

    def _arrived(self, kind, flags, channel, offset, payload):
        if self.done:
            raise Violation(f"{NAMES[kind]} for stream {self.number} after its RESPONSE")
        if kind in (RESPONSE, NOTIFY):
            self._json(kind, flags, payload)
        elif kind == CREDIT:
            self._credit(offset, NUMBER.unpack(payload)[0])
        else:
            self._output(self.channels[channel], kind, flags, channel, offset, payload)

    def _output(self, incoming, kind, flags, channel, offset, payload):
        if kind == DATA:
            self.log.append(("data", channel, offset, len(payload)))
            incoming.data(offset, payload)
            if incoming.credit == "auto" and incoming.limit - incoming.next < INITIAL_CREDIT * 3 // 4:
                self.grant(channel, incoming.next + INITIAL_CREDIT)
        elif kind == GAP:
            to = NUMBER.unpack(payload)[0]
            self.log.append(("gap", channel, offset, to))
            incoming.gap(offset, to)
            incoming.limit += to - offset
        elif kind == BLOCKED:
            if offset != incoming.next:
                raise Violation(f"BLOCKED at {offset}, expected {incoming.next}")
            self.log.append(("blocked", channel, offset))
            self.grant(channel, incoming.limit)
        else:
            self.log.append(("end", channel, offset, bool(flags & TRUNCATED)))
            incoming.finish(offset, bool(flags & TRUNCATED))

    def _json(self, kind, flags, payload):
        text = self._text[kind]
        text += payload
        if len(text) > JSON_MESSAGE:
            raise Violation(f"a JSON message of more than {JSON_MESSAGE} bytes")
        if flags & MORE:
            return
        value = from_json(text)
        text.clear()
        if kind == RESPONSE:
            if ("result" in value) == ("error" in value):
                raise Violation(f"a response needs result or error: {value}")
            self.log.append(("response",))
            self.message = value
            return
        name, params = value["method"], value["params"]
        self.log.append(("notify", name))
        self.notes.append((name, params))
        if name == "process.started":
            self.channels[STDOUT].start_at(int(params["stdout_from"]))
            self.channels[STDERR].start_at(int(params.get("stderr_from") or 0))
            self.input.start_at(int(params.get("stdin_offset") or 0))
        elif name == "process.stdin_closed":
            self.input.closed = True
            self.input.pending = memoryview(b"")
        if self.on_note:
            self.on_note(name, params)

    def _credit(self, consumed, limit):
        out = self.input
        if consumed > out.next or limit < consumed or consumed < out.consumed or limit < out.limit:
            raise Violation(
                f"CREDIT consumed {consumed} limit {limit}; sent {out.next},"
                f" before consumed {out.consumed} limit {out.limit}"
            )
        out.consumed, out.limit = consumed, limit
        self.connection._feed(self)


class Run:
    """What one attached process did."""

    def __init__(self, stream):
        self.stream = stream
        self.response = stream.result()
        self.started = stream.note("process.started")
        self.exited = stream.note("process.exited")
        self.drained = stream.note("process.drained")
        self.exit = self.response["exit"]
        self.stdout = stream.channels[STDOUT].bytes
        self.stderr = stream.channels[STDERR].bytes
        self.gaps = {c: stream.channels[c].gaps for c in (STDOUT, STDERR)}
        self.id = self.response["id"]

    @property
    def code(self):
        return self.exit.get("code")

    @property
    def signal(self):
        return self.exit.get("signal")


class Connection:
    """The binary mode.

    cut_out, cut_in: the connection is closed when that many bytes were sent, or received.
    throttle: at most so many bytes are taken from the socket by one pump().
    """

    def __init__(self, address, hello=True, token=None, preface=PREFACE, cut_out=None, cut_in=None, timeout=10):
        self.socket = dial(address, timeout)
        self.socket.setblocking(False)
        self.cut_out, self.cut_in = cut_out, cut_in
        self.throttle = 1 << 18
        self.received = self.sent = 0
        self.streams = {}
        self.pongs = []
        self.pings = 0
        self.answer_pings = True
        self.goaway = None
        self.lost = None
        self.hello = None
        self.last_stream = -1
        self._in = bytearray()
        self._out = bytearray()
        self._preface = None
        self._feeding = set()
        if preface:
            self.send(preface)
        if hello:
            params = {"client": "integration test"}
            if token is not None:
                params["token"] = token
            self.hello = self.call("hello", timeout=timeout, **params)

    def close(self):
        self.lost = self.lost or Lost("closed by ourselves")
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Sending

    def send(self, data):
        """Queues the bytes and writes what the socket takes at once."""
        self._out += data
        self._write()

    def next_stream(self):
        self.last_stream += 2
        return self.last_stream

    def request(self, method, params=None, deadline_ms=None, sinks=None, credit="auto", pieces=None):
        """Opens a stream. pieces: cut the JSON text into frames of that many bytes."""
        message = {"method": method, "params": {} if params is None else params}
        if deadline_ms is not None:
            message["deadline_ms"] = deadline_ms
        return self.request_text(to_json(message), sinks, credit, pieces)

    def request_text(self, text, sinks=None, credit="auto", pieces=None):
        stream = Stream(self, self.next_stream(), sinks, credit)
        self.streams[stream.number] = stream
        size = pieces or FRAME_PAYLOAD
        for at in range(0, max(len(text), 1), size):
            more = MORE if at + size < len(text) else 0
            self.send(frame(REQUEST, stream.number, text[at : at + size], flags=more))
        return stream

    def call(self, method, timeout=15, deadline_ms=None, **params):
        return self.request(method, params, deadline_ms).wait(timeout)

    def start(self, argv=None, sinks=None, credit="auto", **params):
        """process.start with attach; returns its stream."""
        params = {"attach": True, **params}
        if argv is not None:
            params["argv"] = [to_bytes(a) if isinstance(a, bytes) else a for a in argv]
        return self.request("process.start", params, sinks=sinks, credit=credit)

    def attach(self, process, sinks=None, credit="auto", **params):
        return self.request("process.attach", {"id": process, **params}, sinks=sinks, credit=credit)

    def run(self, argv=None, input=None, sinks=None, timeout=15, **params):
        """Starts a process, follows it to its end and returns a Run."""
        if input is not None:
            params["stdin"] = "pipe"
        stream = self.start(argv, sinks, **params)
        if input is not None:
            stream.wait_note("process.started", timeout)
            stream.write(input)
            stream.close_input()
        stream.wait(timeout)
        return Run(stream)

    def processes(self):
        """The records of all processes, page by page."""
        records, after = [], 0
        while after is not None:
            page = self.call("process.list", after=after)
            records += page["processes"]
            after = page["next"]
        return records

    def ping(self, timeout=10):
        """Seconds from PING to PONG."""
        token = NUMBER.pack(time.monotonic_ns())
        started = time.monotonic()
        self.send(frame(PING, 0, token))
        self.until(lambda: token in self.pongs, timeout, "PONG")
        self.pongs.remove(token)
        return time.monotonic() - started

    # Moving bytes

    def pump(self, timeout=0.0):
        """Moves what can be moved, waiting at most timeout seconds. Raises Lost."""
        if self.lost:
            raise self.lost
        poll = select.poll()
        poll.register(self.socket, select.POLLIN | (select.POLLOUT if self._out else 0))
        for _, events in poll.poll(max(timeout, 0) * 1000):
            if events & select.POLLOUT:
                self._write()
            if events & ~select.POLLOUT:
                self._read()
            return True
        return False

    def until(self, condition, timeout=15, about="a condition"):
        end = time.monotonic() + scaled(timeout)
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(f"not within {scaled(timeout):g} s: {about}")
            self.pump(left)

    def drain(self, seconds):
        """Pumps for a time, whatever comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump(end - time.monotonic())

    def wait_lost(self, timeout=10):
        """Pumps until the agent closes; returns the error of its GOAWAY, or None."""
        try:
            self.until(lambda: False, timeout, "the end of the connection")
        except Lost as lost:
            return lost.goaway

    def _lose(self, kind, text):
        self.lost = kind(text, self.goaway)
        self.socket.close()
        raise self.lost

    def _write(self):
        while self._out and not self.lost:
            chunk = self._out
            if self.cut_out is not None:
                chunk = chunk[: self.cut_out - self.sent]
                if not chunk:
                    self._lose(Cut, f"cut after {self.sent} bytes sent")
            try:
                count = self.socket.send(chunk[:FRAME_PAYLOAD])
            except BlockingIOError:
                return
            except OSError:
                # What the agent had to say before it closed may still be there: reading finds the end.
                self._out.clear()
                return
            self.sent += count
            del self._out[:count]
            if len(self._out) < FRAME_PAYLOAD:
                for stream in list(self._feeding):
                    self._feed(stream)

    def _read(self):
        size = self.throttle
        if self.cut_in is not None:
            size = min(size, self.cut_in - self.received)
            if size == 0:
                self._lose(Cut, f"cut after {self.received} bytes received")
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lose(Lost, f"recv: {error}")
        if not data:
            self._lose(Lost, "end of file")
        self.received += len(data)
        self._in += data
        self._frames()
        return True

    def _feed(self, stream):
        """Sends pending input within the credit, without filling our own memory."""
        out = stream.input
        self._feeding.discard(stream)
        if stream.done or self.lost:
            return
        while len(out.pending) and out.next < out.limit:
            if len(self._out) >= FRAME_PAYLOAD:
                self._feeding.add(stream)
                return
            size = min(len(out.pending), out.limit - out.next, FRAME_PAYLOAD)
            data = bytes(out.pending[:size])
            out.pending = out.pending[size:]
            at, out.next = out.next, out.next + size
            self._out += frame(DATA, stream.number, data, channel=STDIN, offset=at)
        if out.closing and not len(out.pending) and not out.closed:
            out.closed = True
            self._out += frame(END, stream.number, channel=STDIN, offset=out.next)
        self._write()

    def _frames(self):
        at = 0
        if self._preface is None:
            if len(self._in) < len(PREFACE):
                return
            self._preface = bytes(self._in[: len(PREFACE)])
            at = len(PREFACE)
            if self._preface != PREFACE:
                raise Violation(f"preface {self._preface.hex()}")
        whole = memoryview(self._in)
        try:
            while len(whole) - at >= HEADER.size:
                length = HEADER.unpack_from(whole, at)[0]
                if length > FRAME_PAYLOAD:
                    raise Violation(f"a payload of {length} bytes")
                if len(whole) - at - HEADER.size < length:
                    break
                header = HEADER.unpack_from(whole, at)
                at += HEADER.size
                payload = bytes(whole[at : at + length])
                at += length
                self._arrived(header, payload)
        finally:
            whole.release()
            del self._in[:at]

    def _arrived(self, header, payload):
        length, number, kind, flags, channel, reserved, offset = header
        what = f"{NAMES[kind] if kind < len(NAMES) else kind} {header}"
        rule = FROM_AGENT.get(kind)
        if rule is None:
            raise Violation(f"a client must not get {what}")
        least, most, allowed, channels, on_stream = rule
        if not least <= length <= most or flags & ~allowed or channel not in channels or reserved:
            raise Violation(f"malformed {what}")
        if on_stream != (number != 0) or (offset and kind not in WITH_OFFSET):
            raise Violation(f"malformed {what}")
        if self.goaway:
            raise Violation(f"{what} after GOAWAY")
        if on_stream:
            if number not in self.streams:
                raise Violation(f"no such stream: {what}")
            self.streams[number]._arrived(kind, flags, channel, offset, payload)
        elif kind == PING:
            self.pings += 1
            if self.answer_pings:
                self.send(frame(PONG, 0, payload))
        elif kind == PONG:
            self.pongs.append(payload)
        else:
            self.goaway = from_json(payload)["error"]


class TextConnection:
    """The text mode: one JSON-RPC message a line."""

    def __init__(self, address, timeout=10):
        self.socket = dial(address, timeout)
        self._in = bytearray()
        self._id = 0
        self.others = []  # messages that were not the answer that a call waited for

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_line(self, line):
        self.socket.sendall(line + b"\n")

    def send(self, method, params=None, id=None, **more):
        if id is None:
            self._id += 1
            id = self._id
        self.send_line(to_json({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}, **more}))
        return id

    def receive(self, timeout=15):
        """The next message; None at the end of the connection."""
        self.socket.settimeout(scaled(timeout))
        while b"\n" not in self._in:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            except TimeoutError:
                raise Failure(f"no line within {scaled(timeout):g} s") from None
            if not data:
                if self._in:
                    raise Violation(f"half a line at the end: {bytes(self._in[:200])!r}")
                return None
            self._in += data
        line, _, rest = self._in.partition(b"\n")
        self._in = rest
        message = from_json(line)
        if message.get("jsonrpc") != "2.0":
            raise Violation(f"not JSON-RPC 2.0: {message}")
        return message

    def answer(self, id, timeout=15):
        """The response with that id; what comes before it goes to others."""
        while True:
            message = self.receive(timeout)
            if message is None:
                raise Lost("end of file")
            if "method" not in message and message.get("id") == id:
                return message
            self.others.append(message)

    def call(self, method, timeout=15, **params):
        message = self.answer(self.send(method, params), timeout)
        if "error" in message:
            raise RpcError(message["error"])
        return message["result"]
