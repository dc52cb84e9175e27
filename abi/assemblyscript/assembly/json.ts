// JSON without dependencies: strings for results, and single values by JSON Pointer.

// quote returns a text as a JSON string, with its quotes.
export function quote(text: string): string {
  let out = '"';
  let clean = 0; // text[0, clean) is in out
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0x20 && c != 0x22 && c != 0x5c) continue;
    out += text.substring(clean, i) + "\\";
    clean = i + 1;
    if (c < 0x20) out += "u00" + (c < 16 ? "0" : "1") + "0123456789abcdef".charAt(c & 15);
    else out += text.charAt(i);
  }
  return out + text.substring(clean) + '"';
}

// unquote returns the text of a JSON string, given with its quotes. Anything that is no string is returned as it
// is. Half of a surrogate pair becomes U+FFFD where the text is written.
export function unquote(json: string): string {
  if (json.length < 2 || json.charCodeAt(0) != 0x22) return json;
  const end = json.length - 1;
  let out = "";
  let clean = 1;
  for (let i = 1; i < end; i++) {
    if (json.charCodeAt(i) != 0x5c) continue;
    out += json.substring(clean, i);
    const c = json.charCodeAt(++i);
    clean = i + 1;
    if (c == 0x62) out += "\b";
    else if (c == 0x66) out += "\f";
    else if (c == 0x6e) out += "\n";
    else if (c == 0x72) out += "\r";
    else if (c == 0x74) out += "\t";
    else if (c == 0x75) {
      out += String.fromCharCode(<i32>parseInt(json.substr(i + 1, 4), 16));
      i += 4;
      clean = i + 1;
    } else clean = i;
  }
  return clean == 1 ? json.substring(1, end) : out + json.substring(clean, end);
}

// find returns the value at a JSON Pointer (RFC 6901), as the JSON text it is in json, or null if there is none or
// the pointer is malformed. Of a name given twice the last value counts.
export function find(json: string, pointer: string): string | null {
  const scan = new Scan(json);
  scan.blanks();
  let from = scan.at;
  if (!scan.value()) return null;
  let to = scan.at;
  if (pointer.length == 0) return json.substring(from, to);
  const tokens = pointer.split("/");
  if (tokens[0].length > 0) return null;
  for (let i = 1; i < tokens.length; i++) {
    scan.at = from;
    const c = scan.peek();
    let found = false;
    if (c == 0x7b) found = scan.member(tokens[i].replaceAll("~1", "/").replaceAll("~0", "~"));
    else if (c == 0x5b) found = scan.element(tokens[i]);
    if (!found) return null;
    from = scan.from;
    to = scan.to;
  }
  return json.substring(from, to);
}

// members returns the members of an object: names and the JSON texts of the values.
export function members(json: string): Map<string, string> {
  const all = new Map<string, string>();
  const scan = new Scan(json);
  if (!scan.take(0x7b)) return all;
  while (!scan.take(0x7d)) {
    if (!scan.entry()) break;
    all.set(unquote(json.substring(scan.nameFrom, scan.nameTo)), json.substring(scan.from, scan.to));
    scan.take(0x2c);
  }
  return all;
}

// items returns the values of an array as JSON texts.
export function items(json: string): string[] {
  const all = new Array<string>();
  const scan = new Scan(json);
  if (!scan.take(0x5b)) return all;
  while (!scan.take(0x5d)) {
    scan.blanks();
    const from = scan.at;
    if (!scan.value()) break;
    all.push(json.substring(from, scan.at));
    scan.take(0x2c);
  }
  return all;
}

// Scan is a position in JSON text. It moves over values without understanding them.
class Scan {
  at: i32 = 0;
  nameFrom: i32 = 0; // the name of the latest entry, with its quotes
  nameTo: i32 = 0;
  from: i32 = 0; // the latest value that was found
  to: i32 = 0;

  constructor(private text: string) {}

  peek(): i32 {
    return this.at < this.text.length ? <i32>load<u16>(changetype<usize>(this.text) + ((<usize>this.at) << 1)) : -1;
  }

  blanks(): void {
    while (blank(this.peek())) this.at++;
  }

  // Moves over a unit and the blanks before it.
  take(c: i32): bool {
    this.blanks();
    if (this.peek() != c) return false;
    this.at++;
    return true;
  }

  // Moves over a string.
  string(): bool {
    if (!this.take(0x22)) return false;
    while (true) {
      const c = this.peek();
      if (c < 0) return false;
      this.at += c == 0x5c ? 2 : 1;
      if (c == 0x22) return true;
    }
  }

  // Moves over a value of any kind.
  value(): bool {
    this.blanks();
    let depth = 0;
    while (true) {
      const c = this.peek();
      if (c < 0) return false;
      if (c == 0x22) {
        if (!this.string()) return false;
      } else if (c == 0x7b || c == 0x5b) {
        depth++;
        this.at++;
      } else if (c == 0x7d || c == 0x5d) {
        if (depth == 0) return false;
        depth--;
        this.at++;
      } else if (c == 0x2c || c == 0x3a || blank(c)) {
        if (depth == 0) return false;
        this.at++;
        continue;
      } else {
        while (!ends(this.peek())) this.at++;
      }
      if (depth == 0) return true;
    }
  }

  // Moves over a member of an object.
  entry(): bool {
    this.blanks();
    this.nameFrom = this.at;
    if (!this.string()) return false;
    this.nameTo = this.at;
    if (!this.take(0x3a)) return false;
    this.blanks();
    this.from = this.at;
    if (!this.value()) return false;
    this.to = this.at;
    return true;
  }

  // Finds the last value of that name in the object at the position.
  member(name: string): bool {
    let from = -1;
    let to = 0;
    this.take(0x7b);
    while (!this.take(0x7d)) {
      if (!this.entry()) return false;
      if (unquote(this.text.substring(this.nameFrom, this.nameTo)) == name) {
        from = this.from;
        to = this.to;
      }
      this.take(0x2c);
    }
    this.from = from;
    this.to = to;
    return from >= 0;
  }

  // Finds the value at an index in the array at the position.
  element(index: string): bool {
    if (index.length == 0 || index.length > 9 || (index.length > 1 && index.charCodeAt(0) == 0x30)) return false;
    let n = 0;
    for (let i = 0; i < index.length; i++) {
      const digit = index.charCodeAt(i) - 48;
      if (digit < 0 || digit > 9) return false;
      n = n * 10 + digit;
    }
    this.take(0x5b);
    for (; n > 0; n--) {
      if (!this.value() || !this.take(0x2c)) return false;
    }
    this.blanks();
    this.from = this.at;
    if (!this.value()) return false;
    this.to = this.at;
    return true;
  }
}

function blank(c: i32): bool {
  return c == 0x20 || c == 0x0a || c == 0x0d || c == 0x09;
}

// ends reports whether a number, true, false or null ends before a unit.
function ends(c: i32): bool {
  return c < 0 || blank(c) || c == 0x2c || c == 0x3a || c == 0x7d || c == 0x5d || c == 0x7b || c == 0x5b || c == 0x22;
}
