/**
 * What a number means, one hover, focus or tap away. One hint is shown at a time; Escape hides it.
 *
 * The element gets `aria-describedby` only while its hint is shown. It must be one that can have the focus.
 */

import "./hint.css";
import { html } from "./dom";

const GAP = 8; // pixels between the element and its hint
let shown: HTMLElement | null = null;

export function hint(element: HTMLElement | SVGElement, text: () => string): void {
  if (element.tabIndex < 0 && !element.hasAttribute("tabindex")) {
    throw new Error(`a hint is on <${element.tagName}>, which a reader with a keyboard cannot reach`);
  }
  const show = () => open(element, text());
  element.addEventListener("pointerenter", show);
  element.addEventListener("focus", show);
  element.addEventListener("click", show);
  element.addEventListener("pointerleave", close);
  element.addEventListener("blur", close);
}

function open(element: Element, text: string): void {
  close();
  const box = html("div", { class: "hint", role: "tooltip", id: "liuli-hint" }, text);
  document.body.append(box);
  const place = element.getBoundingClientRect();
  const left = Math.max(GAP, Math.min(place.left, window.innerWidth - box.offsetWidth - GAP));
  const above = place.top - box.offsetHeight - GAP;
  const top = above >= GAP ? above : place.bottom + GAP;
  box.style.left = `${left + window.scrollX}px`;
  box.style.top = `${top + window.scrollY}px`;
  element.setAttribute("aria-describedby", box.id);
  shown = box;
}

function close(): void {
  shown?.remove();
  shown = null;
  document.querySelector("[aria-describedby=liuli-hint]")?.removeAttribute("aria-describedby");
}

if (typeof document !== "undefined") {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      close();
    }
  });
}
