/**
 * A grid of signed numbers: a filled square for a positive one, a hollow square for a negative one, as large as the number. So
 * nothing is said by colour alone. Arrow keys move; the chosen cell is marked.
 */

import "./cells.css";
import { html } from "./dom";
import { addGridKeys } from "./grid-keys";

export interface Cells {
  label: string;
  /** What the rows and what the columns are. */
  rowKind: string;
  columnKind: string;
  rows: readonly (string | Node)[];
  columns: readonly string[];
  /** From −1 to 1: the area and the sign of the square. */
  share(row: number, column: number): number;
  /** The number with what it is about, for a hover and for screen readers. */
  name(row: number, column: number): string;
  onChoose(row: number, column: number): void;
}

export interface DrawnCells {
  choose(row: number, column: number): void;
  markRow(row: number | null): void;
}

const MOST_COLUMN_NAMES = 12;
const SMALLEST_SIDE = 0.12; // of a cell, so that it can be seen
const SMALLEST_SHARE = 1e-3; // smaller ones are not drawn

export function drawCells(element: HTMLElement, cells: Cells): DrawnCells {
  const { rows, columns } = cells;
  const grid = html("div", { class: "cells", role: "grid", "aria-label": cells.label });
  grid.style.setProperty("--columns", String(columns.length));
  grid.append(headRow(cells));
  const buttons: HTMLElement[][] = [];
  const heads: HTMLElement[] = [];
  rows.forEach((name, row) => {
    const head = html("div", { class: "cells-row-name", role: "rowheader" }, name);
    heads.push(head);
    buttons.push(columns.map((_, column) => makeCell(cells, row, column)));
    grid.append(html("div", { class: "cells-row", role: "row" }, head, ...buttons[row]!));
  });
  const keys = addGridKeys(grid, buttons, { row: 0, column: 0 }, ({ row, column }) => choose(row, column));
  let chosen: HTMLElement | null = null;

  function choose(row: number, column: number): void {
    chosen?.setAttribute("aria-selected", "false");
    chosen = buttons[row]![column]!;
    chosen.setAttribute("aria-selected", "true");
    keys.reach({ row, column });
    cells.onChoose(row, column);
  }

  buttons.forEach((line, row) => line.forEach((cell, column) => cell.addEventListener("click", () => choose(row, column))));
  element.append(html("div", { class: "cells-frame" }, grid));
  return {
    choose,
    markRow: (marked) => heads.forEach((head, row) => head.classList.toggle("marked", row === marked)),
  };
}

function headRow({ rowKind, columnKind, columns }: Cells): HTMLElement {
  const kinds = [`${rowKind} ↓`, html("br"), `${columnKind} →`];
  const corner = html("div", { class: "cells-corner", role: "columnheader" }, ...kinds);
  const shown = everyNth(columns.length);
  const names = columns.map((name, at) => {
    const label = `${columnKind} ${name}`;
    return html("div", { class: "cells-column-name", role: "columnheader", "aria-label": label }, at % shown ? "" : name);
  });
  return html("div", { class: "cells-row", role: "row" }, corner, ...names);
}

/** Every how many columns have their names written, so that they do not run into each other. */
export function everyNth(columns: number): number {
  return Math.ceil(columns / MOST_COLUMN_NAMES);
}

function makeCell(cells: Cells, row: number, column: number): HTMLElement {
  const share = cells.share(row, column);
  const name = cells.name(row, column);
  const square = html("span", { class: share < 0 ? "cells-square against" : "cells-square" });
  square.style.setProperty("--side", squareSide(share).toFixed(3));
  return html(
    "div",
    { class: "cells-cell", role: "gridcell", tabindex: -1, "aria-label": name, title: name, "aria-selected": "false" },
    square,
  );
}

/** The side of a square whose area is the share, in sides of a cell. */
export function squareSide(share: number): number {
  const size = Math.min(1, Math.abs(share));
  return size >= SMALLEST_SHARE ? Math.max(SMALLEST_SIDE, Math.sqrt(size)) : 0;
}

/** The largest absolute value, of those that are numbers. */
export function largest(values: Iterable<number>): number {
  let found = 0;
  for (const value of values) {
    if (Math.abs(value) > found) {
      found = Math.abs(value);
    }
  }
  return found;
}
