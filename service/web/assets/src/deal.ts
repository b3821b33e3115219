/** The deal page: actions, logged activities and moves without a reload; then the new chance with its reasons. */

import { one, page, swap } from "./dom";
import { percent } from "./figures";
import { announce, message } from "./live";
import { moveDeal } from "./moves";
import { newerScore } from "./score";

const PARTS = ["#head", "#score", "#reasons", "#actions", "#timeline"];

function article(): HTMLElement {
  return one<HTMLElement>("[data-deal-page]");
}

async function refresh(): Promise<void> {
  const fresh = await page(location.pathname);
  const version = fresh.querySelector<HTMLElement>("[data-deal-page]")?.dataset["version"];
  if (version) article().dataset["version"] = version;
  if (!document.querySelector("#reasons") && fresh.querySelector("#reasons")) return location.reload();
  swap(fresh, PARTS);
}

/** Shows what is known at once, and the next score when the worker has it. */
async function follow(): Promise<void> {
  const before = one<HTMLElement>("#score").dataset["scored"] ?? "";
  await refresh();
  const score = await newerScore(article().dataset["dealPage"]!, before);
  if (!score) return;
  await refresh();
  if (score.win_probability !== null) announce(`The chance to win is now ${percent(score.win_probability)}.`);
}

/** Sends a form of the page as it stands; true when the server took it. */
async function send(form: HTMLFormElement): Promise<boolean> {
  try {
    const body = new URLSearchParams(new FormData(form) as unknown as Record<string, string>);
    const answered = await page(form.action, { method: "POST", body });
    const refused = answered.querySelector(".form-error, [data-problem]")?.textContent?.trim();
    if (refused) message(refused, true);
    return !refused;
  } catch {
    message("That was not saved: the server did not answer. Try again.", true);
    return false;
  }
}

async function recommend(form: HTMLFormElement): Promise<void> {
  const title = form.closest(".action")?.querySelector(".action-title")?.textContent?.trim() ?? "The action";
  if (!(await send(form))) return;
  await refresh();
  const done = { done: "is done", dismiss: "is dismissed", snooze: "is snoozed" }[form.dataset["recommend"] ?? ""];
  announce(`${title} ${done}.`);
  message(`${title} ${done}.`);
}

async function log(form: HTMLFormElement): Promise<void> {
  if (!(await send(form))) return;
  message("Logged. The chance follows.");
  await follow();
}

async function move(button: HTMLButtonElement): Promise<void> {
  const stage = { key: button.value, name: button.textContent?.trim() ?? "", status: button.dataset["status"] ?? "open" };
  const answer = await moveDeal(article().dataset["dealPage"]!, article().dataset["version"]!, stage);
  if (!answer) return;
  if (!answer.ok) return message(`Not moved to ${stage.name}. ${answer.problem.detail}`, true);
  announce(`Moved to ${stage.name}.`);
  await (stage.status === "open" ? follow() : refresh());
}

export function startDeal(): void {
  if (!document.querySelector("[data-deal-page]")) return;
  document.addEventListener("submit", (event) => {
    const form = event.target as HTMLFormElement;
    if (!form.matches("[data-recommend], [data-log], [data-move-deal]")) return;
    event.preventDefault();
    for (let menu = form.closest("details"); menu; menu = menu.parentElement?.closest("details") ?? null) menu.open = false;
    if (form.matches("[data-recommend]")) void recommend(form);
    else if (form.matches("[data-log]")) void log(form);
    else void move(event.submitter as HTMLButtonElement);
  });
}
