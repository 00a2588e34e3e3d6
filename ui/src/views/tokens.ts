/** How a text becomes tokens: the tokens with their ids, the merges of one chunk step by step, and other tokenizers. */

import "./tokens.css";
import { fill, html, setAttribute, svg } from "../dom";
import type { Draw, Drawing, Kept, Language, Options } from "../draw";
import { addRowKeys } from "../grid-keys";
import { hint } from "../hint";
import { treeOf, type Piece, type Tree } from "../merges";
import { drawStrip } from "../strip";
import { hexBytes, number, say, textWidth, visible } from "../text";
import type { Chunk, OtherTokenization, Passage, TokensView } from "../types";

const WORDS = {
  tokens: { en: "Tokens with their ids", zh: "token 及其 id" },
  how: { en: "How they were made", zh: "怎样得到的" },
  chunk: { en: "Parts of the text that are tokenized separately", zh: "文本中分别处理的部分" },
  step: { en: "Step", zh: "步骤" },
  back: { en: "One step back", zh: "退一步" },
  forward: { en: "One step forward", zh: "进一步" },
  play: { en: "Play", zh: "播放" },
  stop: { en: "Stop", zh: "停止" },
  start: { en: "The pieces before the first merge.", zh: "第一次合并之前的片段。" },
  whole: { en: "This part is one token from the start.", zh: "这一部分一开始就是一个 token。" },
  others: { en: "The same text in other tokenizers", zh: "同一文本在其他分词器里" },
  tree: { en: "The tree of merges", zh: "合并树" },
};
const LETTERS = 13; // pixels: the size of the names in the tree
const AROUND = 10; // pixels around a name
const GAP = 6;
const LEVEL = 44; // pixels from a piece to the one that it becomes
const BOX = 24;
const PACE = 550; // milliseconds per step while it plays

export const drawTokens: Draw<TokensView> = (element, view, options) => {
  const { language } = options;
  const { chunks, others, kind } = view.body;
  element.append(html("p", {}, countsOf(view, language)), html("h3", {}, say(WORDS.tokens, language)));
  const strip = stripOf(element, view.input, options);
  element.append(html("h3", {}, `${say(WORDS.how, language)} (${kind})`));
  const merges = drawMerges(element, chunks, view.input.tokens.length, options);
  if (others.length > 0) {
    element.append(html("h3", {}, say(WORDS.others, language)));
  }
  for (const other of others) {
    const count = countOf(other, language);
    element.append(html("p", { class: "tokens-other" }, count));
    stripOf(element, other.input, { ...options, selected: null, onSelect: () => {} });
  }
  if (options.selected !== null) {
    merges.select(options.selected);
  }
  return {
    select(index) {
      strip.select(index);
      merges.select(index);
    },
  };
};

function countsOf({ body, input }: TokensView, language: Language): string {
  const reading = input.tokens.filter(({ span }) => span[0] < span[1]).length; // a begin token stands for no text
  const each = number(body.bytes / Math.max(1, reading), 2);
  const [characters, bytes, tokens] = [body.characters, body.bytes, reading].map((count) => number(count, 7));
  const begin = input.tokens.length - reading;
  return language === "zh"
    ? `${characters} 个字符，${bytes} 个字节 → ${tokens} 个 token，平均每个 ${each} 字节${begin > 0 ? `；另有 ${begin} 个开始 token` : ""}。`
    : `${characters} characters, ${bytes} bytes → ${tokens} tokens, ${each} bytes per token${begin > 0 ? `; and ${begin} begin token` : ""}.`;
}

function countOf({ path, kind, vocab_size, input }: OtherTokenization, language: Language): string {
  const name = path.split(/[/\\]/).at(-1);
  const [tokens, ids] = [input.tokens.length, vocab_size].map((count) => number(count, 7));
  return language === "zh" ? `${name}：${tokens} 个 token（${kind}，${ids} 个 id）` : `${name}: ${tokens} tokens (${kind}, ${ids} ids)`;
}

function stripOf(element: HTMLElement, { tokens }: Passage, options: Options): Drawing {
  return drawStrip(element, tokens, options, say(WORDS.tokens, options.language), (index) => ({ label: String(tokens[index]!.id) }));
}

