/**
 * The arrow keys in a row of places, as a slider has them, and in a grid or a row of elements: the Tab key reaches one of them,
 * the arrow keys the others; Enter is a click.
 */

const STEPS: Record<string, readonly [number, number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  Home: [0, -Infinity],
  End: [0, Infinity],
};

type Focusable = HTMLElement | SVGElement;

/** Where a key leads from one of `count` places in a row, as a slider has them; null if it is another key. */
export function afterSliderKey(key: string, at: number, count: number): number | null {
  const step = STEPS[key];
  const along = step && (step[1] || -step[0]); // up is forward
  return along === undefined ? null : Math.max(0, Math.min(count - 1, at + along));
}

export interface CellPlace {
  row: number;
  column: number;
}

export interface GridKeys {
  /** The cell that the Tab key reaches. */
  readonly place: CellPlace;
  /** Makes a cell the one that the Tab key reaches. */
  reach(place: CellPlace): void;
}

/** Where a key leads from a place in a grid of `rows` × `columns`; null if it is another key. */
export function afterKey(key: string, { row, column }: CellPlace, rows: number, columns: number): CellPlace | null {
  const step = STEPS[key];
  const within = (value: number, count: number) => Math.max(0, Math.min(count - 1, value));
  return step ? { row: within(row + step[0], rows), column: within(column + step[1], columns) } : null;
}

/**
 * @param cells rows of cells, each with `tabindex` −1. The keys do not lead to cells that are not shown.
 * @param onMove called when an arrow key has moved the focus.
 */
export function addGridKeys(
  grid: Element,
  cells: readonly (readonly Focusable[])[],
  start: CellPlace,
  onMove: (to: CellPlace, from: CellPlace) => void = () => {},
): GridKeys {
  let place = start;
  const cell = ({ row, column } = place) => cells[row]![column]!;
  const reach = (next: CellPlace) => {
    cell().tabIndex = -1;
    place = next;
    cell().tabIndex = 0;
  };
  reach(start);
  (grid as HTMLElement).addEventListener("keydown", (event) => {
    const from = place;
    const next = afterKey(event.key, place, cells.length, cells[0]!.length);
    if (next) {
      event.preventDefault();
      if (isShown(cell(next))) {
        reach(next);
        cell().focus();
        onMove(next, from);
      }
    } else if (event.key === "Enter") {
      click(cell());
    }
  });
  return {
    get place() {
      return place;
    },
    reach,
  };
}

/**
 * @param items elements in a row, each with `tabindex` −1, of which some may be hidden.
 * @param start the one that the Tab key reaches first.
 * @returns `keepReachable` is to be called when items were hidden: if the one that the Tab key reaches is among them, it is now
 * the first that is shown.
 */
export function addRowKeys(row: Element, items: readonly Focusable[], start = 0): { keepReachable(): void } {
  let current = items[start];
  current?.setAttribute("tabindex", "0");
  const reach = (next: Focusable) => {
    current!.tabIndex = -1;
    next.tabIndex = 0;
    current = next;
  };
  (row as HTMLElement).addEventListener("keydown", (event) => {
    if (!items.includes(event.target as Focusable)) {
      return; // of something else in the row that can have the focus
    }
    const shown = items.filter(isShown);
    const next = shown[afterSliderKey(event.key, shown.indexOf(current!), shown.length) ?? -1];
    if (next) {
      event.preventDefault();
      reach(next);
      next.focus();
    } else if (event.key === "Enter" && current) {
      click(current);
    }
  });
  return {
    keepReachable() {
      const shown = items.filter(isShown);
      if (current && shown[0] && !isShown(current)) {
        reach(shown[0]);
      }
    },
  };
}

function isShown(element: Element): boolean {
  return element.checkVisibility({ visibilityProperty: true });
}

function click(element: Element): void {
  element.dispatchEvent(new MouseEvent("click", { bubbles: true }));
}
