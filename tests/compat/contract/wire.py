"""HTTP/1.1 to an engine's socket: whole replies, streams that are read piece by piece, and connections taken over."""

import http.client
import json
import socket
import struct
from urllib.parse import urlsplit

# Everything here happens soon; a loaded machine may take its time.
PATIENCE = 120


class Connection(http.client.HTTPConnection):
    """To `unix:///path` or `tcp://host:port`."""

    def __init__(self, host):
        self.address = urlsplit(host)
        super().__init__(self.address.netloc or "localhost", timeout=PATIENCE)

    def connect(self):
        if self.address.scheme != "unix":
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.address.path)


class Reply:
    """A status, headers, and a body: read at once, or left on the connection for whoever asked."""

    def __init__(self, response, sock, whole):
        self.status = response.status
        self.headers = response.headers
        self.length = response.getheader("Content-Length")
        self.response = response
        self.sock = sock
        self.body = b""
        if whole:
            self.finish()

    def finish(self):
        """Reads the body to its end."""
        self.body = self.response.read()
        self.close()

    @property
    def type(self):
        return (self.headers.get("Content-Type") or "").split(";")[0].strip()

    def json(self):
        return json.loads(self.body)

    def lines(self):
        """The JSON values of a stream, as they come."""
        decoder, text = json.JSONDecoder(), ""
        while piece := self.response.read1(65536):
            text += piece.decode()
            while text := text.lstrip():
                try:
                    value, end = decoder.raw_decode(text)
                except json.JSONDecodeError:
                    break
                yield value
                text = text[end:]
        if text:
            raise ValueError(f"the stream ends within {text!r}")

    def send(self, data):
        """Onto a connection that was taken over."""
        self.sock.sendall(data)

    def end_input(self):
        self.sock.shutdown(socket.SHUT_WR)

    def read(self, size=-1):
        """Of a connection that was taken over: http.client thinks that a 101 has no body."""
        return self.response.fp.read(size) if self.status == 101 else self.response.read(size if size >= 0 else None)

    def close(self):
        self.response.close()
        self.sock.close()


def ask(host, method, path, headers, body, whole=True):
    """Sends one request on a connection of its own. A body is bytes or nothing."""
    connection = Connection(host)
    connection.connect()
    sock = connection.sock.dup()
    sock.settimeout(PATIENCE)
    try:
        connection.request(method, path, body=body, headers=headers)
    except BrokenPipeError:
        # A refusal need not wait for the end of what it refuses: it is there to be read.
        pass
    response = connection.getresponse()
    if whole and response.status == 101:
        raise ValueError(f"{method} {path} took the connection over")
    return Reply(response, sock, whole)


def frames(data):
    """What `application/vnd.docker.multiplexed-stream` carries: [(stream, bytes)].

    Source: the text of ContainerAttach: one byte of stream, three of zero, four of length.
    """
    found = []
    while data:
        if len(data) < 8:
            raise ValueError(f"a frame's header is cut off: {data!r}")
        stream, zero, size = data[0], data[1:4], struct.unpack(">I", data[4:8])[0]
        if stream not in (0, 1, 2) or zero != b"\0\0\0":
            raise ValueError(f"no frame's header: {data[:8]!r}")
        if len(data) < 8 + size:
            raise ValueError(f"a frame of {size} bytes is cut off after {len(data) - 8}")
        found.append((stream, data[8 : 8 + size]))
        data = data[8 + size :]
    return found
