/** Every view by name: its title, and the function that draws it. */

import type { Bilingual, Draw } from "./draw";
import { drawCandidates } from "./views/candidates";
import { drawPath } from "./views/path";
import { drawTokens } from "./views/tokens";

export interface DrawnView {
  title: Bilingual;
  /** Only called with the view of its own name. */
  draw: Draw<never>;
}

export const DRAWN: Record<string, DrawnView> = {
  path: { title: { en: "Path", zh: "路径" }, draw: drawPath },
  tokens: { title: { en: "Tokens", zh: "token" }, draw: drawTokens },
  candidates: { title: { en: "Candidates", zh: "候选" }, draw: drawCandidates },
};
