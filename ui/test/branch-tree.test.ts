import { expect, test } from "vitest";
import { layOut, pathTo } from "../src/branch-tree";
import type { BranchNode } from "../src/types";

function node(index: number, parent: number | null, depth: number, origin: BranchNode["origin"] = "sampled"): BranchNode {
  const token = { id: index, text: String(index), bytes: [48 + index] };
  return { index, parent, depth, token, logprob: -1, total: -1 - depth, origin, uniform: 0.5, rank: 0, stop: false };
}

// 0 ─ 1 ─ 2 is the model's own; 3 is tried instead of 0; 5 instead of 1
const own = [node(0, null, 0), node(1, 0, 1), node(2, 1, 2)];
const nodes = [...own, node(3, null, 0, "tried"), node(4, 3, 1), node(5, 0, 1, "tried")];
const branch = (leaf: number) => ({ leaf, text: "", total: 0 });
const body = { sampling: {}, tokens: 3, nodes, branches: [2, 4, 5].map(branch) };

test("a path goes from the first token to the leaf", () => {
  expect(pathTo(nodes, 2).map(({ index }) => index)).toEqual([0, 1, 2]);
});

test("deep forks stand first, and the columns reach to the last fork", () => {
  const tree = layOut(body);
  expect(tree.own.branch.leaf).toBe(2);
  expect(tree.tried.map((row) => [row.branch.leaf, row.fork])).toEqual([[5, 1], [4, 0]]);
  expect(tree.columns).toBe(2);
});

test("without tried tokens there are no columns", () => {
  expect(layOut({ ...body, branches: [branch(2)] })).toMatchObject({ tried: [], columns: 0 });
});
