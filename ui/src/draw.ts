/** The contract between a view's drawing and whatever shows it: the exported page, a notebook, the studio. */

export type Language = "en" | "zh";

export interface Options {
  language: Language;
  /** The token of the text that all views follow; null: none. */
  selected: number | null;
  /** Called when the reader chooses a token of the text in this view. */
  onSelect(index: number | null): void;
  /** What the reader has set in this view, so that it stays when the view is drawn again in another language. */
  kept: Kept;
}

/** Settings of a view by their names, such as "method". */
export class Kept {
  private readonly values = new Map<string, unknown>();

  /** The setting, or `start` if the reader has not changed it. */
  read<Value>(name: string, start: Value): Value {
    return this.values.has(name) ? (this.values.get(name) as Value) : start;
  }

  write(name: string, value: unknown): void {
    this.values.set(name, value);
  }
}

export interface Drawing {
  /** The reader chose a token in another view. */
  select(index: number | null): void;
}

/** Draws a view into an empty element. It may be called again after the element was emptied. */
export type Draw<View> = (element: HTMLElement, view: View, options: Options) => Drawing;

/** A text in both languages. */
export interface Bilingual {
  en: string;
  zh: string;
}

/** A drawing that does not follow the chosen token. */
export const UNLINKED: Drawing = { select() {} };
