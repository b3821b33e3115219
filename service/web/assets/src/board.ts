/** The board: moves at once, confirmed by the server, undone with its reason; then the new chance. */

import { ask } from "./api";
import { startDrag } from "./drag";
import { all, one, page, parse, swap } from "./dom";
import { compactMoney, count, percent } from "./figures";
import { startBoardKeys, keepFocus } from "./keys";
import { announce, message } from "./live";
import { moveDeal } from "./moves";
import { newerScore } from "./score";

export type Card = HTMLElement;
export type Column = HTMLElement;

/** Where a card stood before it was moved. */
export interface Origin {
  column: Column;
  next: Element | null;
}

interface Head {
  key: string;
  count: number;
  sum: string;
  weighted_sum: string;
}

const FRESH_MILLISECONDS = 2500;
const STALE_MILLISECONDS = 60_000;

export function columnOf(card: Card): Column {
  return card.closest<HTMLElement>("[data-column]")!;
}

export function originOf(card: Card): Origin {
  return { column: columnOf(card), next: card.nextElementSibling };
}

export function nameOf(column: Column): string {
  return one(".column-name", column).firstChild?.textContent?.trim() ?? "";
}

function listOf(column: Column): HTMLElement {
  return one<HTMLElement>("[data-list]", column);
}

function addTo(column: Column, deals: number, sum: number): void {
  column.dataset["count"] = String(Number(column.dataset["count"]) + deals);
  column.dataset["sum"] = String(Number(column.dataset["sum"]) + sum);
  one("[data-column-count]", column).textContent = count(Number(column.dataset["count"]));
  one("[data-column-sum]", column).textContent = compactMoney(Number(column.dataset["sum"]));
}

/** Puts a card into a column, and the column's count and sum with it; nothing is asked of the server. */
export function place(card: Card, column: Column, before: Element | null = null): void {
  const from = columnOf(card);
  const target = before?.parentElement === listOf(column) ? before : listOf(column).firstElementChild;
  if (from === column && (target === card || target === card.nextElementSibling)) return;
  const focused = card.contains(document.activeElement) ? (document.activeElement as HTMLElement) : null;
  listOf(column).insertBefore(card, target);
  focused?.focus();
  if (from === column) return;
  const sum = Number(card.dataset["sum"]);
  addTo(from, -1, -sum);
  addTo(column, 1, sum);
}

function putBack(card: Card, origin: Origin): void {
  const inPlace = origin.next?.parentElement === listOf(origin.column) ? origin.next : null;
  place(card, origin.column, inPlace);
}

function trouble(card: Card, text: string): void {
  card.querySelector(".card-trouble")?.remove();
  const box = document.createElement("div");
  box.className = "card-trouble";
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "icon-button";
  close.setAttribute("aria-label", "Close this message");
  close.textContent = "×";
  close.addEventListener("click", () => box.remove());
  box.append(words, close);
  card.append(box);
  announce(text, true);
}

/** Moves a card to a column: shown at once, confirmed by the server or put back where it stood. */
export async function moveCard(card: Card, column: Column, origin: Origin = originOf(card)): Promise<void> {
  const name = card.dataset["name"] ?? "The deal";
  if (origin.column === column || card.dataset["busy"]) return putBack(card, origin);
  place(card, column);
  keepFocus(card);
  card.querySelector(".card-trouble")?.remove();
  card.dataset["busy"] = "yes";
  const stage = { key: column.dataset["column"]!, name: nameOf(column), status: column.dataset["status"]! };
  const answer = await moveDeal(card.dataset["deal"]!, card.dataset["version"]!, stage);
  delete card.dataset["busy"];
  if (answer?.ok) {
    announce(`${name} moved to ${stage.name}.`);
    card.dataset["version"] = String(answer.body.version);
    card.dataset["stage"] = stage.key;
    await showChance(card, stage.status);
    return;
  }
  putBack(card, origin);
  keepFocus(card);
  if (!answer) return announce(`${name} stays in ${nameOf(origin.column)}.`);
  const stale = answer.problem.status === 412;
  const why = stale ? "It was changed meanwhile: here it is as it stands now." : answer.problem.detail;
  trouble(card, `Not moved to ${stage.name}. ${why}`);
  if (stale) await renew(card);
}

/** Waits for the deal's next score and shows the card anew; a closed deal has no score to wait for. */
async function showChance(card: Card, status: string): Promise<void> {
  const before = card.querySelector(".chance-figure")?.textContent ?? "";
  void refreshHeads();
  if (status !== "open") return void (await renew(card));
  card.classList.add("is-waiting");
  const score = await newerScore(card.dataset["deal"]!, card.dataset["scored"] ?? "");
  card.classList.remove("is-waiting");
  const fresh = await renew(card);
  if (!score || score.win_probability === null) return;
  fresh.classList.add("is-fresh");
  setTimeout(() => fresh.classList.remove("is-fresh"), FRESH_MILLISECONDS);
  announce(`${fresh.dataset["name"]}: chance ${percent(score.win_probability)}${before ? `, was ${before}` : ""}.`);
  void refreshHeads();
}

