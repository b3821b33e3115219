/** Records: pickers that find a record while one types, and the search over all of them. */

import { all, isWriting, parse } from "./dom";

const WAIT = 140;

/** Calls back with the newest text only, a moment after the last key. */
function later(call: (text: string) => Promise<void>): (text: string) => void {
  let timer = 0;
  return (text) => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => void call(text), WAIT);
  };
}

async function fragment(url: string): Promise<Element[]> {
  const answer = await fetch(url, { credentials: "same-origin" });
  return answer.ok ? [...parse(await answer.text()).body.children] : [];
}

/** Moves through `items` by arrows; true when the key was one of these. */
function walk(event: KeyboardEvent, items: HTMLElement[], mark: (item: HTMLElement) => void): boolean {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (!step || !items.length) return false;
  event.preventDefault();
  const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
  mark(items[(at + step + items.length) % items.length]!);
  return true;
}

let numbered = 0;

function startPick(pick: HTMLElement): void {
  const held = pick.querySelector<HTMLInputElement>("input[type=hidden]")!;
  const field = pick.querySelector<HTMLInputElement>("input:not([type=hidden])")!;
  const list = document.createElement("ul");
  list.className = "pick-list";
  list.id = `pick-${++numbered}`;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  list.hidden = true;
  pick.append(list);
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-controls", list.id]] as const) {
    field.setAttribute(name, value);
  }
  const show = (open: boolean): void => {
    list.hidden = !open;
    field.setAttribute("aria-expanded", String(open));
    if (!open) field.removeAttribute("aria-activedescendant");
  };
  const mark = (item: HTMLElement): void => {
    for (const each of all<HTMLElement>("[role=option]", list)) each.setAttribute("aria-selected", String(each === item));
    item.id ||= `${list.id}-${[...list.children].indexOf(item)}`;
    field.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  };
  const choose = (item: HTMLElement): void => {
    held.value = item.dataset["id"] ?? "";
    field.value = item.dataset["title"] ?? "";
    show(false);
  };
  const look = later(async (text) => {
    list.replaceChildren(...(await fragment(`/records/${pick.dataset["pick"]}/options?q=${encodeURIComponent(text)}`)));
    const first = list.querySelector<HTMLElement>("[role=option]");
    if (first && text) mark(first);
    show(document.activeElement === field && list.children.length > 0);
  });
  show(false);
  field.addEventListener("input", () => {
    held.value = "";
    look(field.value.trim());
  });
  field.addEventListener("focus", () => {
    if (!field.value) look("");
  });
  field.addEventListener("blur", () => window.setTimeout(() => show(false), 120));
  field.addEventListener("keydown", (event) => {
    const options = all<HTMLElement>("[role=option]", list);
    if (event.key === "Escape" && !list.hidden) {
      event.stopPropagation();
      show(false);
    } else if (event.key === "Enter" && !list.hidden) {
      const chosen = list.querySelector<HTMLElement>("[aria-selected=true]");
      if (!chosen) return;
      event.preventDefault();
      choose(chosen);
    } else if (walk(event, options, mark)) show(true);
  });
  list.addEventListener("pointerdown", (event) => {
    const item = (event.target as Element).closest<HTMLElement>("[role=option]");
    if (!item) return;
    event.preventDefault();
    choose(item);
  });
}

function startFind(): void {
  const box = document.querySelector<HTMLDialogElement>("#find");
  if (!box) return;
  const field = box.querySelector<HTMLInputElement>("input")!;
  const found = box.querySelector<HTMLElement>("[data-found]")!;
  const open = (): void => {
    if (!box.open) box.showModal();
    field.select();
  };
  const mark = (item: HTMLElement): void => {
    for (const each of all<HTMLElement>("a", found)) each.setAttribute("aria-selected", String(each === item));
    item.scrollIntoView({ block: "nearest" });
  };
  const look = later(async (text) => {
    found.replaceChildren(...(await fragment(`/find?part=1&q=${encodeURIComponent(text)}`)));
    const first = found.querySelector<HTMLElement>("a");
    if (first) mark(first);
  });
  field.addEventListener("input", () => look(field.value.trim()));
  field.addEventListener("keydown", (event) => {
    if (walk(event, all<HTMLElement>("a", found), mark)) return;
    const chosen = found.querySelector<HTMLAnchorElement>("a[aria-selected=true]");
    if (event.key !== "Enter" || !chosen) return;
    event.preventDefault();
    location.assign(chosen.href);
  });
  box.addEventListener("click", (event) => {
    if (event.target === box) box.close();
  });
  for (const link of all<HTMLElement>("[data-find]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      open();
    });
  }
  document.addEventListener("keydown", (event) => {
    const slash = event.key === "/" && !isWriting(event.target) && !event.ctrlKey && !event.metaKey && !event.altKey;
    const command = event.key === "k" && (event.ctrlKey || event.metaKey);
    if (document.querySelector("dialog[open]") || !(command || (slash && !document.querySelector("[data-search]")))) return;
    event.preventDefault();
    open();
  });
}

/** A form that was sent is not sent again by a second click. */
function startForms(): void {
  for (const form of all<HTMLFormElement>(".record-form")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset["sent"]) event.preventDefault();
      form.dataset["sent"] = "yes";
    });
  }
  window.addEventListener("pageshow", () => {
    for (const form of all<HTMLFormElement>(".record-form")) delete form.dataset["sent"];
  });
}

export function startRecords(): void {
  for (const pick of all<HTMLElement>("[data-pick]")) startPick(pick);
  startFind();
  startForms();
}
