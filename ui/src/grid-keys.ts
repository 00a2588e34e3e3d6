/** The arrow keys in a row of places, as a slider has them, and in a grid of cells: the Tab key reaches one cell, the arrow keys the others; Enter is a click. */

const STEPS: Record<string, readonly [number, number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  Home: [0, -Infinity],
  End: [0, Infinity],
};

/** Where a key leads from one of `count` places in a row, as a slider has them; null if it is another key. */
export function afterSliderKey(key: string, at: number, count: number): number | null {
  const step = STEPS[key];
  const along = step && (step[1] || -step[0]); // up is forward
  return along === undefined ? null : Math.max(0, Math.min(count - 1, at + along));
}

export interface Place {
  row: number;
  column: number;
}

export interface GridKeys {
  /** The cell that the Tab key reaches. */
  readonly place: Place;
  /** Makes a cell the one that the Tab key reaches. */
  reach(place: Place): void;
}

/** Where a key leads from a place in a grid of `rows` × `columns`; null if it is another key. */
export function afterKey(key: string, { row, column }: Place, rows: number, columns: number): Place | null {
  const step = STEPS[key];
  const within = (value: number, count: number) => Math.max(0, Math.min(count - 1, value));
  return step ? { row: within(row + step[0], rows), column: within(column + step[1], columns) } : null;
}

/**
 * @param cells rows of cells, each with `tabindex` −1.
 * @param onMove called when an arrow key has moved the focus.
 */
export function addGridKeys(
  grid: HTMLElement,
  cells: readonly (readonly HTMLElement[])[],
  start: Place,
  onMove: (to: Place, from: Place) => void = () => {},
): GridKeys {
  let place = start;
  const cell = () => cells[place.row]![place.column]!;
  const reach = (next: Place) => {
    cell().tabIndex = -1;
    place = next;
    cell().tabIndex = 0;
  };
  reach(start);
  grid.addEventListener("keydown", (event) => {
    const from = place;
    const next = afterKey(event.key, place, cells.length, cells[0]!.length);
    if (next) {
      event.preventDefault();
      reach(next);
      cell().focus();
      onMove(next, from);
    } else if (event.key === "Enter") {
      cell().click();
    }
  });
  return {
    get place() {
      return place;
    },
    reach,
  };
}
