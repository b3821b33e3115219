/** What the API says when it refuses (application/problem+json). */
export interface Problem {
  status: number;
  title: string;
  detail: string;
  errors?: { pointer: string; detail: string }[];
}

export type Answer<T> = { ok: true; body: T } | { ok: false; problem: Problem };

function csrf(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}

/** Asks the API with the session of this page. A network that is away comes back as a problem of status 0. */
export async function ask<T>(method: string, path: string, body?: unknown, version?: string): Promise<Answer<T>> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = csrf();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (version !== undefined) headers["If-Match"] = `"${version}"`;
  try {
    const answer = await fetch(`/api/v1${path}`, {
      method,
      headers,
      credentials: "same-origin",
      keepalive: method !== "GET", // a change that was begun survives leaving the page
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (answer.ok) return { ok: true, body: (answer.status === 204 ? null : await answer.json()) as T };
    if (answer.status === 401) location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
    return { ok: false, problem: await problemOf(answer) };
  } catch {
    return { ok: false, problem: { status: 0, title: "No answer", detail: "The server did not answer. Try again." } };
  }
}

async function problemOf(answer: Response): Promise<Problem> {
  try {
    return (await answer.json()) as Problem;
  } catch {
    return { status: answer.status, title: answer.statusText, detail: `The server answered ${answer.status}.` };
  }
}