/** The card as the server draws it now, in its place. */
async function renew(card: Card): Promise<Card> {
  const answer = await fetch(`/board/cards/${card.dataset["deal"]}`, { credentials: "same-origin" });
  const fresh = answer.ok ? parse(await answer.text()).querySelector<HTMLElement>(".card") : null;
  if (!fresh || !card.isConnected) return card;
  const hadFocus = card.contains(document.activeElement);
  const note = card.querySelector(".card-trouble");
  const next = document.adoptNode(fresh);
  if (note) next.append(note);
  card.replaceWith(next);
  keepFocus(next, hadFocus);
  return next;
}

function boardQuery(): string {
  const query = new URLSearchParams(location.search);
  for (const name of ["focus", "cursor"]) query.delete(name);
  query.set("pipeline", one<HTMLElement>("[data-board]").dataset["pipeline"] ?? "");
  query.set("limit", "1");
  return query.toString();
}

/** Counts and sums of all columns, from the server. */
async function refreshHeads(): Promise<void> {
  const answer = await ask<{ columns: Head[] }>("GET", `/board?${boardQuery()}`);
  if (!answer.ok) return;
  let [deals, sum, weighted] = [0, 0, 0];
  for (const head of answer.body.columns) {
    const column = document.querySelector<HTMLElement>(`[data-column="${CSS.escape(head.key)}"]`);
    if (column) drawHead(column, head);
    if (column?.dataset["status"] !== "open") continue;
    deals += head.count;
    sum += Number(head.sum);
    weighted += Number(head.weighted_sum);
  }
  one("[data-open-count]").textContent = count(deals);
  one("[data-open-sum]").textContent = compactMoney(sum);
  one("[data-open-weighted]").textContent = compactMoney(weighted);
}

function drawHead(column: Column, head: Head): void {
  column.dataset["count"] = String(head.count);
  column.dataset["sum"] = head.sum;
  one("[data-column-count]", column).textContent = count(head.count);
  one("[data-column-sum]", column).textContent = compactMoney(Number(head.sum));
  const share = column.querySelector("[data-column-weighted]");
  if (share) share.textContent = `${compactMoney(Number(head.weighted_sum))} weighted`;
}

async function loadMore(sentinel: HTMLElement): Promise<void> {
  if (sentinel.dataset["loading"]) return;
  sentinel.dataset["loading"] = "yes";
  try {
    const fresh = await page(sentinel.dataset["more"]!);
    const known = new Set(all<HTMLElement>(".card").map((card) => card.dataset["deal"]));
    const cards = all<HTMLElement>("li", fresh.body).filter((item) => !known.has(item.dataset["deal"]));
    sentinel.replaceWith(...cards.map((card) => document.adoptNode(card)));
    watchMore();
    keepFocus();
  } catch {
    delete sentinel.dataset["loading"];
    message("More deals could not be loaded. Scroll again to retry.", true);
  }
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) if (entry.isIntersecting) void loadMore(entry.target as HTMLElement);
  },
  { rootMargin: "300px" },
);

function watchMore(): void {
  watcher.disconnect();
  for (const sentinel of all("[data-more]")) watcher.observe(sentinel);
}

function startMenuMoves(board: HTMLElement): void {
  board.addEventListener("submit", (event) => {
    const form = event.target as HTMLFormElement;
    if (!form.matches("[data-move]")) return;
    event.preventDefault();
    const key = (event.submitter as HTMLButtonElement).value;
    const card = form.closest<HTMLElement>(".card")!;
    form.closest<HTMLDetailsElement>("details")!.open = false;
    keepFocus(card, true);
    void moveCard(card, one<HTMLElement>(`[data-column="${CSS.escape(key)}"]`, board));
  });
}

/** Search as one writes: the board's parts are drawn anew, the address follows. */
function startSearch(): void {
  const field = document.querySelector<HTMLInputElement>("[data-search]");
  let timer = 0;
  field?.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      const query = new URLSearchParams(new FormData(field.form!) as unknown as Record<string, string>);
      if (!field.value) query.delete("q");
      void show(`/board?${query.toString()}`);
    }, 250);
  });
}

async function show(url: string): Promise<void> {
  const fresh = await page(url);
  history.replaceState(null, "", url);
  swap(fresh, ["[data-board]", ".board-sums", ".board-filters"]);
  attach();
}

/** A tab that lay in the background shows the board as it is now. */
function startReturning(): void {
  let left = performance.now();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) left = performance.now();
    else if (performance.now() - left > STALE_MILLISECONDS && !document.querySelector("[data-busy]")) {
      void show(location.pathname + location.search);
    }
  });
}

function attach(): void {
  const board = one<HTMLElement>("[data-board]");
  startMenuMoves(board);
  startDrag(board);
  startBoardKeys(board);
  watchMore();
}

export function startBoard(): void {
  if (!document.querySelector("[data-board]")) return;
  attach();
  startSearch();
  startReturning();
}

