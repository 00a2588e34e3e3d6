/** A few choices of which one holds, and a check box. Both are the browser's own controls, so the keyboard works. */

import { html } from "./dom";
import "./switch.css";

let groups = 0;

export interface Choice<Value extends string> {
  value: Value;
  text: string;
  disabled?: boolean;
}

export function makeSwitch<Value extends string>(
  label: string,
  choices: readonly Choice<Value>[],
  chosen: Value,
  onChange: (value: Value) => void,
): HTMLElement {
  const name = `liuli-switch-${++groups}`;
  const group = html("div", { class: "switch", role: "radiogroup", "aria-label": label });
  for (const { value, text, disabled } of choices) {
    const input = html("input", { type: "radio", name, value, disabled, checked: value === chosen });
    input.addEventListener("change", () => onChange(value));
    group.append(html("label", {}, input, html("span", {}, text)));
  }
  return group;
}

export function makeCheckbox(label: string, checked: boolean, onChange: (checked: boolean) => void): HTMLElement {
  const input = html("input", { type: "checkbox", checked });
  input.addEventListener("change", () => onChange(input.checked));
  return html("label", { class: "checkbox" }, input, html("span", {}, label));
}