/** The merges of one chunk at a time. */
function drawMerges(element: HTMLElement, chunks: Chunk[], tokens: number, { language, kept }: Options): Drawing {
  const owners = chunks.flatMap((chunk, at) => chunk.ids.map((_, place) => ({ chunk: at, place })));
  const offset = tokens - owners.length; // a begin token is in no chunk
  const picker = html("div", { class: "tokens-chunks", role: "group", "aria-label": say(WORDS.chunk, language) });
  const stage = html("div", {});
  const buttons = chunks.map((chunk, at) => {
    const button = html("button", { class: "token tokens-chunk", type: "button" }, visible(chunk.text));
    button.addEventListener("click", () => {
      show(at, null);
      kept.write("chunk", at);
    });
    return button;
  });
  picker.append(...buttons);
  picker.hidden = chunks.length < 2;
  element.append(picker, stage);
  let shown = -1;
  let player: Player | null = null;

  function show(at: number, place: number | null): void {
    if (at !== shown) {
      if (player) {
        player.stop();
        kept.write("step", Infinity);
      }
      stage.replaceChildren();
      player = drawPlayer(stage, chunks[at]!, kept, language);
      buttons.forEach((button, each) => button.setAttribute("aria-pressed", String(each === at)));
      shown = at;
    }
    player!.mark(place);
  }

  const steps = chunks.map((chunk) => chunk.joins.length + chunk.matches.length);
  show(kept.read("chunk", steps.indexOf(Math.max(...steps))), null);
  return {
    select(index) {
      const owner = index === null ? undefined : owners[index - offset];
      show(owner?.chunk ?? shown, owner?.place ?? null);
    },
  };
}

interface Player {
  /** Marks a token of the result. */
  mark(place: number | null): void;
  stop(): void;
}

/** The tree of a chunk, and the controls that go through its steps. At first, all steps are done. */
function drawPlayer(element: HTMLElement, chunk: Chunk, kept: Kept, language: Language): Player {
  const tree = treeOf(chunk);
  const total = tree.steps.length;
  const picture = drawTree(tree, language);
  const says = html("p", { class: "tokens-step", "aria-live": "polite" });
  const slider = html("input", { type: "range", min: 0, max: total, value: total, "aria-label": say(WORDS.step, language) });
  const back = html("button", { class: "button", type: "button", "aria-label": say(WORDS.back, language) }, "‹");
  const forward = html("button", { class: "button", type: "button", "aria-label": say(WORDS.forward, language) }, "›");
  const play = html("button", { class: "button", type: "button" }, say(WORDS.play, language));
  let timer: ReturnType<typeof setInterval> | undefined;

  function go(step: number): void {
    const at = Math.max(0, Math.min(total, step));
    slider.value = String(at);
    setAttribute(slider, "aria-valuetext", `${at} / ${total}`);
    back.disabled = at === 0;
    forward.disabled = at === total;
    fill(says, total === 0 ? say(WORDS.whole, language) : sentence(tree, at, language));
    picture.go(at);
    kept.write("step", at);
  }

  function stop(): void {
    clearInterval(timer);
    timer = undefined;
    fill(play, say(WORDS.play, language));
    kept.write("playing", false);
  }

  function start(): void {
    fill(play, say(WORDS.stop, language));
    kept.write("playing", true);
    go(Number(slider.value) === total ? 0 : Number(slider.value));
    timer = setInterval(() => {
      if (!element.isConnected) {
        clearInterval(timer); // the page was drawn again, and another player plays
        return;
      }
      go(Number(slider.value) + 1);
      if (Number(slider.value) === total) {
        stop();
      }
    }, PACE);
  }

  const leave = (step: () => number) => () => {
    stop();
    go(step());
  };
  slider.addEventListener("input", leave(() => Number(slider.value)));
  back.addEventListener("click", leave(() => Number(slider.value) - 1));
  forward.addEventListener("click", leave(() => Number(slider.value) + 1));
  play.addEventListener("click", () => (timer === undefined ? start() : stop()));
  const controls = html("div", { class: "tokens-controls", hidden: total === 0 }, play, back, slider, forward);
  element.append(controls, says, picture.element);
  go(kept.read("step", total));
  if (kept.read("playing", false)) {
    start();
  }
  return { mark: picture.mark, stop };
}

