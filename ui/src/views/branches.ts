/** What the model would write if another token had been chosen: a tree of continuations with the same random numbers. */

import "./branches.css";
import { layOut, type BranchRow, type BranchTree } from "../branch-tree";
import { html } from "../dom";
import { UNLINKED, type Draw, type Language } from "../draw";
import { hint } from "../hint";
import { joinedText, rowNames } from "../names";
import { bar, columns, explained, section, sentence } from "../parts";
import { number, percent, say, shownText, tokenName } from "../text";
import type { BranchesView, BranchNode } from "../types";

const THICKEST = 9; // pixels, of the line to a token with probability 1
const PROMPT_SHOWN = 60; // characters of the prompt before a continuation

export const drawBranches: Draw<BranchesView> = (element, view, { language, kept }) => {
  const tree = layOut(view.body);
  const rows = [tree.own, ...tree.tried];
  element.append(html("p", { class: "note" }, introduction(view, language)));
  const label = say({ en: "Continuations", zh: "续写" }, language);
  const picture = html("div", { class: "branches", role: "group", "aria-label": label });
  picture.style.setProperty("--columns", String(tree.columns));
  const buttons = rows.map((row, at) => {
    const button = at === 0 ? ownRow(tree, language) : triedRow(row, language);
    button.style.gridRow = String(at + 1);
    button.addEventListener("click", () => choose(at));
    hint(button, () => wholeText(view, row));
    picture.append(button);
    return button;
  });
  picture.append(...stems(tree));
  const details = html("div", { "aria-live": "polite" });
  columns(element, picture, details);

  function choose(at: number): void {
    kept.write("row", at);
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === at)));
    details.replaceChildren();
    drawDetails(details, view, rows[at]!, at === 0, language);
  }

  choose(kept.read("row", 0));
  return UNLINKED;
};

function introduction({ body }: BranchesView, language: Language): string {
  const temperature = String(body.sampling["temperature"] ?? 1);
  return say(
    {
      en:
        "The top row is the model's own continuation. Below one of its tokens stand other likely tokens, put in its place, " +
        `and what the model writes after them. All rows use the same random numbers at temperature ${temperature}. Bars ` +
        "and lines show probability. Choose a row to see its numbers.",
      zh:
        "第一行是模型自己的续写。某个 token 下面列出的是换到它位置上的其他可能 token，以及模型接着写出的内容。" +
        `各行用同样的随机数，温度为 ${temperature}。条和线表示概率。选一行，看它的数字。`,
    },
    language,
  );
}

function ownRow(tree: BranchTree, language: Language): HTMLElement {
  const { path } = tree.own;
  const names = rowNames(path.map((node) => node.token));
  const columns = path.slice(0, tree.columns).map((node, c) => tokenColumn(node, names[c]!, true));
  const name = say({ en: "The model's own continuation", zh: "模型自己的续写" }, language);
  const label = rowLabel(name, tree.own);
  const button = html("button", { class: "branches-row own", type: "button", "aria-label": label }, ...columns);
  button.append(restOf(path, tree.columns));
  return button;
}

function triedRow(row: BranchRow, language: Language): HTMLElement {
  const node = row.path[row.fork]!;
  const share = probability(node);
  const label = say(
    { en: `With “${tokenName(node.token)}” (${percent(share)})`, zh: `换成“${tokenName(node.token)}”（${percent(share)}）` },
    language,
  );
  const elbow = html("span", { class: "branches-elbow", "aria-hidden": "true" });
  elbow.style.setProperty("--thickness", `${thickness(share)}px`);
  const button = html(
    "button",
    { class: "branches-row", type: "button", "aria-label": rowLabel(label, row) },
    elbow,
    tokenColumn(node, tokenName(node.token), false),
    restOf(row.path, row.fork + 1),
  );
  button.style.gridColumn = `${row.fork + 1} / -1`;
  return button;
}

function rowLabel(name: string, row: BranchRow): string {
  return `${name}: ${joinedText(row.path.map((node) => node.token))}`;
}

/** A token with its probability below it. */
function tokenColumn(node: BranchNode, name: string, own: boolean): HTMLElement {
  const share = probability(node);
  const below = html("span", { class: "branches-share" }, bar(share), html("small", { class: "number" }, percent(share)));
  return html("span", { class: own ? "branches-token own" : "branches-token" }, html("span", { class: "token" }, name), below);
}

