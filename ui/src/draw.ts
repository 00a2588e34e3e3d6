/** The contract between a view's drawing and whatever shows it: the exported page, a notebook, the studio. */

export type Language = "en" | "zh";

export interface Options {
  language: Language;
  /** The token of the text that all views follow; null: none. */
  selected: number | null;
  /** Called when the reader chooses a token of the text in this view. */
  onSelect(index: number | null): void;
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
