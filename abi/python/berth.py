# The Berth SDK for handlers in Python: `import berth`. README.md describes it.
#
# It runs in MicroPython. engine/glue.go has the operations of host.call; the names in
# `files` are the handler's files, each its name, a line feed and its text.
import binascii
import builtins
import gc
import host
import io
import json
import sys
import time

_call = host.call
_missing = object()
_codes = ("", "END", "INVALID", "DENIED", "NOT_FOUND", "TOO_LARGE", "UNAVAILABLE", "TIMEOUT", "CONFLICT")


class Reject(Exception):
    """Raised by a handler: the event becomes a dead letter at once."""


class Retry(Exception):
    """Raised by a handler: the event is delivered again after a pause."""


class Error(Exception):
    """A call of the host failed. code is the ABI's name, such as "NOT_FOUND"."""

    def __init__(self, code, text):
        super().__init__(code + ": " + text)
        self.code = code


class Json:
    """JSON text that is passed on as it is: as a result, or as the data of a child."""

    def __init__(self, text):
        self.text = text


def _failure():
    code = _codes[int(_call("q", ""))]
    try:
        text = _call("E", "")
    except ValueError:  # longer than the buffer
        text = _call("l", "")
    return Error(code, text)


def _ask(operation, payload):
    try:
        return _call(operation, payload)
    except ValueError:  # longer than the buffer
        return _call("l", "")
    except RuntimeError:
        raise _failure()


def _after(error, default):
    if isinstance(error, ValueError):
        return _call("l", "")
    failure = _failure()
    if default is not _missing and failure.code == "NOT_FOUND":
        return default
    raise failure


def _encode(value):
    return value.text if isinstance(value, Json) else json.dumps(value)


def _decode(text):
    return json.loads(_pairs(text) if "\\ud" in text or "\\uD" in text else text)


def _pairs(text):
    # json.loads decodes each half of an escaped surrogate pair by itself.
    parts = []
    start = at = 0
    while True:
        at = text.find("\\", at)
        if at < 0:
            parts.append(text[start:])
            return "".join(parts)
        if text[at + 1] != "u":
            at += 2
            continue
        high = int(text[at + 2 : at + 6], 16)
        if not 0xD800 <= high < 0xE000:
            at += 6
            continue
        parts.append(text[start:at])
        at += 6
        character = "\ufffd"
        if high < 0xDC00 and text[at : at + 2] == "\\u":
            low = int(text[at + 2 : at + 6], 16)
            if 0xDC00 <= low < 0xE000:
                character = chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
                at += 6
        parts.append(character)
        start = at


class _State:
    """What is known of the open event here; made when a handler needs it."""

    def __init__(self):
        self.data = _missing
        self.finished = False


class Event:
    """The open event. Values are fetched from the host when they are asked for."""

    def field(self, pointer, default=_missing):
        """The value at a JSON Pointer as text: a string without quotes, else JSON."""
        try:
            return _call("f", pointer)
        except (ValueError, RuntimeError) as error:
            return _after(error, default)

    def int(self, pointer, default=_missing):
        try:
            return int(_call("f", pointer))
        except RuntimeError as error:
            return _after(error, default)

    def bool(self, pointer, default=_missing):
        text = self.field(pointer, default)
        if text is default:
            return default
        if text == "true":
            return True
        if text == "false":
            return False
        raise ValueError(pointer + " is no boolean: " + text)

    def json(self, pointer, default=_missing):
        """The value at a JSON Pointer, decoded."""
        text = self.field(pointer, default)
        return default if text is default else self._decoded(pointer, text)

    def raw(self, pointer):
        """The value at a JSON Pointer as JSON; anything but a string byte for byte."""
        text = self.field(pointer)
        value = self._decoded(pointer, text)
        return json.dumps(value) if isinstance(value, str) else text

    def _decoded(self, pointer, text):
        # field does not tell the string "7" from 7. A value with a member is no string;
        # of the others the parent tells.
        if not pointer:
            return _decode(text)
        try:
            value = _decode(text)
        except ValueError:
            return text
        if isinstance(value, str):
            return text
        if isinstance(value, (dict, list)) and value:
            member = next(iter(value)) if isinstance(value, dict) else "0"
            member = pointer + "/" + member.replace("~", "~0").replace("/", "~1")
            return text if self.field(member, None) is None else value
        parent, _, name = pointer.rpartition("/")
        container = self.json(parent)
        if isinstance(container, list):
            return container[int(name)]
        return container[name.replace("~1", "/").replace("~0", "~")]

    def finish(self, text):
        """Ends the event as ok with JSON, or without a result; the handler's own result is then unused."""
        _ask("r", text)
        if self._state is None:
            self._state = _State()
        self._state.finished = True

    @property
    def data(self):
        """The event's data, decoded; one object for each event."""
        if self._state is None:
            self._state = _State()
        if self._state.data is _missing:
            self._state.data = self.json("/data")
        return self._state.data

    @property
    def envelope(self):
        """The whole event as JSON."""
        return _ask("f", "")

    @property
    def size(self):
        """The length of the envelope in bytes."""
        return int(_call("N", ""))

    @property
    def type(self):
        return self.field("/event_type")

    @property
    def hops(self):
        return self.int("/metadata/hops", 0)

    @property
    def attempt(self):
        """1 when the event is delivered for the first time."""
        return int(_ask("A", ""))

    @property
    def remaining(self):
        """Milliseconds until the event's deadline."""
        return int(_ask("R", ""))


