/** Waits for the worker: asks for a deal's score until it is newer than the one shown. */

import { ask } from "./api";
import { sleep } from "./dom";

export interface Score {
  scored_at: string | null;
  win_probability: number | null;
  score: number | null;
}

const PATIENCE_MILLISECONDS = 12000;

/** The first score made after `before` (an instant, or empty for none yet); null when none came in time. */
export async function newerScore(deal: string, before: string): Promise<Score | null> {
  const since = before ? Date.parse(before) : 0;
  const until = performance.now() + PATIENCE_MILLISECONDS;
  for (let pause = 150; performance.now() < until; pause = Math.min(pause * 1.25, 1000)) {
    await sleep(pause);
    const answer = await ask<Score>("GET", `/opportunities/${deal}/score`);
    const at = answer.ok && answer.body.scored_at ? Date.parse(answer.body.scored_at) : 0;
    if (answer.ok && at > since) return answer.body;
    if (!answer.ok && answer.problem.status !== 404 && answer.problem.status !== 0) return null;
  }
  return null;
}
