/** The tree of continuations as rows: the model's own on top, and below it what follows another token at each fork. */

import type { Branch, BranchesView, BranchNode } from "./types";

export interface BranchRow {
  branch: Branch;
  /** From the first token of the continuation to the leaf. */
  path: BranchNode[];
  /** The depth of the tried token; 0 for the model's own continuation. */
  fork: number;
}

export interface BranchTree {
  own: BranchRow;
  /** Deep forks first: so a line down from an early token crosses no row of a later one. */
  tried: BranchRow[];
  /** How many tokens of the own continuation have a column: up to the last at which another was tried. */
  columns: number;
}

export function layOut({ nodes, branches }: BranchesView["body"]): BranchTree {
  const rows = branches.map((branch) => {
    const path = pathTo(nodes, branch.leaf);
    return { branch, path, fork: Math.max(0, path.findIndex((node) => node.origin === "tried")) };
  });
  const [own, ...others] = rows as [BranchRow, ...BranchRow[]];
  const tried = others.sort((one, other) => other.fork - one.fork);
  const columns = Math.min(own.path.length, Math.max(0, ...tried.map((row) => row.fork + 1)));
  return { own, tried, columns };
}

/** The nodes from the first token to a leaf. */
export function pathTo(nodes: readonly BranchNode[], leaf: number): BranchNode[] {
  const path: BranchNode[] = [];
  for (let node: BranchNode | undefined = nodes[leaf]; node; node = node.parent === null ? undefined : nodes[node.parent]) {
    path.unshift(node);
  }
  return path;
}
