// Numbers, sizes and times as the console shows them. Pure functions without the DOM.
//
//   num(1204) "1,204"         short(41207) "41.2 k"        share(.9962) "99.62 %"     rate(412) "412"
//   ms(1.94) "1.9 ms"         span(252_000) "4 min 12 s" (milliseconds)             bytes(65536) "64 KiB"
//   clock(at) "10:41:54" of today, "29 Nov 10:41" of another day (local time)       stamp(at) "2026-11-30 10:41:54.201"
//   ago(at) "3 min ago", "in 24 s"                       plural(2, "event") "2 events"
// Times are ISO strings, numbers of milliseconds or Dates. None of them throws: an absent value gives "–".

const absent = "–";
const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

const missing = (n) => n === null || n === undefined || Number.isNaN(n);
const digits = (n, count) => String(n).padStart(count, "0");

// figure rounds to three significant digits and no more decimals than are needed.
function figure(n) {
  const size = Math.abs(n);
  if (size >= 100 || Number.isInteger(n)) return grouped.format(n);
  return String(Number(n.toFixed(size >= 10 ? 1 : 2)));
}

export const num = (n) => (missing(n) ? absent : grouped.format(n));
export const rate = (n) => (missing(n) ? absent : figure(n));
// unit is the handler of a delivery, a dead letter or an issue, with its shard if it has several: "enrich/3".
export const unit = (d) => (d.plugin ?? d.handler) + (missing(d.shard) ? "" : "/" + d.shard);
export const plural = (n, one, many = one + "s") => num(n) + " " + (n === 1 ? one : many);

export function short(n) {
  if (missing(n)) return absent;
  const steps = [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]];
  for (const [from, unit] of steps) if (Math.abs(n) >= from) return figure(n / from) + unit;
  return figure(n);
}

export function share(of) {
  if (missing(of)) return absent;
  const percent = of * 100;
  if (percent > 0 && percent < 0.01) return "< 0.01 %";
  if (percent < 100 && percent > 99.99) return "> 99.99 %";
  return Number(percent.toFixed(2)) + " %";
}

export function bytes(n) {
  if (missing(n)) return absent;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (Math.abs(n) >= 1024 && at < units.length - 1) { n /= 1024; at++; }
  return figure(n) + " " + units[at];
}

export function ms(n) {
  if (missing(n)) return absent;
  if (n >= 1000) return span(n);
  if (n > 0 && n < 0.995) return figure(n * 1000) + " µs";
  return figure(n) + " ms";
}

export function span(n) {
  if (missing(n)) return absent;
  const total = Math.abs(n) / 1000;
  if (total < 1) return figure(Math.abs(n)) + " ms";
  if (total < 10) return Number(total.toFixed(1)) + " s";
  const s = Math.round(total);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (s % 60 && s < 600 ? ` ${s % 60} s` : "");
  if (s < 86400) return Math.floor(s / 3600) + " h" + (s % 3600 >= 60 ? ` ${Math.floor((s % 3600) / 60)} min` : "");
  return Math.floor(s / 86400) + " d" + (s % 86400 >= 3600 ? ` ${Math.floor((s % 86400) / 3600)} h` : "");
}

export const millis = (at) => (missing(at) ? NaN : at instanceof Date ? at.getTime() : typeof at === "number" ? at : Date.parse(at));

export function stamp(at) {
  const d = new Date(millis(at));
  if (Number.isNaN(d.getTime())) return absent;
  return `${d.getFullYear()}-${digits(d.getMonth() + 1, 2)}-${digits(d.getDate(), 2)} ${time(d)}.${digits(d.getMilliseconds(), 3)}`;
}

const time = (d) => `${digits(d.getHours(), 2)}:${digits(d.getMinutes(), 2)}:${digits(d.getSeconds(), 2)}`;

export function clock(at, now = Date.now()) {
  const d = new Date(millis(at)), today = new Date(now);
  if (Number.isNaN(d.getTime()) || d.getFullYear() < 1971) return absent;
  if (d.toDateString() === today.toDateString()) return time(d);
  const day = `${d.getDate()} ${months[d.getMonth()]}`;
  if (d.getFullYear() === today.getFullYear()) return `${day} ${time(d).slice(0, 5)}`;
  return `${day} ${d.getFullYear()}`;
}

export function ago(at, now = Date.now()) {
  const then = millis(at);
  if (Number.isNaN(then)) return absent;
  const past = now - then;
  if (Math.abs(past) < 1000) return "now";
  return past > 0 ? span(past) + " ago" : "in " + span(past);
}
