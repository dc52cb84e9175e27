import { Bytes } from "./bytes";

// JSONObject writes a JSON object, member by member. It does not check for names given twice.
//
//     new JSONObject().str("order", "o-1").int("cents", 1999)
export class JSONObject {
  private out: Bytes = new Bytes();

  // Adds a string.
  str(name: string, value: string): JSONObject {
    this.name(name).quoted(value);
    return this;
  }

  // Adds a whole number.
  int(name: string, value: i64): JSONObject {
    this.name(name).integer(value);
    return this;
  }

  // Adds a number; one that is not finite becomes null.
  float(name: string, value: f64): JSONObject {
    this.name(name).text(isFinite(value) ? value.toString() : "null");
    return this;
  }

  // Adds true or false.
  bool(name: string, value: bool): JSONObject {
    this.name(name).text(value ? "true" : "false");
    return this;
  }

  // Adds an array of strings.
  strs(name: string, values: string[]): JSONObject {
    const out = this.name(name);
    out.byte(0x5b);
    for (let i = 0; i < values.length; i++) {
      if (i > 0) out.byte(0x2c);
      out.quoted(values[i]);
    }
    out.byte(0x5d);
    return this;
  }

  // Adds a value that is JSON text already. It is not checked.
  raw(name: string, json: string): JSONObject {
    this.name(name).text(json);
    return this;
  }

  // The object as JSON text.
  toString(): string {
    return this.close().toString();
  }

  // The object as JSON text in UTF-8. Members cannot be added afterwards.
  close(): Bytes {
    const out = this.out;
    if (out.length == 0) out.byte(0x7b);
    if (!this.closed) out.byte(0x7d);
    this.closed = true;
    return out;
  }

  private closed: bool = false;

  private name(name: string): Bytes {
    const out = this.out;
    out.byte(out.length == 0 ? 0x7b : 0x2c);
    out.quoted(name).byte(0x3a);
    return out;
  }
}
