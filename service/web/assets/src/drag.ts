/** Dragging by mouse, pen and finger (a finger holds still first, so that a swipe still scrolls). */

import { type Card, type Column, columnOf, moveCard, nameOf } from "./board";
import { announce } from "./live";

const SLACK_PIXELS = 5;
const HOLD_MILLISECONDS = 260;
const EDGE_PIXELS = 56;

class Drag {
  private ghost: HTMLElement | null = null;
  private target: Column | null = null;
  private timer = 0;
  private frame = 0;
  private x: number;
  private y: number;
  private readonly offset: { x: number; y: number };

  constructor(
    private readonly board: HTMLElement,
    private readonly card: Card,
    private readonly start: PointerEvent,
    private readonly over: () => void,
  ) {
    const box = card.getBoundingClientRect();
    this.x = start.clientX;
    this.y = start.clientY;
    this.offset = { x: start.clientX - box.left, y: start.clientY - box.top };
    document.addEventListener("pointermove", this.move);
    document.addEventListener("pointerup", this.drop);
    document.addEventListener("pointercancel", this.cancel);
    document.addEventListener("keydown", this.key, true);
    if (start.pointerType === "touch") this.timer = window.setTimeout(this.lift, HOLD_MILLISECONDS);
  }

  get isLifted(): boolean {
    return this.ghost !== null;
  }

  private readonly lift = (): void => {
    if (this.ghost) return;
    const box = this.card.getBoundingClientRect();
    this.ghost = this.card.cloneNode(true) as HTMLElement;
    this.ghost.classList.add("card-ghost");
    this.ghost.setAttribute("aria-hidden", "true");
    this.ghost.style.width = `${box.width}px`;
    document.body.append(this.ghost);
    document.body.classList.add("is-dragging");
    this.card.classList.add("is-source");
    announce(`${this.card.dataset["name"]} picked up from ${nameOf(columnOf(this.card))}.`);
    this.draw();
    this.frame = requestAnimationFrame(this.scroll);
  };

  private readonly move = (event: PointerEvent): void => {
    if (event.pointerId !== this.start.pointerId) return;
    this.x = event.clientX;
    this.y = event.clientY;
    const far = Math.hypot(this.x - this.start.clientX, this.y - this.start.clientY) > SLACK_PIXELS;
    if (!this.ghost && far) {
      if (this.start.pointerType === "touch") return this.end();
      this.lift();
    }
    if (this.ghost) this.draw();
  };

  private draw(): void {
    this.ghost!.style.left = `${this.x - this.offset.x}px`;
    this.ghost!.style.top = `${this.y - this.offset.y}px`;
    const under = document.elementFromPoint(this.x, this.y)?.closest<HTMLElement>("[data-column]") ?? null;
    if (under === this.target) return;
    this.target?.classList.remove("is-target");
    this.target = under;
    if (under && under !== columnOf(this.card)) under.classList.add("is-target");
  }

  /** Scrolls the board while the pointer rests near its side. */
  private readonly scroll = (): void => {
    const box = this.board.getBoundingClientRect();
    const pull = this.x > box.right - EDGE_PIXELS ? 1 : this.x < box.left + EDGE_PIXELS ? -1 : 0;
    if (pull) {
      this.board.scrollLeft += pull * 12;
      this.draw();
    }
    this.frame = requestAnimationFrame(this.scroll);
  };

  private readonly drop = (event: PointerEvent): void => {
    if (event.pointerId !== this.start.pointerId) return;
    const column = this.target;
    const lifted = this.isLifted;
    this.end();
    if (lifted && column) void moveCard(this.card, column);
  };

  private readonly cancel = (): void => {
    if (this.isLifted) announce(`${this.card.dataset["name"]} stays in ${nameOf(columnOf(this.card))}.`);
    this.end();
  };

  private readonly key = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !this.isLifted) return;
    event.preventDefault();
    event.stopPropagation();
    this.cancel();
  };

  private end(): void {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    document.removeEventListener("pointermove", this.move);
    document.removeEventListener("pointerup", this.drop);
    document.removeEventListener("pointercancel", this.cancel);
    document.removeEventListener("keydown", this.key, true);
    if (this.ghost) {
      this.ghost.remove();
      document.body.classList.remove("is-dragging");
      this.card.classList.remove("is-source");
      this.target?.classList.remove("is-target");
      // The click that ends a drag must not open the deal.
      document.addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => document.removeEventListener("click", swallow, true), 50);
    }
    this.over();
  }
}

function swallow(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}

export function startDrag(board: HTMLElement): void {
  let drag: Drag | null = null;
  board.addEventListener("pointerdown", (event) => {
    const target = event.target as Element;
    const card = target.closest<HTMLElement>(".card");
    if (!card || event.button !== 0 || drag || target.closest(".menu, .card-trouble") || card.dataset["busy"]) return;
    if (card.closest<HTMLElement>("[data-column]")?.dataset["status"] !== "open") return;
    drag = new Drag(board, card, event, () => {
      drag = null;
    });
  });
  board.addEventListener("dragstart", (event) => event.preventDefault());
  board.addEventListener("touchmove", (event) => {
    if (drag?.isLifted) event.preventDefault();
  }, { passive: false });
  board.addEventListener("contextmenu", (event) => {
    if (drag?.isLifted) event.preventDefault();
  });
}
