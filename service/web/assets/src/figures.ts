/** Figures as the server writes them (service/web/words.py), for the moment before its answer is there. */

const SYMBOLS: Record<string, string> = { USD: "$", EUR: "€", GBP: "£", JPY: "¥", INR: "₹", CNY: "CN¥", KRW: "₩", BRL: "R$" };
const STEPS: [number, string][] = [
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "K"],
];

const reader = document.documentElement.dataset;

function grouped(value: number, digits: number): string {
  const [whole = "0", rest] = Math.abs(value).toFixed(digits).split(".");
  const text = whole.replace(/\B(?=(\d{3})+$)/g, reader["group"] ?? ",");
  return rest === undefined ? text : text + (reader["point"] ?? ".") + rest;
}

export function count(value: number): string {
  return grouped(value, 0);
}

/** `1240000` → `$1.24M`. */
export function compactMoney(value: number): string {
  const point = reader["point"] ?? ".";
  let text = grouped(value, 0);
  for (const [step, letter] of STEPS) {
    if (Math.abs(value) >= step * 0.9995) {
      const scaled = value / step;
      const digits = Math.abs(scaled) < 10 ? 2 : Math.abs(scaled) < 100 ? 1 : 0;
      text = grouped(scaled, digits);
      if (digits) {
        while (text.endsWith("0")) text = text.slice(0, -1);
        if (text.endsWith(point)) text = text.slice(0, -1);
      }
      text += letter;
      break;
    }
  }
  const currency = reader["currency"] ?? "USD";
  const symbol = SYMBOLS[currency] ?? currency;
  const first = /^(en|ja|zh|nl)/.test(reader["locale"] ?? "en");
  const sign = value < 0 ? "\u2212" : "";
  return first ? `${sign}${symbol}${symbol.length > 2 ? " " : ""}${text}` : `${sign}${text} ${symbol}`;
}

/** `0.618` → `62 %`. */
export function percent(fraction: number): string {
  const whole = Math.floor(fraction * 100 + 0.5);
  if (fraction > 0 && fraction < 0.01) return "< 1\u202f%";
  if (fraction > 0.99 && fraction < 1) return "> 99\u202f%";
  return `${whole}\u202f%`;
}
