/** What every page has: menus, the theme, selects that submit, keys. */

import { all, isWriting } from "./dom";

function closeMenus(except?: Element | null): void {
  for (const menu of all<HTMLDetailsElement>("details.menu[open]")) {
    if (!except || !menu.contains(except)) menu.open = false;
  }
}

/** Moves through a menu's items with the arrow keys. */
function walkMenu(menu: HTMLDetailsElement, event: KeyboardEvent): void {
  const items = all<HTMLElement>(".menu-item", menu);
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (!step || !items.length || isWriting(event.target)) return;
  event.preventDefault();
  event.stopPropagation();
  menu.open = true;
  const at = items.indexOf(document.activeElement as HTMLElement);
  items[(at + step + items.length) % items.length]?.focus();
}

function startMenus(): void {
  document.addEventListener("click", (event) => closeMenus(event.target as Element));
  document.addEventListener("toggle", (event) => {
    const menu = event.target;
    if (menu instanceof HTMLDetailsElement && menu.matches("details.menu[open]")) closeMenus(menu);
  }, true);
  document.addEventListener("keydown", (event) => {
    const menu = (event.target as Element).closest?.<HTMLDetailsElement>("details.menu");
    if (event.key === "Escape") {
      const open = document.querySelector<HTMLDetailsElement>("details.menu[open]");
      closeMenus();
      open?.querySelector("summary")?.focus();
    } else if (menu) walkMenu(menu, event);
  });
}

function startTheme(): void {
  document.addEventListener("click", (event) => {
    const button = (event.target as Element).closest<HTMLButtonElement>("[data-theme-choice]");
    if (!button) return;
    event.preventDefault();
    const root = document.documentElement;
    if (button.value) root.dataset["theme"] = button.value;
    else delete root.dataset["theme"];
    document.cookie = `sales_theme=${button.value}; path=/; max-age=31536000; samesite=lax`;
    for (const each of all("[data-theme-choice]")) each.toggleAttribute("aria-current", each === button);
    closeMenus();
  });
}

function startSelects(): void {
  document.addEventListener("change", (event) => {
    const field = event.target;
    if (field instanceof HTMLSelectElement && field.matches("[data-submit]")) field.form?.requestSubmit();
  });
}

/** Where `g` and a letter lead. */
const PLACES: Record<string, string> = { b: "/board", d: "/day", f: "/forecast", i: "/inbox" };

function startKeys(): void {
  const help = document.querySelector<HTMLDialogElement>("#help");
  for (const button of all<HTMLButtonElement>("[data-help]")) {
    button.hidden = false;
    button.addEventListener("click", () => help?.showModal());
  }
  let afterG = 0;
  document.addEventListener("keydown", (event) => {
    if (isWriting(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const search = document.querySelector<HTMLInputElement>("[data-search]");
    if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "?") help?.showModal();
    else if (event.key === "g") afterG = event.timeStamp;
    else if (event.timeStamp - afterG < 1200 && PLACES[event.key]) location.assign(PLACES[event.key]!);
  });
  if (new URLSearchParams(location.search).get("focus") === "search") {
    document.querySelector<HTMLInputElement>("[data-search]")?.focus();
  }
}

export function startShell(): void {
  startMenus();
  startTheme();
  startSelects();
  startKeys();
}
