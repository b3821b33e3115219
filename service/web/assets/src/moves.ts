/** Moving a deal to a stage: one request, and a question in place when the stage still needs something. */

import { ask, type Answer, type Problem } from "./api";
import { all, one } from "./dom";

export interface Moved {
  id: string;
  version: number;
  stage: string;
  status: string;
}

interface Needs {
  reason?: string;
  competitor_id?: string;
  note?: string;
}

const FIELDS = ["reason", "competitor_id", "note"] as const;

/** The members that the refusal points at, of those that this page can ask for. */
function missing(problem: Problem): string[] {
  const named = (problem.errors ?? []).map((error) => error.pointer.replace(/^\//, ""));
  return FIELDS.filter((field) => named.includes(field));
}

/** Asks in a dialog; null when the person gives up. */
function question(title: string, fields: string[], why: string): Promise<Needs | null> {
  const dialog = one<HTMLDialogElement>("#ask");
  const form = one<HTMLFormElement>("[data-ask]", dialog);
  const trouble = one<HTMLElement>("[data-ask-error]", dialog);
  form.reset();
  trouble.hidden = true;
  one("[data-ask-title]", dialog).textContent = title;
  one("[data-ask-go]", dialog).textContent = title;
  const reason = one<HTMLElement>("[data-ask-why]", dialog);
  reason.textContent = why;
  reason.hidden = !why;
  for (const field of all<HTMLElement>("[data-ask-field]", dialog)) {
    field.hidden = !fields.includes(field.dataset["askField"] ?? "");
  }
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    const submit = (event: SubmitEvent): void => {
      const cancelled = (event.submitter as HTMLButtonElement | null)?.value === "cancel";
      if (!cancelled && fields.includes("reason") && !one<HTMLSelectElement>("#ask-reason").value) {
        event.preventDefault();
        trouble.textContent = "Choose a reason: it is what the next deals learn from.";
        trouble.hidden = false;
        one<HTMLSelectElement>("#ask-reason").focus();
      }
    };
    const close = (): void => {
      form.removeEventListener("submit", submit);
      if (dialog.returnValue !== "go") return resolve(null);
      const entries = [...new FormData(form)].filter(([, value]) => value !== "");
      resolve(Object.fromEntries(entries) as Needs);
    };
    form.addEventListener("submit", submit);
    dialog.addEventListener("close", close, { once: true });
  });
}

/**
 * Moves a deal. A lost deal is asked for its reason first; whatever else the answer says is missing is asked for too.
 * Resolves to null when the person cancels.
 */
export async function moveDeal(
  deal: string,
  version: string,
  stage: { key: string; name: string; status: string },
): Promise<Answer<Moved> | null> {
  let needs: Needs = {};
  if (stage.status === "lost") {
    const given = await question(`Move to ${stage.name}`, [...FIELDS], "");
    if (!given) return null;
    needs = given;
  }
  for (;;) {
    const answer = await ask<Moved>("POST", `/opportunities/${deal}/stage`, { to: stage.key, ...needs }, version);
    if (answer.ok || (answer.problem.status !== 409 && answer.problem.status !== 422)) return answer;
    const fields = missing(answer.problem);
    if (!fields.length) return answer;
    const given = await question(`Move to ${stage.name}`, [...new Set([...fields, "note"])], answer.problem.detail);
    if (!given) return null;
    needs = { ...needs, ...given };
  }
}
