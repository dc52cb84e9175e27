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

_second_edition = True  # the build makes it False in a module without these imports: see sdk.go
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


def _second(operation, payload):
    # Calls a function of the second edition. The build has them imported if a file of the
    # handler has one of the words scan, expire and trace.
    if not _second_edition:
        raise Error("INVALID", "no file of the handler has the word scan, expire or trace")
    try:
        return _call(operation, payload)
    except ValueError:  # longer than the buffer, which is larger now; asking again changes nothing
        return _call(operation, payload)
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


def _finds(pointer):
    # Whether the host has a value there.
    try:
        _call("f", pointer)
    except ValueError:  # longer than the buffer
        return True
    except RuntimeError:
        return False
    return True


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

    def emit(self, event_type, data, subject=None, key=None, deliver_at=None, deliver_after=None):
        """As emit, for a child of this event; in a batch it is published if this event succeeds."""
        emit(event_type, data, subject, key, deliver_at, deliver_after)

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


class _Item(Event):
    # An event of a batch.
    def __init__(self, index):
        self._state = None
        self._index = index
        self._path = "/events/%d" % index

    def _rooted(self, pointer):
        # A malformed pointer stays one.
        return self._path + pointer if not pointer or pointer[0] == "/" else pointer

    def field(self, pointer, default=_missing):
        try:
            return _call("f", self._rooted(pointer))
        except (ValueError, RuntimeError) as error:
            return _after(error, default)

    def int(self, pointer, default=_missing):
        try:
            return int(_call("f", self._rooted(pointer)))
        except RuntimeError as error:
            return _after(error, default)

    def finish(self, text):
        raise Error("INVALID", "an event of a batch is finished by batch.succeed")

    @property
    def envelope(self):
        return _ask("f", self._path)

    @property
    def size(self):
        return len(self.envelope.encode())

    def emit(self, event_type, data, subject=None, key=None, deliver_at=None, deliver_after=None):
        emit(event_type, data, subject, key, deliver_at, deliver_after, self._index)


class Batch:
    """One or more events in the order of the log, no two with the same order key."""

    def __init__(self, single):
        if single:
            event = Event()
            event._state = None
            self.events = [event]
        else:
            self.events = [_Item(index) for index in range(_count())]
        self._single = single
        self._results = [""] * len(self.events)
        self._failures = [None] * len(self.events)

    def __len__(self):
        return len(self.events)

    def __iter__(self):
        return iter(enumerate(self.events))

    def succeed(self, index, result=None):
        """Says that an event succeeds. One of which nothing is said has no result."""
        self._results[index] = "" if result is None else _encode(result)
        self._failures[index] = None

    def fail(self, index, error):
        """Says that an event fails: by a Reject, or by any other exception, which is a retry."""
        self._results[index] = ""
        self._failures[index] = error

    def _text(self):
        failures = [
            {"index": index, "status": "reject" if isinstance(error, Reject) else "retry", "reason": str(error)}
            for index, error in enumerate(self._failures)
            if error is not None
        ]
        text = '{"results":[' + ",".join([result or "null" for result in self._results]) + "]"
        return text + (',"failures":' + json.dumps(failures) if failures else "") + "}"


def _count():
    # The number of events of the open batch, without its text, which may be larger than the heap.
    above = 1
    while _finds("/events/%d/event_type" % above):
        above *= 2
    below = above // 2
    while above - below > 1:
        middle = (above + below) // 2
        if _finds("/events/%d/event_type" % middle):
            below = middle
        else:
            above = middle
    return above


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

    def scan(self, prefix=""):
        """Yields the keys that begin with a prefix, in the order of their bytes."""
        begin = "%010d" % len(prefix.encode()) + prefix
        after = ""
        while True:
            page = _second("k", begin + after).encode()
            if not page:
                return
            at = 0
            while at < len(page):
                end = at + 4 + int(page[at : at + 4])
                after = page[at + 4 : end].decode()
                at = end
                yield after

    def expire(self, key, seconds):
        """Has a key disappear after so many seconds, rounded up. 0 removes the limit, and so does set."""
        whole = -int(-seconds // 1)
        if not 0 <= whole < 1 << 31:
            raise Error("INVALID", "the time is not from 0 to 2147483647 seconds")
        _second("e", "%010d" % whole + key)


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


def emit(event_type, data, subject=None, key=None, deliver_at=None, deliver_after=None, _parent=None):
    """Adds a child, which is published when the event finishes as ok.

    deliver_at, a time in RFC 3339, or deliver_after, seconds or a text such as "15m", defers it.
    In a batch, use the event's emit.
    """
    child = '{"event_type":' + json.dumps(event_type) + ',"data":' + _encode(data)
    metadata = {}
    if subject is not None:
        metadata["subject"] = subject
    if key is not None:
        metadata["idempotency_key"] = key
    if deliver_at is not None:
        metadata["deliver_at"] = deliver_at
    if deliver_after is not None:
        metadata["deliver_after"] = deliver_after if isinstance(deliver_after, str) else "%dms" % round(deliver_after * 1000)
    if metadata:
        child += ',"metadata":' + json.dumps(metadata)
    if _parent is not None:
        child += ',"parent_index":%d' % _parent
    _ask("m", child + "}")


def config():
    """The handler's configuration."""
    return _decode(_ask("c", ""))


def trace():
    """The W3C traceparent of the attempt; None if the host does not trace it."""
    try:
        return _second("T", "")
    except Error as error:
        if error.code == "NOT_FOUND":
            return None
        raise


def secret(name):
    return _ask("s", name)


def _serve(handle, handle_batch):
    call = _call
    dumps = json.dumps
    event = Event()
    first = True
    while True:
        try:
            call("n", "")
        except RuntimeError:
            return
        if first or handle_batch is not None:
            first = False
            single = _finds("/event_type")
            if handle_batch is not None and not (single and handle is not None):
                _serve_batch(handle_batch, single)
                continue
            if not single:
                _report(TypeError("the manifest asks for batches: define handle_batch(batch)"))
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


def _serve_batch(handle_batch, single):
    batch = Batch(single)
    try:
        handle_batch(batch)
        text = batch._text() if not single else batch._results[0]
        if single and batch._failures[0] is not None:
            raise batch._failures[0]
    except Reject as error:
        _call("j", str(error))
        return
    except Retry as error:
        _call("t", str(error))
        return
    except Exception as error:
        if single and error is batch._failures[0]:
            _call("t", str(error))
            return
        _report(error)
    try:
        _call("r", text)
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
    if "handle" in values or "handle_batch" in values:
        _serve(values.get("handle"), values.get("handle_batch"))
    elif "run" in values:
        values["run"]()
    else:
        raise Error("INVALID", main + " defines no handle(event)")


_start()