/** The text after the first `count` tokens, and whether the model ended it. */
function restOf(path: readonly BranchNode[], count: number): HTMLElement {
  const text = joinedText(path.slice(count).map((node) => node.token));
  const end = html("span", { class: "branches-end" }, path[path.length - 1]!.stop ? " ■" : " …");
  return html("span", { class: "branches-rest" }, shownText(text), end);
}

/**
 * The lines down from the tokens of the own continuation, past the rows of deeper forks, to the last row that branches off
 * there. In that row, the elbow is the rest of the line.
 */
function stems(tree: BranchTree): HTMLElement[] {
  const found: HTMLElement[] = [];
  for (let fork = 0; fork < tree.columns; fork++) {
    const last = tree.tried.map((row) => row.fork).lastIndexOf(fork);
    if (last > 0) {
      const stem = html("span", { class: "branches-stem", "aria-hidden": "true" });
      stem.style.gridColumn = String(fork + 1);
      stem.style.gridRow = `2 / ${last + 2}`;
      found.push(stem);
    }
  }
  return found;
}

function thickness(share: number): number {
  return 1 + Math.round((THICKEST - 1) * share);
}

function probability(node: BranchNode): number {
  return Math.exp(node.logprob ?? -Infinity);
}

function wholeText({ input }: BranchesView, row: BranchRow): string {
  return shownText(input.text.slice(-PROMPT_SHOWN) + joinedText(row.path.map((node) => node.token)));
}

/** The whole text of a continuation, and the numbers of each of its tokens. */
function drawDetails(element: HTMLElement, view: BranchesView, row: BranchRow, own: boolean, language: Language): void {
  const title = own
    ? { en: "The model's own continuation, token by token", zh: "模型自己的续写，逐个 token" }
    : { en: "This continuation, token by token", zh: "这个续写，逐个 token" };
  const part = section(element, say(title, language));
  const tokens = row.path.map((node) => node.token);
  const prompt = html("span", { class: "branches-prompt" }, shownText(view.input.text));
  part.append(html("p", { class: "branches-whole" }, prompt, html("strong", {}, shownText(joinedText(tokens)))));
  const total = row.branch.total ?? NaN;
  const meaning = say(
    {
      en: `The product of the probabilities of its tokens; the sum of their logarithms is ${number(total)} nats.`,
      zh: `各 token 概率的乘积；对数之和是 ${number(total)} nat。`,
    },
    language,
  );
  const whole = say({ en: "Probability of the whole continuation: {share}.", zh: "整个续写的概率：{share}。" }, language);
  const share = explained(percent(Math.exp(total)), meaning);
  part.append(html("p", { class: "part-text" }, ...sentence(whole, { share })), drawTable(row, language));
}

function drawTable(row: BranchRow, language: Language): HTMLElement {
  const heads = [
    { en: "token", zh: "token" },
    { en: "probability", zh: "概率" },
    { en: "rank", zh: "名次" },
    { en: "random number", zh: "随机数" },
  ];
  const head = html("tr", {}, ...heads.map((name) => html("th", { scope: "col" }, say(name, language))));
  const names = rowNames(row.path.map((node) => node.token));
  const lines = row.path.map((node, at) => {
    const share = probability(node);
    const value = html("span", { class: "branches-share" }, bar(share), html("span", { class: "number" }, percent(share)));
    return html(
      "tr",
      { class: node.origin === "tried" ? "tried" : undefined },
      html("th", { scope: "row", class: "token" }, names[at]!),
      html("td", {}, value),
      html("td", { class: "number" }, rank(node)),
      html("td", { class: "number" }, chosenBy(node, language)),
    );
  });
  return html("table", { class: "branches-table" }, html("thead", {}, head), html("tbody", {}, ...lines));
}

function rank({ rank: place }: BranchNode): string {
  return place === null ? "> 10" : String(place + 1);
}

function chosenBy(node: BranchNode, language: Language): string {
  if (node.origin === "tried") {
    return say({ en: "put in", zh: "人为换上" }, language);
  }
  if (node.origin === "greedy") {
    return say({ en: "most likely", zh: "取概率最高的" }, language);
  }
  return (node.uniform ?? NaN).toFixed(4);
}
