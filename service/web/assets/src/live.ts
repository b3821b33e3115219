import { one } from "./dom";

const SHOWN_MILLISECONDS = 6000;

/** Says something to those who listen instead of look. */
export function announce(text: string, urgent = false): void {
  const region = one<HTMLElement>(urgent ? "[data-live-urgent]" : "[data-live]");
  region.textContent = "";
  requestAnimationFrame(() => {
    region.textContent = text;
  });
}

/** A short message at the foot of the page; it goes by itself, or by its button. */
export function message(text: string, bad = false): void {
  const box = document.createElement("div");
  box.className = bad ? "message is-bad" : "message";
  box.setAttribute("role", bad ? "alert" : "status");
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "button is-quiet is-small";
  close.textContent = "Close";
  close.addEventListener("click", () => box.remove());
  box.append(words, close);
  one("[data-messages]").append(box);
  if (!bad) setTimeout(() => box.remove(), SHOWN_MILLISECONDS);
}