def _metadata(name):
    pointer = "/metadata/" + name
    return property(lambda self: self.field(pointer, ""))


for _attribute, _name in (
    ("id", "event_id"),
    ("idempotency_key", "idempotency_key"),
    ("source", "source"),
    ("subject", "subject"),
    ("time", "time"),
    ("correlation_id", "correlation_id"),
    ("causation_id", "causation_id"),
    ("traceparent", "traceparent"),
):
    setattr(Event, _attribute, _metadata(_name))


class _Log:
    def debug(self, text):
        _call("d", text)

    def info(self, text):
        _call("i", text)

    def warn(self, text):
        _call("w", text)

    def error(self, text):
        _call("x", text)


class _KV:
    def get(self, key, default=_missing):
        try:
            return _call("g", key)
        except (ValueError, RuntimeError) as error:
            return _after(error, default)

    def set(self, key, value):
        _ask("p", "%010d" % len(key.encode()) + key + value)

    def cas(self, key, old, value):
        """Writes value if the present one is old, or, if old is None, if there is none."""
        if old is None:
            _ask("b", "%010d" % len(key.encode()) + key + value)
        else:
            _ask("a", "%010d%010d" % (len(key.encode()), len(old.encode())) + key + old + value)

    def delete(self, key):
        _ask("D", key)


log = _Log()
kv = _KV()


class Response:
    """An HTTP answer of any status. The names of headers are in lower case."""

    def __init__(self, answer):
        self.status = answer["status"]
        self.headers = answer.get("headers") or {}
        encoded = answer.get("body_base64")
        self.content = answer.get("body", "").encode() if encoded is None else binascii.a2b_base64(encoded)

    @property
    def text(self):
        return self.content.decode()

    def json(self):
        return _decode(self.text)


def http(method, url, headers=None, body=None):
    """Sends a request: body is text or bytes, or anything else to send as JSON."""
    request = {"method": method, "url": url}
    headers = dict(headers or {})
    if isinstance(body, (bytes, bytearray)):
        request["body_base64"] = binascii.b2a_base64(body).decode().strip()
    elif isinstance(body, str):
        request["body"] = body
    elif body is not None:
        request["body"] = _encode(body)
        headers.setdefault("content-type", "application/json")
    if headers:
        request["headers"] = headers
    return Response(_decode(_ask("h", json.dumps(request))))


def emit(event_type, data, subject=None, key=None):
    """Adds a child, which is published when the event finishes as ok."""
    child = '{"event_type":' + json.dumps(event_type) + ',"data":' + _encode(data)
    metadata = {}
    if subject is not None:
        metadata["subject"] = subject
    if key is not None:
        metadata["idempotency_key"] = key
    if metadata:
        child += ',"metadata":' + json.dumps(metadata)
    _ask("m", child + "}")


def config():
    """The handler's configuration."""
    return _decode(_ask("c", ""))


def secret(name):
    return _ask("s", name)


def _serve(handle):
    call = _call
    dumps = json.dumps
    event = Event()
    while True:
        try:
            call("n", "")
        except RuntimeError:
            return
        event._state = None
        try:
            result = handle(event)
        except Reject as error:
            call("j", str(error))
            continue
        except Retry as error:
            call("t", str(error))
            continue
        except Exception as error:
            _report(error)
        if event._state is None or not event._state.finished:
            try:
                call("r", "" if result is None else dumps(result) if type(result) is dict else _encode(result))
            except RuntimeError:
                _report(_failure())


def _report(error):
    """Ends the program with the traceback of an exception, without the frames of this file."""
    text = io.StringIO()
    sys.print_exception(error, text)
    lines = text.getvalue().split("\n")
    own = [line for line in lines if not line.startswith('  File "berth.py"') and not line.startswith('  File "<stdin>"')]
    sys.stderr.write("\n".join(own if len(own) > 3 else lines))
    sys.exit(1)


class _Module:
    def __init__(self, values):
        for name, value in values.items():
            setattr(self, name, value)


def _start():
    own = globals()
    sys.modules["berth"] = _Module({name: own[name] for name in own if name[0] != "_"})
    sources = {}
    for text in files:
        name, _, source = text.partition("\n")
        sources[name] = source
    original = builtins.__import__
    seeded = []

    def load(name, *rest):
        file = name + ".py"
        if file in sources and name not in sys.modules:
            values = {"__name__": name}
            exec(compile(sources[file], file, "exec"), values)
            sys.modules[name] = _Module(values)
        if name == "random" and not seeded:
            seeded.append(True)
            try:
                original(name)
            except OSError:  # it finds no /dev/urandom, and is then there
                original(name).seed(time.time_ns() & 0xFFFFFFFF)
        return original(name, *rest)

    builtins.__import__ = load
    sys.path[:] = [".frozen"]  # there is no file system
    gc.threshold(1 << 20)
    main = files[0].partition("\n")[0]
    values = {"__name__": "__main__"}
    try:
        exec(compile(sources[main], main, "exec"), values)
    except Exception as error:
        _report(error)
    if "handle" in values:
        _serve(values["handle"])
    elif "run" in values:
        values["run"]()
    else:
        raise Error("INVALID", main + " defines no handle(event)")


_start()
