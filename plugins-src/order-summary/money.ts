// Digits behind the point of the currencies that have other than two (ISO 4217).
const digits: Record<string, number> = { BHD: 3, CLP: 0, IQD: 3, ISK: 0, JOD: 3, JPY: 0, KRW: 0, KWD: 3, LYD: 3, OMR: 3, TND: 3, UGX: 0, VND: 0 };

/** Writes an amount in the currency's smallest unit: money(123456, "EUR") is "EUR 1,234.56". */
export function money(amount: number, currency: string): string {
  const n = digits[currency] ?? 2;
  const padded = String(Math.abs(amount)).padStart(n + 1, "0");
  const whole = padded.slice(0, padded.length - n).replace(/\B(?=(\d{3})+$)/g, ",");
  const fraction = n === 0 ? "" : "." + padded.slice(-n);
  return `${currency} ${amount < 0 ? "-" : ""}${whole}${fraction}`;
}
