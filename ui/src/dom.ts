/**
 * Small helpers for HTML and SVG. All text goes in as text nodes, so nothing from a model or a prompt is ever read as markup; and
 * every text goes through `shownText`, so nothing can change the direction of what is read.
 */

import { shownText } from "./text";

type Attributes = Record<string, string | number | boolean | undefined>;
type Child = Node | string;

/** Makes an HTML element. `class` and all other attributes are set as given; `false` and `undefined` leave one out. */
export function html<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  return filled(document.createElement(name), attributes, children);
}

/** Makes an SVG element. */
export function svg<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[Name] {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

/** Replaces the content of an element. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.map(shownChild));
}

/** Sets an attribute that people read, or hear. */
export function setAttribute(element: Element, name: string, value: string | number): void {
  element.setAttribute(name, shownText(String(value)));
}

function filled<Made extends Element>(element: Made, attributes: Attributes, children: Child[]): Made {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== undefined && value !== false) {
      setAttribute(element, name, value);
    }
  }
  element.append(...children.map(shownChild));
  return element;
}

function shownChild(child: Child): Child {
  return typeof child === "string" ? shownText(child) : child;
}
