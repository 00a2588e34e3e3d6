/** Every view by name: its title, and the function that draws it. */

import type { Bilingual, Draw } from "./draw";
import { drawAblation } from "./views/ablation";
import { drawAttention } from "./views/attention";
import { drawBranches } from "./views/branches";
import { drawCandidates } from "./views/candidates";
import { drawCompare } from "./views/compare";
import { drawContext } from "./views/context";
import { drawGradient } from "./views/gradient";
import { drawInfluence } from "./views/influence";
import { drawLearning } from "./views/learning";
import { drawLens } from "./views/lens";
import { drawPatching } from "./views/patching";
import { drawPath } from "./views/path";
import { drawTokens } from "./views/tokens";
import { drawVectors } from "./views/vectors";

export interface DrawnView {
  title: Bilingual;
  /** Only called with the view of its own name. */
  draw: Draw<never>;
}

export const DRAWN: Record<string, DrawnView> = {
  path: { title: { en: "Path", zh: "路径" }, draw: drawPath },
  tokens: { title: { en: "Tokens", zh: "分词" }, draw: drawTokens },
  vectors: { title: { en: "Vectors", zh: "向量" }, draw: drawVectors },
  context: { title: { en: "Context", zh: "语境" }, draw: drawContext },
  attention: { title: { en: "Attention", zh: "注意力" }, draw: drawAttention },
  lens: { title: { en: "Lens", zh: "透镜" }, draw: drawLens },
  candidates: { title: { en: "Candidates", zh: "候选" }, draw: drawCandidates },
  branches: { title: { en: "Branches", zh: "分支" }, draw: drawBranches },
  influence: { title: { en: "Influence", zh: "影响" }, draw: drawInfluence },
  ablation: { title: { en: "Ablation", zh: "消融" }, draw: drawAblation },
  patching: { title: { en: "Patching", zh: "替换" }, draw: drawPatching },
  gradient: { title: { en: "Gradient", zh: "梯度" }, draw: drawGradient },
  learning: { title: { en: "Learning", zh: "学习过程" }, draw: drawLearning },
  compare: { title: { en: "Comparison", zh: "比较" }, draw: drawCompare },
};