function sentence({ steps }: Tree, at: number, language: Language): string {
  const step = steps[at - 1];
  if (!step) {
    return say(WORDS.start, language);
  }
  const { piece, rank } = step;
  const [left, right] = piece.parts.map((part) => `“${part.name}”`);
  const result = `“${piece.name}” (id ${piece.token!.id})`;
  const count = language === "zh" ? `第 ${at} 步，共 ${steps.length} 步：` : `Step ${at} of ${steps.length}: `;
  if (rank === null) {
    return count + (language === "zh" ? `词表里最长的匹配是 ${result}。` : `the longest match in the vocabulary is ${result}.`);
  }
  const order = rank.toLocaleString("en-US");
  return count + (language === "zh" ? `${left} 与 ${right} 合并成 ${result}，规则序号 ${order}。` : `${left} and ${right} become ${result}, by rule ${order}.`);
}

interface Picture {
  element: HTMLElement;
  go(step: number): void;
  mark(place: number | null): void;
}

/** The leaves at the top, next to each other; below them what they become. */
function drawTree({ leaves, pieces }: Tree, language: Language): Picture {
  const bounds = placeLeaves(leaves);
  const levels = Math.max(...pieces.map((piece) => piece.level));
  const [width, height] = [bounds.at(-1)!.end + 1, levels * LEVEL + BOX + 2];
  const box = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": say(WORDS.tree, language) });
  const middle = (piece: Piece) => (bounds[piece.first]!.start + bounds[piece.last]!.end) / 2;
  const top = (piece: Piece) => piece.level * LEVEL + 1;
  const groups = pieces.map((piece) => {
    const group = svg("g", { class: "piece", role: "img", tabindex: -1, "aria-label": pieceHint(piece, language) });
    for (const part of piece.parts) {
      const [x1, y1, x2, y2] = [middle(part), top(part) + BOX, middle(piece), top(piece)];
      const bend = (y1 + y2) / 2;
      group.append(svg("path", { class: "piece-line", d: `M${x1} ${y1}C${x1} ${bend} ${x2} ${bend} ${x2} ${y2}` }));
    }
    const wide = widthOf(piece);
    group.append(svg("rect", { x: middle(piece) - wide / 2, y: top(piece), width: wide, height: BOX, rx: 5 }));
    group.append(svg("text", { x: middle(piece), y: top(piece) + 16.5, "text-anchor": "middle", class: "token" }, piece.name));
    hint(group, () => pieceHint(piece, language));
    box.append(group);
    return group;
  });
  addRowKeys(box, groups);
  const element = html("div", { class: "tokens-tree" }, box);
  const results = pieces.filter((piece) => piece.gone === Infinity).sort((one, other) => one.first - other.first);
  return {
    element,
    go(step) {
      pieces.forEach((piece, at) => {
        const state = piece.born > step ? "future" : piece.gone <= step ? "past" : "now";
        groups[at]!.setAttribute("class", `piece ${state}${piece.born === step && step > 0 ? " new" : ""}`);
      });
    },
    mark(place) {
      const marked = place === null ? undefined : results[place];
      pieces.forEach((piece, at) => groups[at]!.toggleAttribute("data-marked", piece === marked));
      if (marked) {
        element.scrollTo({ left: middle(marked) - element.clientWidth / 2 });
      }
    },
  };
}

function placeLeaves(leaves: Piece[]): { start: number; end: number }[] {
  let next = 1;
  return leaves.map((leaf) => {
    const start = next;
    next += widthOf(leaf) + GAP;
    return { start, end: next - GAP };
  });
}

function widthOf({ name }: Piece): number {
  return textWidth(name, LETTERS) + AROUND;
}

function pieceHint(piece: Piece, language: Language): string {
  if (!piece.token) {
    return piece.name;
  }
  const named = language === "zh" ? "字节" : "bytes";
  return `${piece.name}\nid ${piece.token.id}, ${named} ${hexBytes(piece.token.bytes)}`;
}
