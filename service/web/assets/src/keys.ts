/** The board by keyboard: one stop for Tab, arrows between cards, Space to pick up and drop, M for the menu. */

import { type Card, type Column, type Origin, columnOf, moveCard, nameOf, originOf, place } from "./board";
import { all, isWriting } from "./dom";
import { announce } from "./live";

interface Held {
  card: Card;
  origin: Origin;
}

let held: Held | null = null;

function link(card: Card): HTMLElement {
  return card.querySelector<HTMLElement>(".card-link")!;
}

function cardsOf(column: Column): Card[] {
  return all<HTMLElement>(".card", column);
}

/** Makes one card the stop of Tab: the one given, else the one that was, else the first. */
export function keepFocus(card?: Card, focus = false): void {
  const chosen = card ?? document.querySelector<HTMLElement>(".card:has(.card-link[tabindex='0'])");
  const stop = chosen?.isConnected ? chosen : document.querySelector<HTMLElement>(".card");
  for (const each of all<HTMLElement>(".card")) {
    const index = each === stop ? "0" : "-1";
    link(each).setAttribute("tabindex", index);
    each.querySelector("summary")?.setAttribute("tabindex", index);
  }
  if (focus && stop) link(stop).focus();
}

function beside(column: Column, step: number): Column | null {
  const columns = all<HTMLElement>("[data-column]");
  return columns[columns.indexOf(column) + step] ?? null;
}

function goto(card: Card | undefined): void {
  if (!card) return;
  keepFocus(card, true);
  card.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function walk(card: Card, key: string): void {
  const column = columnOf(card);
  const cards = cardsOf(column);
  const row = cards.indexOf(card);
  if (key === "ArrowDown" || key === "ArrowUp") return goto(cards[row + (key === "ArrowDown" ? 1 : -1)]);
  const step = key === "ArrowRight" ? 1 : -1;
  for (let next = beside(column, step); next; next = beside(next, step)) {
    const there = cardsOf(next);
    if (there.length) return goto(there[Math.min(row, there.length - 1)]);
  }
}

function pickUp(card: Card): void {
  if (columnOf(card).dataset["status"] !== "open" || card.dataset["busy"]) return;
  held = { card, origin: originOf(card) };
  card.classList.add("is-held");
  announce(`${card.dataset["name"]} picked up. Left and right choose the stage, Space drops it, Escape puts it back.`);
}

function carry(step: number): void {
  const { card } = held!;
  const next = beside(columnOf(card), step);
  if (!next) return;
  place(card, next);
  card.scrollIntoView({ block: "nearest", inline: "nearest" });
  link(card).focus();
  announce(nameOf(next));
}

function letGo(drop: boolean): void {
  const { card, origin } = held!;
  held = null;
  card.classList.remove("is-held");
  const column = columnOf(card);
  if (drop && column !== origin.column) return void moveCard(card, column, origin);
  place(card, origin.column, origin.next);
  link(card).focus();
  announce(`${card.dataset["name"]} stays in ${nameOf(origin.column)}.`);
}

function whileHeld(event: KeyboardEvent): void {
  event.preventDefault();
  event.stopPropagation();
  if (event.key === "ArrowRight") carry(1);
  else if (event.key === "ArrowLeft") carry(-1);
  else if (event.key === " " || event.key === "Enter") letGo(true);
  else if (event.key === "Escape" || event.key === "Tab") letGo(false);
}

function press(event: KeyboardEvent): void {
  const target = event.target as Element;
  const card = target.closest<HTMLElement>(".card");
  if (!card || isWriting(target) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (held) return whileHeld(event);
  if (!target.matches(".card-link")) return;
  if (event.key.startsWith("Arrow")) {
    event.preventDefault();
    walk(card, event.key);
  } else if (event.key === " ") {
    event.preventDefault();
    pickUp(card);
  } else if (event.key === "m") {
    const menu = card.querySelector<HTMLDetailsElement>("details.menu")!;
    menu.open = true;
    menu.querySelector<HTMLElement>(".menu-item")?.focus();
  }
}

export function startBoardKeys(board: HTMLElement): void {
  held = null;
  board.addEventListener("keydown", press);
  keepFocus();
}
