/** Finds one element that the page must have. */
export function one<T extends Element>(selector: string, root: ParentNode = document): T {
  const found = root.querySelector<T>(selector);
  if (!found) throw new Error(`The page lacks ${selector}`);
  return found;
}

export function all<T extends Element>(selector: string, root: ParentNode = document): T[] {
  return [...root.querySelectorAll<T>(selector)];
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Whether a key press belongs to a field that the person is writing in. */
export function isWriting(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("input, textarea, select"));
}

/** Elements from HTML that the server made. */
export function parse(html: string): Document {
  return new DOMParser().parseFromString(html, "text/html");
}

/** Puts the parts of a fresh page in place of those shown; the rest, scrolling and focus stay. */
export function swap(fresh: Document, selectors: string[]): void {
  for (const selector of selectors) {
    const shown = document.querySelector(selector);
    const next = fresh.querySelector(selector);
    if (shown && next) shown.replaceWith(document.adoptNode(next));
    else if (shown) shown.replaceChildren();
  }
}

/** A page of ours as a document; a session that ended leads to the sign-in page. */
export async function page(url: string, options: RequestInit = {}): Promise<Document> {
  const answer = await fetch(url, { credentials: "same-origin", ...options });
  if (answer.redirected && new URL(answer.url).pathname === "/sign-in") location.assign(answer.url);
  if (!answer.ok && answer.status !== 409 && answer.status !== 422) throw new Error(`${answer.status} from ${url}`);
  return parse(await answer.text());
}
