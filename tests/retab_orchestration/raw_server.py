"""A server that sends exactly the bytes that a test gives it, when it wants to."""

import socket
import threading
from contextlib import contextmanager, suppress


class Connection:
    """What a script of a test may do with one connection."""

    def __init__(self, sock, stopped):
        self.sock = sock
        self._stopped = stopped

    def request(self):
        """Read a request with its body, b"" once the client has closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = self.sock.recv(65536)
            if not part:
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].split(b":")[1]) if lengths else 0
        while len(body) < length and (part := self.sock.recv(65536)):
            body += part
        return head + b"\r\n\r\n" + body

    def send(self, data):
        self.sock.sendall(data)

    def drip(self, data, every=0.02):
        """Send byte after byte until the client has had enough."""
        for byte in data:
            self.pause(every)
            self.sock.sendall(bytes((byte,)))

    def pause(self, seconds):
        if self._stopped.wait(seconds):
            raise ConnectionError("the test is over")

    def wait(self):
        """Do nothing any more."""
        self._stopped.wait(60)


class RawServer:
    def __init__(self, script, tls=None):
        self.requests = []
        self.connections = 0
        self._script = script
        self._tls = tls
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._socks, self._threads = [], []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._stopped.is_set():
                sock.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._socks.append(sock)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock):
        try:
            with self._tls.wrap_socket(sock, server_side=True) if self._tls else sock as wrapped:
                self._script(Connection(wrapped, self._stopped))
        except OSError:
            pass

    def close(self):
        self._stopped.set()
        # Closing a socket does not wake who waits for it everywhere, a connection does.
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._accepting.join(60)
        self._listener.close()
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)


@contextmanager
def raw_server(script, tls=None):
    """Serve each connection with a function that gets a `Connection`."""
    server = RawServer(script, tls)
    try:
        yield server
    finally:
        server.close()


def answering(*answers):
    """Return a script that answers each request with the next of these bytes, and with the last one from then on."""
    left = list(answers)

    def script(connection):
        while connection.request():
            connection.send(left.pop(0) if len(left) > 1 else left[0])

    return script


def ok(body, **headers):
    """Return a whole answer."""
    return head(200, **{"content-length": len(body), **headers}) + body


def head(status, **headers):
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode()
